"""The end of a file that lines were appended to, searched for those that got there."""

import errno
import os

_SLACK = 4 << 20  # what others may have appended in between


class Tail:
    """Finds lines in order of writing."""

    def __init__(self, file: int, size: int) -> None:
        """Read the last `size` bytes, and some more for what others wrote.

        Args:
            file: a descriptor opened for reading; completing a line needs `O_APPEND`, too.
        """
        self._file = file
        end = os.fstat(file).st_size
        self._start = max(0, end - size - _SLACK)
        self._data = _read(file, self._start, end)
        self._first: int | None = None  # where the first line of ours begins
        self._at = 0

    def take(self, line: bytes) -> bool:
        """Find the next line; says whether it is there."""
        at = self._data.find(line, self._at)
        if at < 0:
            return False
        if self._first is None:
            self._first = at
        self._at = at + len(line)
        return True

    def complete(self, line: bytes) -> bool:
        """Append the rest of a line whose beginning the file ends with; says whether it did."""
        begun = self._data[self._data.rfind(b"\n") + 1 :]
        if not begun or not line.startswith(begun):
            return False
        rest = line[len(begun) :]
        while rest:
            try:
                rest = rest[os.write(self._file, rest) :]
            except OSError as error:
                if error.errno == errno.EBADF:  # may be read only: somebody took it over
                    return False
                raise
        if self._first is None:
            self._first = len(self._data) - len(begun)
        self._at = len(self._data)
        return True

    def sync(self, *, rewrite: bool) -> None:
        """Make the lines that were found durable.

        Args:
            rewrite: a sync has failed. The kernel then takes pages for clean that never reached the disk, and the
                next sync would succeed in vain; writing the same bytes once more makes them dirty again.
        """
        if self._first is None:
            return
        if rewrite:
            self._rewrite(self._first)
        os.fdatasync(self._file)

    def _rewrite(self, first: int) -> None:
        begin, data = self._start + first, self._data[first : self._at]
        try:
            # A descriptor that appends writes at the end, whatever offset is given.
            again = os.open(f"/proc/self/fd/{self._file}", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:  # not ours to write any more
            return
        try:
            if _read(self._file, begin, begin + len(data)) == data:
                _write_at(again, data, begin)
        finally:
            os.close(again)


def _read(file: int, start: int, end: int) -> bytes:
    parts: list[bytes] = []
    while start < end:
        part = os.pread(file, end - start, start)
        if not part:
            break
        parts.append(part)
        start += len(part)
    return b"".join(parts)


def _write_at(file: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written
