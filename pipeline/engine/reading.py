"""Reads files that somebody named, whatever bears the name: never waits for one, and never reads without a bound.

It lies in the engine because the engine imports nothing else of the project; everybody else uses it from here.
"""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

# Not every system has all of them.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_BINARY"))
MOST_BYTES = 64 << 20  # of a file that people write, or that says what lies beside it


class NotRegular(OSError):
    """Raised for what is no regular file: a FIFO, a device, a socket, a directory."""


def read_regular(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a regular file of at most so many bytes.

    A FIFO would keep the reader waiting until somebody writes, for ever where nobody does, and a device need not end.

    Raises:
        OSError: `strerror` says why in words, also where it is no regular file or too large.
    """
    _require_regular(path.stat(), path)  # before it is opened: a device may act on that
    descriptor = os.open(path, _FLAGS)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _require_regular(status, path)  # the name may have become another's
        data = file.read(most + 1) if status.st_size <= most else None
    if data is None or len(data) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes", str(path))
    return data


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """Read a regular file that holds one JSON value.

    Raises:
        OSError: as `read_regular`.
        ValueError: if it is not JSON, or nested too deeply to be read.
    """
    return parse_json(read_regular(path, most))


def parse_json(data: bytes | str) -> Any:
    """Parse one JSON value.

    Raises:
        ValueError: if it is not JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def is_meant(path: Path) -> bool:
    """Say whether what lies in a directory of files counts as one of them: directories do not, nor hidden names without
    a file behind them, which editors leave. Whether it is a regular file shows when it is read."""
    return not path.is_dir() and (path.name[0] != "." or path.is_file())


def _require_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise NotRegular(errno.EINVAL, f"{kind}; put a regular file in its place", str(path))
