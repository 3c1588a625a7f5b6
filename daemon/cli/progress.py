"""A line on the terminal that says how far a long piece of work is."""

from types import TracebackType
from typing import Self, TextIO

from pipeline.display import printable

_LEAST = 2000  # findings; less is done before anybody looks
_WIDTH = 30


class Progress:
    """Draws on a terminal and nowhere else, and leaves nothing behind."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream if stream.isatty() else None
        self._name = ""
        self._total = 0
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def begin(self, name: str, total: int) -> None:
        """Start on a piece of work with so many parts."""
        self._name, self._total, self._done = printable(name, 40), total, 0

    def advance(self, count: int) -> None:
        """Say that so many more parts are done."""
        self._done += count
        if self._stream is not None and self._total >= _LEAST:
            filled = _WIDTH * self._done // self._total
            bar = "#" * filled + "." * (_WIDTH - filled)
            self._stream.write(f"\r{bar} {self._done:,} of {self._total:,} findings of {self._name}\x1b[K")
            self._stream.flush()

    def end(self) -> None:
        """Wipe the line."""
        if self._stream is not None and self._total >= _LEAST:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
        self._total = 0
