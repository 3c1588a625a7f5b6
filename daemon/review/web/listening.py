"""The socket that the page is served on: a UNIX socket, or an address of this machine alone."""

import contextlib
import grp
import os
import socket
import stat
import struct
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from daemon.meant import names_this_machine
from pipeline.errors import ConfigError

_FIRST_PASSED = 3  # sd_listen_fds(3)
_BACKLOG = 64
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
        with contextlib.closing(_unix(path, group)) as one:
            try:
                yield Listening(one, str(path), names_peers=True)
            finally:
                with contextlib.suppress(OSError):
                    path.unlink()
        return
    if group is not None:
        raise ConfigError("--group: has no effect on HOST:PORT; give the path of a UNIX socket with --listen")
    with contextlib.closing(_loopback(where)) as one:
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


def _unix(path: Path, group: str | None) -> socket.socket:
    try:
        gid = None if group is None else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ConfigError(f"--group {group}: there is no such group") from error
    _remove_left_over(path)
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)  # nobody else gets in before the group is right
        try:
            one.bind(str(path))
        finally:
            os.umask(before)
        if gid is not None:
            os.chown(path, -1, gid)
            path.chmod(0o660)
        one.listen(_BACKLOG)
    except OSError as error:
        one.close()
        raise ConfigError(f"{path}: cannot listen there: {error.strerror or error}") from error
    one.setblocking(False)
    return one


def _remove_left_over(path: Path) -> None:
    """Remove the socket of a process that did not end by itself; whatever else is there stays."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{path}: is there already, and no socket; choose another path")
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
    raise ConfigError(f"{path}: another program listens there; end it, or choose another path")


def _loopback(where: str) -> socket.socket:
    host, colon, port = where.rpartition(":")
    host = host.strip("[]")
    ours = host.lower() == "localhost" or names_this_machine(f"[{host}]")
    if not colon or not port.isdecimal() or int(port) > 65535 or not ours:
        raise ConfigError(
            f"--listen {where}: neither the path of a UNIX socket, nor an address of this machine alone such as "
            "127.0.0.1:9476"
        )
    host = "127.0.0.1" if host.lower() == "localhost" else host
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((host, int(port)))
        one.listen(_BACKLOG)
    except OSError as error:
        one.close()
        raise ConfigError(f"--listen {where}: {error.strerror or error}; port 0 takes one that is free") from error
    one.setblocking(False)
    return one
