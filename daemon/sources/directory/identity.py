"""Which file it is: safe opening, and creation time."""

import ctypes
import ctypes.util
import os
import stat
import struct
from typing import Any

_AT_EMPTY_PATH = 0x1000
_STATX_BTIME = 0x800
_STATX_BYTES = 256
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class NotRegular(Exception):
    """Raised when a name stands for something that is not a plain file."""


def open_regular(path: str) -> int:
    """Open a plain file for reading, following no link in the last place and waiting for nobody.

    Raises:
        NotRegular: for a link, FIFO, socket, device or directory.
        OSError: when it is gone or may not be read.
    """
    # Opening some devices does something (a tape rewinds), so look before opening, and again after.
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise NotRegular(path)
    descriptor = os.open(path, _FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegular(path)
    return descriptor


def opened_path(descriptor: int) -> str | None:
    """Say where an open file really lies, whatever links led there; None when unlinked or without /proc."""
    try:
        path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    except OSError:
        return None
    return None if path.endswith(" (deleted)") else path


def birth_ns(descriptor: int) -> int | None:
    """Ask for the creation time, which tells a file from a later one with the same inode number."""
    if _statx is None:
        return None
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    if _statx(descriptor, b"", _AT_EMPTY_PATH, _STATX_BTIME, buffer) != 0:
        return None
    if not struct.unpack_from("=I", buffer, 0)[0] & _STATX_BTIME:
        return None
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, 80)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def _load_statx() -> Any:
    try:
        function = ctypes.CDLL(None, use_errno=True).statx
    except (OSError, AttributeError):  # a C library from before 2018
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
    function.restype = ctypes.c_int
    return function


_statx = _load_statx()
