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

    def send(self, **state: str) -> None:
        """Send assignments such as ``READY="1"``."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        text = "\n".join(f"{name}={value}" for name, value in state.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            try:
                sender.sendto(text.encode(), address)
            except OSError:
                return  # a service manager that is being restarted misses a status, no more

    def ready(self) -> None:
        """Say that everything is watched."""
        self.send(READY="1")

    def stopping(self) -> None:
        """Say that the service drains and ends."""
        self.send(STOPPING="1")

    def status(self, text: str) -> None:
        """Show a line in `systemctl status`."""
        self.send(STATUS=text)

    def ping(self) -> None:
        """Keep the watchdog quiet."""
        self.send(WATCHDOG="1")
