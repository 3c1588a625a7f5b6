"""Appends records to an NDJSON file, each exactly once, and never shrinks what somebody may be reading."""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from daemon.log import get_logger
from daemon.ports.outbox import OutboxRow
from daemon.ports.sink import Pending
from daemon.sinks.tail import Tail
from daemon.sinks.wanted import wanted
from pipeline.errors import SinkError
from pipeline.finding import Level

logger = get_logger(__name__)

_MODE = 0o640  # findings name what is weak; the group is for those who collect them
_SIBLINGS = 4  # files beside ours that are searched for what a crash or a fault left unclear

Lines = Sequence[tuple[int, bytes]]  # (position, bytes with the line end)


class NdjsonFile:
    """A `daemon.ports.sink.Sink` that holds nothing back.

    The file is the proof of what was delivered. After a crash, and after every failed write, its end is compared with
    the rows that are to be written: what is there already is made durable and passed over, a torn last line is
    completed, and the rest is appended. The file is closed by renaming it to ``NAME.000001.ndjson`` and so on when it
    is full; when it was renamed, removed or truncated by others (logrotate), writing goes on at the start of a new one.
    """

    max_held: int | None = None

    def __init__(
        self,
        path: Path,
        *,
        rotate_bytes: int,
        keep_segments: int,
        emit_changes_only: bool = False,
        min_level: Level = "info",
        lines: Callable[[OutboxRow], Sequence[bytes]] = lambda row: (row.line,),
    ) -> None:
        """Nothing is opened before the first use.

        Args:
            rotate_bytes: a file that would grow beyond this is closed first; one batch may be larger.
            keep_segments: closed files that are kept; older ones are deleted.
            lines: gives the lines of a row that is wanted, without their ends, always the same for the same row.
        """
        self.name = f"file:{path}"
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._keep_segments = keep_segments
        self._lines_of = lines
        self._wants = wanted(changes_only=emit_changes_only, min_level=min_level)
        self._file: int | None = None
        self._end = 0  # where our last line ended; others may have changed the file since
        self._unsynced = False  # a sync has failed, or is under way
        self._sure = False  # everything that we began to write is known to be written
        self._durable = 0  # position up to which all is on disk

    def tell(self, wake: Callable[[], None]) -> None:
        """Do nothing: all is done when `write` returns."""

    def recover(self, delivered: int, pending: Pending) -> int:
        """Find the rows after `delivered` that are in the file already; a torn last line is completed.

        Raises:
            SinkError: when the file cannot be read or written just now.
        """
        position, begun = delivered, False
        self._sure = False
        try:
            self._current()
            while rows := pending(position):
                lines = self._lines(rows)
                found = self._adopt(lines)
                if found:
                    position = lines[found - 1][0]
                    begun = found < len(lines)
                if not lines or found < len(lines):
                    break
        except OSError as error:
            raise _explain(self._path, error) from error
        # Of a row that is many lines, some may be there; the others come when it is written.
        self._sure = not begun
        self._durable = position
        if position != delivered:
            logger.info("sink.adopted", sink=self.name, after=delivered, up_to=position)
        return position

    def write(self, rows: Sequence[OutboxRow]) -> int:
        """Append the rows that this sink wants, and wait until they are on disk; returns the last row's position.

        Raises:
            SinkError: when it cannot just now; offer the same rows again, or more of them.
        """
        lines = self._lines(rows)
        try:
            if lines and not self._sure:
                lines = lines[self._adopt(lines) :]
            if lines:
                self._sure = False
                self._append(lines)
                self._sure = True
        except OSError as error:
            raise _explain(self._path, error) from error
        if rows:
            self._durable = rows[-1].position
        return self._durable

    def close(self) -> None:
        """Close the file; everything that was reported as written is durable."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lines(self, rows: Sequence[OutboxRow]) -> list[tuple[int, bytes]]:
        """Give the lines of rows, each with the position up to which a row is whole once it is written."""
        found: list[tuple[int, bytes]] = []
        for row in filter(self._wants, rows):
            *first, last = self._lines_of(row)
            found += [(row.position - 1, line + b"\n") for line in first]
            found.append((row.position, last + b"\n"))
        return found

    # Writing

    def _append(self, lines: Lines) -> None:
        data = b"".join([line for _, line in lines])
        file, size = self._current()
        if size and size + len(data) > self._rotate_bytes:
            self._rotate()
            file, size = self._current()
        if size and size != self._end and os.pread(file, 1, size - 1) != b"\n":
            data = b"\n" + data  # keep ours apart from the unfinished line of somebody else
        _write_all(file, data)
        self._end = size + len(data)
        self._unsynced = True
        os.fdatasync(file)
        self._unsynced = False

    def _rotate(self) -> None:
        """Close the file under the next number; whoever reads it by name or descriptor keeps all of it."""
        segments = self._segments()
        number = segments[-1][0] + 1 if segments else 1
        self._path.rename(self._path.with_name(f"{self._path.stem}.{number:06d}{self._path.suffix}"))
        self.close()
        self._open()
        for _, old in segments[: max(0, len(segments) + 1 - self._keep_segments)]:
            old.unlink(missing_ok=True)
        _sync_directory(self._path.parent)
        logger.info("sink.rotated", sink=self.name, segment=number)

    def _segments(self) -> list[tuple[int, Path]]:
        pattern = re.compile(rf"{re.escape(self._path.stem)}\.([0-9]{{6,}}){re.escape(self._path.suffix)}")
        matches = ((pattern.fullmatch(path.name), path) for path in self._path.parent.iterdir())
        return sorted((int(match[1]), path) for match, path in matches if match is not None)

    # Which file

    def _current(self) -> tuple[int, int]:
        """Give the descriptor to write to and the file's size, opening a new file where ours was taken away."""
        if self._file is not None and not self._is_named(self._file):
            self.close()
        file = self._file if self._file is not None else self._open()
        size = os.fstat(file).st_size
        if size < self._end:  # truncated in place (copytruncate); with O_APPEND writing goes on at its end
            logger.warning("sink.truncated", sink=self.name, was=self._end, size=size)
            self._end = size
        return file, size

    def _is_named(self, file: int) -> bool:
        try:
            named = self._path.lstat()
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(file), named)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            file = os.open(self._path, flags)
        except FileNotFoundError:
            # A missing directory is not made: it may be one that is not mounted yet.
            file = os.open(self._path, flags | os.O_CREAT, _MODE)
            os.fchmod(file, _MODE)  # whatever the umask
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            _sync_directory(self._path.parent)
        except OSError:
            os.close(file)
            raise
        self._file = file
        self._end = 0
        return file

    # After a crash or a fault

    def _adopt(self, lines: Lines) -> int:
        """Count the lines that are written already, and make them durable; a torn last one is completed.

        They are at the end of the file; or of one beside it, when it was rotated before we could tell. Each line
        occurs once, as its dedupe key does. What comes between or after them was written by others.
        """
        found = 0
        with contextlib.ExitStack() as stack:
            tails = [Tail(file, sum(len(line) for _, line in lines)) for file in self._places(stack)]
            searching = True
            while searching:
                before = found
                for tail in tails:
                    while found < len(lines) and tail.take(lines[found][1]):
                        found += 1
                searching = found > before
            if found < len(lines) and any(tail.complete(lines[found][1]) for tail in tails):
                found += 1
            rewrite, self._unsynced = self._unsynced, True
            for tail in tails:
                tail.sync(rewrite=rewrite)
            self._unsynced = False
        return found

    def _places(self, stack: contextlib.ExitStack) -> Iterator[int]:
        """Give descriptors of the files to search: the one held, the one that has the name, and those beside it."""
        seen: set[tuple[int, int]] = set()
        if self._file is not None and not self._is_named(self._file):
            held = os.fstat(self._file)
            if held.st_nlink:  # what was removed is not delivered
                seen.add((held.st_dev, held.st_ino))
                yield stack.enter_context(_lent(os.dup(self._file)))
        file, _ = self._current()
        status = os.fstat(file)
        seen.add((status.st_dev, status.st_ino))
        yield file
        for path in self._siblings():
            with contextlib.suppress(OSError):  # gone since, or not ours to read
                other = stack.enter_context(_lent(_open_sibling(path)))
                status = os.fstat(other)
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    yield other

    def _siblings(self) -> list[Path]:
        """List the latest files that our file may have become: our segments, and what logrotate makes."""
        found: list[tuple[int, Path]] = []
        for path in self._path.parent.iterdir():
            if path.name.startswith(self._path.stem) and path.name != self._path.name:
                with contextlib.suppress(OSError):
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode):
                        found.append((status.st_mtime_ns, path))
        return [path for _, path in sorted(found, reverse=True)[:_SIBLINGS]]


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


@contextlib.contextmanager
def _lent(file: int) -> Iterator[int]:
    try:
        yield file
    finally:
        os.close(file)


def _open_sibling(path: Path) -> int:
    flags = os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, os.O_RDWR | flags)
    except PermissionError:
        return os.open(path, os.O_RDONLY | flags)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(path: Path, error: OSError) -> SinkError:
    advice = {
        errno.ENOSPC: "make room; writing goes on by itself",
        errno.EDQUOT: "make room; writing goes on by itself",
        errno.EROFS: "remount it writable; writing goes on by itself",
        errno.EACCES: "give the service write permission",
        errno.ELOOP: "it is a symbolic link; name the file itself",
        errno.EISDIR: "name a file in it",
        errno.EINVAL: "name a regular file",
        errno.ENOENT: "create the directory, or mount what it lies on",
        errno.ENOTDIR: "a part of the path is a file",
    }.get(error.errno or 0, "writing is tried again")
    return SinkError(f"{path}: {error.strerror}; {advice}")
