"""Tells systemd how the service is doing (sd_notify(3))."""

import os
import socket
from collections.abc import MutableMapping


class Notifier:
    """Sends datagrams to the service manager's socket; does nothing where there is none."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take the socket's address out of the environment, so that no child process inherits it."""
        self._address = environment.pop("NOTIFY_SOCKET", "")
        interval = environment.pop("WATCHDOG_USEC", "")
        owner = environment.pop("WATCHDOG_PID", "")
        ours = owner in ("", str(os.getpid()))
        self.watchdog_s = int(interval) / 1e6 if interval.isdigit() and ours else None

    def send(self, **state: str) -> bool:
        """Send assignments such as ``READY="1"``; says whether the manager has them, or there is none.

        A manager that hangs or is being restarted must not hold us up: what it cannot take is dropped.
        """
        if not self._address:
            return True
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        text = "\n".join(f"{name}={value}" for name, value in state.items())
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            with socket.socket(socket.AF_UNIX, kind) as sender:
                sender.sendto(text.encode("utf-8", "replace"), address)
        except OSError:  # also where no descriptor is left for the socket
            return False
        return True

    def ready(self) -> bool:
        """Say that everything is watched; to be said again where it was not heard."""
        return self.send(READY="1")

    def stopping(self) -> None:
        """Say that the service drains and ends."""
        self.send(STOPPING="1")

    def extend(self, seconds: float) -> None:
        """Ask for so much time from now on, while starting or stopping."""
        self.send(EXTEND_TIMEOUT_USEC=str(round(seconds * 1e6)))

    def status(self, text: str) -> None:
        """Show a line in `systemctl status`."""
        self.send(STATUS=text)

    def ping(self) -> None:
        """Keep the watchdog quiet."""
        self.send(WATCHDOG="1")
