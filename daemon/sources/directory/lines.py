"""A stream of lines read in bounded pieces; only whole lines are taken."""

from collections.abc import Iterator
from dataclasses import dataclass

from daemon.sources.directory.content import Content
from pipeline.finding import EXCERPT_BYTES

_SEARCH_BYTES = 1 << 20


@dataclass(slots=True, frozen=True)
class Line:
    """A line without its end; `data` is only its beginning when it is longer than allowed."""

    offset: int
    data: bytes
    too_long: bool = False


@dataclass(slots=True, frozen=True)
class Piece:
    """Whole lines, and the position behind them.

    Attributes:
        start: of `data`; what lies between the position before and here are NUL bytes.
        data: the bytes up to `end` as the lines were taken from them; None where the only line is too long to be held.
    """

    lines: list[Line]
    start: int
    end: int
    data: bytes | None


class LineReader:
    """Takes whole lines from `offset` on.

    Attributes:
        searched: no line ends between the last piece and here, so that a huge unfinished line is looked at once.
    """

    def __init__(self, content: Content, offset: int, searched: int, chunk_bytes: int, max_line_bytes: int) -> None:
        self._content = content
        self._offset = offset
        self._chunk = chunk_bytes
        self._max = max_line_bytes
        self.searched = max(searched, offset)

    def pieces(self) -> Iterator[Piece]:
        """Yield what is whole until the end of the content as it is now."""
        while True:
            start = self._content.skip_hole(self._offset)
            if start is None:
                return
            piece = self._take(start)
            if piece is None:
                return
            yield piece
            self._offset = piece.end
            self.searched = piece.end

    def unfinished(self) -> Line | None:
        """Give the last line when it has no end yet; `data` is at most one byte longer than a line may be."""
        start = self._content.skip_hole(self._offset)
        if start is None:
            return None
        data = self._content.read(self._max + 1, start)
        return Line(start, data, len(data) > self._max) if data else None

    def _take(self, start: int) -> Piece | None:
        data = b""
        if self.searched < start + self._chunk:
            data = self._content.read(self._chunk, start)
        end = data.rfind(b"\n") + 1
        if end:
            lines = []
            position = start
            for text in data[: end - 1].split(b"\n"):
                lines.append(self._line(position, text))
                position += len(text) + 1
            return Piece(lines, start, start + end, data[:end])
        self.searched = max(self.searched, start + len(data))
        newline = self._find_newline(self.searched)
        if newline is None:
            return None
        length = newline - start
        if length > self._max:
            line = Line(start, self._content.read(EXCERPT_BYTES, start), too_long=True)
            return Piece([line], start, newline + 1, None)
        data = self._content.read(length + 1, start)
        return Piece([self._line(start, data.removesuffix(b"\n"))], start, newline + 1, data)

    def _line(self, offset: int, data: bytes) -> Line:
        # A writer that does not append leaves a hole where its file was truncated; it reads as NUL bytes.
        if data.startswith(b"\0"):
            stripped = data.lstrip(b"\0")
            offset += len(data) - len(stripped)
            data = stripped
        data = data.removesuffix(b"\r")
        if len(data) > self._max:
            return Line(offset, data[:EXCERPT_BYTES], too_long=True)
        return Line(offset, data)

    def _find_newline(self, position: int) -> int | None:
        while True:
            data = self._content.read(_SEARCH_BYTES, position)
            if not data:
                self.searched = position
                return None
            found = data.find(b"\n")
            if found >= 0:
                return position + found
            position += len(data)
