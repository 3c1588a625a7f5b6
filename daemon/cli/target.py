"""Where a command writes what may be large: a file, or standard output."""

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from daemon.cli.exits import Exit, die
from pipeline.shortage import is_shortage

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_MODE = 0o640  # as the daemon's: findings name what is weak


def open_target(output: Path | None, sources: Sequence[str], what: str) -> BinaryIO:
    """Open a file to be written, or standard output.

    It ends the program where that is one of the sources, which are files to be read; `what` each of them is.
    """
    if output is None:
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=1 << 20)
    for source in sources:
        if output.exists() and Path(source).exists() and output.samefile(source):
            die(Exit.USAGE, f"{output}: is a {what} to be read, and would be overwritten; choose another --output")
    return os.fdopen(os.open(output, _CREATE, _MODE), "wb", buffering=1 << 20)


def finish_target(file: BinaryIO, output: Path | None) -> None:
    """Have all of it written; a file, on the disk."""
    file.flush()
    if output is not None and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        os.fsync(file.fileno())


@contextmanager
def explained(output: Path | None) -> Iterator[None]:
    """Say in one line that the output cannot be written, at whatever point that shows."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if is_shortage(error):
            raise
        die(Exit.USAGE, f"{output or 'standard output'}: cannot be written: {error.strerror}")
