"""The bytes of a report, in a file or already unpacked, and whether they still are what was read before."""

import os
from dataclasses import dataclass

from daemon.ports.inputs import FileIdentity, FileState
from daemon.sources.identity import HEAD_BYTES, TAIL_BYTES, birth_ns
from pipeline.keys import content_digest

_SEARCH_BYTES = 1 << 20


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

    def tail(self, offset: int) -> bytes:
        """Give the at most 256 bytes before `offset`."""
        start = max(0, offset - TAIL_BYTES)
        return self.read(offset - start, start)

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


def identify(content: Content, length: int = HEAD_BYTES) -> FileIdentity:
    """Say which file it is now, by at most `length` bytes of its head.

    Of a stream only bytes that were consumed may count: what follows them can still be filled in by its writer.
    """
    status = os.fstat(content.descriptor)
    head = content.read(min(length, HEAD_BYTES), 0)
    return FileIdentity(status.st_dev, status.st_ino, birth_ns(content.descriptor), len(head), content_digest(head))


def continues(state: FileState, content: Content) -> bool:
    """Say whether the content begins with what was consumed under `state`, as far as head and tail can tell."""
    identity = state.identity
    if content.size() < max(state.offset, identity.head_length):
        return False
    if content_digest(content.read(identity.head_length, 0)) != identity.head_digest:
        return False
    return state.offset == 0 or content_digest(content.tail(state.offset)) == state.tail_digest


def share_beginning(one: Content, other: Content) -> bool:
    """Say whether the shorter is a beginning of the longer, by its first 1024 and last 256 bytes."""
    length = min(one.size(), other.size())
    if length == 0:
        return False
    head = min(length, HEAD_BYTES)
    return one.read(head, 0) == other.read(head, 0) and one.tail(length) == other.tail(length)


def begins(one: Content, other: Content) -> bool:
    """Say whether `one` is, byte for byte, a beginning of `other`."""
    size = one.size()
    if size > other.size():
        return False
    step = _SEARCH_BYTES
    return all(
        one.read(min(step, size - position), position) == other.read(min(step, size - position), position)
        for position in range(0, size, step)
    )


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
