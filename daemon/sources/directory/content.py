"""The bytes of a report, in a file or already unpacked."""

import os
from collections.abc import Generator
from dataclasses import dataclass

from daemon.ports.files import FileIdentity
from daemon.sources.directory.identity import birth_ns

_SEARCH_BYTES = 1 << 20
_STEP_BYTES = 16 * _SEARCH_BYTES  # some 10 ms between two turns of the loop


@dataclass(slots=True)
class Content:
    """Read-only bytes with positions: of an open file, or `data` when that was compressed."""

    descriptor: int
    data: bytes | None = None

    def size(self) -> int:
        return os.fstat(self.descriptor).st_size if self.data is None else len(self.data)

    def read(self, length: int, offset: int) -> bytes:
        if self.data is None:
            return os.pread(self.descriptor, length, offset)
        return self.data[offset : offset + length]

    def skip_hole(self, offset: int) -> int | None:
        """Give the first position from `offset` on that is not NUL, or None at the end.

        A writer that does not append leaves a hole where its file was truncated. NUL bytes at the end are another
        matter: they may be space that a writer has reserved.
        """
        while True:
            first = self.read(1, offset)
            if not first:
                return None
            if first != b"\0":
                return offset
            offset = self._data_after(offset)
            data = self.read(_SEARCH_BYTES, offset)
            stripped = data.lstrip(b"\0")
            offset += len(data) - len(stripped)
            if stripped:
                return offset

    def _data_after(self, offset: int) -> int:
        if self.data is None:
            try:
                return os.lseek(self.descriptor, offset, os.SEEK_DATA)
            except OSError:  # only a hole up to the end, or a file system that knows no holes
                pass
        return offset


def identify(content: Content) -> FileIdentity:
    """Say which file it is."""
    status = os.fstat(content.descriptor)
    return FileIdentity(status.st_dev, status.st_ino, birth_ns(content.descriptor))


def begins(one: Content, other: Content) -> Generator[None, None, bool]:
    """Compare byte for byte whether `one` is a beginning of `other`; yields now and then."""
    size = one.size()
    if size > other.size():
        return False
    for position in range(0, size, _SEARCH_BYTES):
        length = min(_SEARCH_BYTES, size - position)
        if one.read(length, position) != other.read(length, position):
            return False
        if position % _STEP_BYTES == 0 and position:
            yield
    return True


def end_of_lines(content: Content) -> int:
    """Give the position behind the last line end."""
    end = content.size()
    while end > 0:
        start = max(0, end - _SEARCH_BYTES)
        found = content.read(end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
