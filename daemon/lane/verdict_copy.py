"""The file in which a worker keeps a copy of the verdicts' topic: what is wrong with it, and how it is made anew.

The topic is the log, so a copy that is damaged is moved aside and read anew; nothing of it is worth mending.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from pipeline.errors import LedgerError, UnknownSchema
from pipeline.review.chain import Row, check
from pipeline.review.log import NotBegun, VerdictLog

_BESIDE = ("-wal", "-shm")  # what SQLite keeps beside a database, and would apply to whatever has its name

Signature = tuple[int, int, int, int]


def how_it_is_mended(topic: str) -> str:
    """Say in a sentence what becomes of a copy that is damaged or gone."""
    return (
        f"It is a copy of kafka {topic}: a worker that runs in this directory reads it anew by itself, and so does "
        "every command that decides"
    )


@contextmanager
def advised(path: Path, topic: str | None) -> Iterator[None]:
    """Say what is right where the log cannot be opened; `topic`: that it is a copy of, None where it is no copy.

    Raises:
        LedgerError: when it cannot be used.
    """
    try:
        yield
    except LedgerError as error:
        if topic is None or error.transient:
            raise
        raise LedgerError(f"{path}: cannot be read, or is damaged. {how_it_is_mended(topic)}") from error


def damage_of(path: Path) -> str | None:
    """Say what is wrong with a copy, so that it is none any more; None where it is whole, or there is none.

    Raises:
        LedgerError: when it cannot be looked at just now, or a newer version wrote it.
    """
    if not path.exists() or not path.stat().st_size:
        return None
    try:
        with VerdictLog.open(path, read_only=True) as log:
            return next(chain(log.strange(), check(log.rows())), None)
    except NotBegun:
        return None
    except UnknownSchema:
        raise
    except LedgerError as error:
        if error.transient:
            raise
        return str(error).removeprefix(f"{path}: ")


def put_aside(path: Path) -> Path:
    """Move a copy out of the way, with what is beside it; the one that was moved before goes."""
    aside = path.with_name(f"{path.name}.damaged")
    for suffix in ("", *_BESIDE):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{aside}{suffix}")
    return aside


def signature(path: Path) -> Signature | None:
    """Give what is another one when somebody has written to the file itself, or put another in its place."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class NewCopy:
    """A copy that is made beside its place, and moved there when it is whole: who reads it never sees a part."""

    def __init__(self, path: Path) -> None:
        """Begin; nothing is written before there are rows."""
        self._path = path
        self._temporary = path.with_name(f"{path.name}.new")
        _remove(self._temporary)
        self._log: VerdictLog | None = None

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows.

        Raises:
            LedgerError: when they cannot be stored.
        """
        if self._log is None:
            self._log = VerdictLog.open(self._temporary)
        self._log.copy(rows)

    def finish(self) -> None:
        """Put it in its place, if it has rows."""
        if self._log is None:
            return
        self._log.close()
        self._log = None
        for suffix in _BESIDE:  # of a file that was removed without them
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        self._temporary.replace(self._path)

    def drop(self) -> None:
        """Leave nothing of it, where it was not finished."""
        if self._log is not None:
            self._log.close()
            self._log = None
        _remove(self._temporary)


def _remove(path: Path) -> None:
    for suffix in ("", *_BESIDE):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
