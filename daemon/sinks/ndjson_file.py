"""Appends records to an NDJSON file, each exactly once, and never shrinks what somebody may be reading."""

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from daemon.ports import OutboxRow
from pipeline.errors import SinkError
from pipeline.finding import LEVELS, Level

logger = structlog.get_logger(__name__)

_ADOPT_ROWS = 50_000  # more than a sink is offered between two marks
_MODE = 0o640  # findings name what is weak; the group is for those who collect them


class _Torn:
    """Lines that a failed write began.

    Attributes:
        lines: (position, bytes) of the rows.
        written: how many of their bytes are in the file.
    """

    def __init__(self, lines: Sequence[tuple[int, bytes]], written: int) -> None:
        self.lines = lines
        self.written = written

    @property
    def into_line(self) -> int:
        """Say how many of the written bytes belong to the line that is not whole."""
        end = 0
        for _, line in self.lines:
            if end + len(line) > self.written:
                return self.written - end
            end += len(line)
        return 0


class NdjsonFile:
    """A `daemon.ports.Sink`.

    The file is the proof of what was delivered: after a crash its end is compared with the rows that the ledger
    still holds, and writing goes on after the longest match, in the middle of a line if need be. The file is
    closed by renaming it to ``NAME.000001.ndjson`` and so on when it is full; when it was renamed, removed or
    truncated by others (logrotate), writing goes on at the start of a new one.
    """

    def __init__(
        self,
        path: Path,
        *,
        rotate_bytes: int,
        keep_segments: int,
        emit_changes_only: bool = False,
        min_level: Level = "info",
    ) -> None:
        """Nothing is opened before the first use.

        Args:
            rotate_bytes: a file that would grow beyond this is closed first.
            keep_segments: closed files that are kept; older ones are deleted.
        """
        self.name = f"file:{path}"
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._keep_segments = keep_segments
        self._changes_only = emit_changes_only
        self._least = LEVELS.index(min_level)
        self._file: int | None = None
        self._size = 0  # bytes that we know to be in the file
        self._torn: _Torn | None = None

    def recover(self, delivered: int, pending: Callable[[int], Sequence[OutboxRow]]) -> int:
        """Find the rows after `delivered` that the file already ends with; a torn last line is completed.

        Raises:
            SinkError: when the file cannot be read or written just now.
        """
        try:
            self._open()
            position = self._adopt(delivered, pending)
        except OSError as error:
            self._close()
            raise _explain(self._path, error) from error
        if position != delivered:
            logger.info("sink.adopted", sink=self.name, after=delivered, up_to=position)
        return position

    def write(self, rows: Sequence[OutboxRow]) -> None:
        """Append the rows that this sink wants, and wait until they are on disk.

        Raises:
            SinkError: when it cannot just now; offer the same rows again.
        """
        wanted = [row for row in rows if self._wants(row)]
        try:
            if self._torn is not None:
                last = self._torn.lines[-1][0]
                self._finish_torn(self._torn)
                wanted = [row for row in wanted if row.position > last]
            if wanted:
                self._append([(row.position, row.line + b"\n") for row in wanted])
        except OSError as error:
            raise _explain(self._path, error) from error

    def close(self) -> None:
        """Close the file; everything written is durable already."""
        self._close()

    def _wants(self, row: OutboxRow) -> bool:
        if row.kind == "scan":
            return True
        return (row.changed or not self._changes_only) and LEVELS.index(_level(row.level)) >= self._least

    # Writing

    def _append(self, lines: Sequence[tuple[int, bytes]]) -> None:
        data = b"".join([line for _, line in lines])
        file = self._current()
        if self._size and self._size + len(data) > self._rotate_bytes:
            self._rotate()
            file = self._current()
        self._write_all(file, lines, data)
        os.fdatasync(file)

    def _write_all(self, file: int, lines: Sequence[tuple[int, bytes]], data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                written = os.write(file, view)
                self._size += written
                view = view[written:]
        except OSError:
            if len(view) < len(data):  # a part is in the file: the same rows must go on exactly there
                self._torn = _Torn(lines, len(data) - len(view))
            raise

    def _finish_torn(self, torn: "_Torn") -> None:
        """Write what a failed write left out."""
        file = self._file if self._file is not None else self._open()
        done = torn.written
        if os.fstat(file).st_size < self._size:
            # Truncated under us: the beginning of the line is gone, so the line is written as a whole.
            self._size = os.fstat(file).st_size
            done -= torn.into_line
        data = b"".join([line for _, line in torn.lines])[done:]
        self._torn = None
        try:
            self._write_all(file, torn.lines, data)
        except OSError:
            left = self._torn.written if self._torn is not None else 0
            self._torn = _Torn(torn.lines, done + left)
            raise
        os.fdatasync(file)

    # Which file

    def _current(self) -> int:
        """Give the descriptor to write to, opening a new file where ours was taken away."""
        if self._file is not None and self._is_ours(self._file):
            return self._file
        self._close()
        return self._open()

    def _is_ours(self, file: int) -> bool:
        status = os.fstat(file)
        try:
            named = self._path.lstat()
        except FileNotFoundError:
            return False
        if (status.st_dev, status.st_ino) != (named.st_dev, named.st_ino):
            return False
        if status.st_size < self._size:  # truncated in place (copytruncate); with O_APPEND writing goes on at its end
            logger.warning("sink.truncated", sink=self.name, was=self._size, size=status.st_size)
            self._size = status.st_size
        return True

    def _open(self) -> int:
        if self._file is None:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            file = os.open(self._path, flags, _MODE)
            self._file = file
            self._size = os.fstat(file).st_size
            _sync_directory(self._path.parent)
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _rotate(self) -> None:
        """Close the file under the next number; whoever reads it by name or descriptor keeps all of it."""
        segments = self._segments()
        number = int(segments[-1].name.split(".")[-2]) + 1 if segments else 1
        self._path.rename(self._path.with_name(f"{self._path.stem}.{number:06d}{self._path.suffix}"))
        self._close()
        self._open()
        for old in segments[: max(0, len(segments) + 1 - self._keep_segments)]:
            old.unlink(missing_ok=True)
        _sync_directory(self._path.parent)
        logger.info("sink.rotated", sink=self.name, segment=number)

    def _segments(self) -> list[Path]:
        pattern = f"{self._path.stem}.[0-9][0-9][0-9][0-9][0-9][0-9]{self._path.suffix}"
        return sorted(self._path.parent.glob(pattern))

    # After a crash

    def _adopt(self, delivered: int, pending: Callable[[int], Sequence[OutboxRow]]) -> int:
        """Match the rows after `delivered` with the file's end.

        What a run wrote after its last mark is the end of the file, or of the segment before it if the crash came
        right after a rotation. A line occurs once, as its dedupe key does.
        """
        position = delivered
        lines: list[tuple[int, bytes]] = []
        while rows := pending(position):
            lines += [(row.position, row.line + b"\n") for row in rows if self._wants(row)]
            position = rows[-1].position
            if len(lines) > _ADOPT_ROWS:
                break
        if not lines:
            return delivered
        matched = 0
        for path in (*self._segments()[-1:], self._path):
            matched += self._match(path, lines[matched:])
        if not matched:
            self._end_foreign_line()
            return delivered
        return lines[matched - 1][0]

    def _match(self, path: Path, lines: Sequence[tuple[int, bytes]]) -> int:
        """Count the rows that a file ends with; a torn last one is completed, if it is in the open file."""
        if not lines:
            return 0
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - sum(len(line) for _, line in lines)))
            tail = file.read()
        first = lines[0][1]
        at = tail.find(first)
        if at < 0:
            at = tail.rfind(b"\n") + 1  # the first row itself may be torn
        matched = 0
        for _, line in lines:
            piece = tail[at : at + len(line)]
            if piece != line:
                if piece and at + len(piece) == len(tail) and line.startswith(piece) and path == self._path:
                    self._write_all(self._current(), (), line[len(piece) :])
                    os.fdatasync(self._current())
                    matched += 1
                break
            at += len(line)
            matched += 1
        return matched

    def _end_foreign_line(self) -> None:
        """Keep what follows apart from an unfinished line that is none of ours."""
        if self._size and not _ends_line(self._path, self._size):
            file = self._current()
            self._size += os.write(file, b"\n")
            os.fdatasync(file)


def _ends_line(path: Path, at: int) -> bool:
    with path.open("rb") as file:
        file.seek(at - 1)
        return file.read(1) == b"\n"


def _level(text: str) -> Level:
    return next(level for level in LEVELS if level == text)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(path: Path, error: OSError) -> SinkError:
    advice = {
        errno.ENOSPC: "make room; writing goes on by itself",
        errno.EROFS: "remount it writable; writing goes on by itself",
        errno.EACCES: "give the service write permission",
        errno.ELOOP: "it is a symbolic link; name the file itself",
    }.get(error.errno or 0, "writing is tried again")
    return SinkError(f"{path}: {error.strerror}; {advice}")
