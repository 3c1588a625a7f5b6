"""Sockets that listen on this machine alone: a UNIX socket, or an address of loopback."""

import grp
import os
import socket
import stat
from pathlib import Path

from daemon.meant import names_this_machine
from pipeline.errors import ConfigError

_BACKLOG = 64


def listen_on_path(path: Path, group: str | None = None, mode: int = 0o600) -> socket.socket:
    """Listen on a UNIX socket; one that a process left behind is replaced.

    Args:
        group: whose members may connect, beside the user of this process.
        mode: of the socket, where no group is given.

    Raises:
        ConfigError: when that cannot be.
    """
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
        else:
            path.chmod(mode)
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


def listen_on_loopback(where: str, setting: str = "--listen") -> socket.socket:
    """Listen on HOST:PORT, where port 0 is any that is free.

    Args:
        setting: what names the address, for messages.

    Raises:
        ConfigError: when that is no address of this machine alone, or cannot be had.
    """
    host, colon, port = where.rpartition(":")
    host = host.strip("[]")
    ours = host.lower() == "localhost" or names_this_machine(f"[{host}]")
    if not colon or not port.isdecimal() or int(port) > 65535 or not ours:
        raise ConfigError(
            f"{setting} {where}: neither the path of a UNIX socket, nor an address of this machine alone such as "
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
        raise ConfigError(f"{setting} {where}: {error.strerror or error}; port 0 takes one that is free") from error
    one.setblocking(False)
    return one
