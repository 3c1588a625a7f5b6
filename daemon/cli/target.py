"""Where a command writes what may be large: a file, or standard output."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from daemon.cli.exits import Exit, die
from daemon.settings import Settings
from pipeline.errors import ConfigError
from pipeline.shortage import is_shortage

_BUFFER = 1 << 20


@contextmanager
def open_target(
    output: Path | None, sources: Sequence[str], what: str, settings: Settings | None = None
) -> Iterator[BinaryIO]:
    """Lend a file to be written, or standard output.

    A file gets its name when all of it is on the disk, so whoever reads it finds the old one or the new one, whole; it
    is for its owner alone, because findings name what is weak. What is no file (a pipe, a device) is written to.

    Args:
        sources: files to be read, and `what` each of them is: the program ends where the output is one of these.
        settings: of the daemon, whose own output is not overwritten either.
    """
    if output is None:
        with os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=_BUFFER) as file:
            yield file
        return
    for source in sources:
        if output.exists() and Path(source).exists() and output.samefile(source):
            die(Exit.USAGE, f"{output}: is a {what} to be read, and would be overwritten; choose another --output")
    if settings is not None and _is_own(output, settings):
        die(Exit.USAGE, f"{output}: is what the daemon writes, and would be overwritten; choose another --output")
    if output.exists() and not output.is_file():
        with output.open("wb", buffering=_BUFFER) as file:
            yield file
        return
    place = output.resolve()  # of a link, the file that it leads to is replaced
    number, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with os.fdopen(number, "wb", buffering=_BUFFER) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).rename(place)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    _sync_directory(place.parent)


def _is_own(output: Path, settings: Settings) -> bool:
    """Say whether the daemon writes there: its output, what that was before, or the ledger."""
    try:
        own = settings.output_path
        state = settings.state_dir
    except ConfigError:  # nobody said where
        return False
    place, own = output.resolve(), own.resolve()
    is_segment = place.parent == own.parent and place.match(f"{own.stem}.*{own.suffix}") and place.exists()
    return place == own or is_segment or (place.parent == state.resolve() and place.suffix in (".db", ".mark"))


def _sync_directory(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


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
