"""The socket that the page is served on: a UNIX socket, or an address of this machine alone."""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from daemon.sockets import listen_on_loopback, listen_on_path
from pipeline.errors import ConfigError

_FIRST_PASSED = 3  # sd_listen_fds(3)
_OVERFLOW = Path("/proc/sys/kernel/overflowuid")


@dataclass(slots=True, frozen=True)
class Listening:
    """A socket that listens.

    Attributes:
        where: its path, or HOST:PORT, for people.
        names_peers: it says which user of this machine each connection comes from.
    """

    socket: socket.socket
    where: str
    names_peers: bool


@contextlib.contextmanager
def listening(where: str, group: str | None, environment: MutableMapping[str, str]) -> Iterator[Listening]:
    """Listen on a path, on HOST:PORT, or on the socket that systemd has passed.

    Args:
        where: with a ``/`` in it, the path of a UNIX socket; else HOST:PORT, where port 0 is any that is free.
        group: whose members may connect to the path, beside the user of this process.
        environment: of the process; what systemd says in it is taken out.

    Raises:
        ConfigError: when that cannot be.
    """
    passed = _passed(environment)
    if passed is not None:
        with contextlib.closing(passed):
            yield Listening(passed, str(passed.getsockname()), names_peers=True)
        return
    if "/" in where:
        path = Path(where)
        with contextlib.closing(listen_on_path(path, group)) as one:
            try:
                yield Listening(one, str(path), names_peers=True)
            finally:
                with contextlib.suppress(OSError):
                    path.unlink()
        return
    if group is not None:
        raise ConfigError("--group: has no effect on HOST:PORT; give the path of a UNIX socket with --listen")
    with contextlib.closing(listen_on_loopback(where)) as one:
        host, port = one.getsockname()[:2]
        yield Listening(one, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", names_peers=False)


def peer_of(connection: socket.socket) -> int | None:
    """Say which user opened a connection; None where that cannot be told.

    A user that our user namespace does not know comes as the overflow id, which is nobody in particular.
    """
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        nobody = int(_OVERFLOW.read_text(encoding="ascii"))
    except (OSError, ValueError):
        nobody = 65534
    return None if uid in (-1, nobody) else uid


def _passed(environment: MutableMapping[str, str]) -> socket.socket | None:
    """Take the socket that systemd has passed, if it has."""
    owner, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if owner != str(os.getpid()):
        return None
    if count != "1":
        raise ConfigError(f"systemd passed {count} sockets; the page takes one, which ListenStream= names")
    os.set_inheritable(_FIRST_PASSED, False)
    one = socket.socket(fileno=_FIRST_PASSED)
    if one.family != socket.AF_UNIX or one.type != socket.SOCK_STREAM:
        raise ConfigError("the socket that systemd passed is no UNIX socket; ListenStream= has to be a path")
    one.setblocking(False)
    return one
