"""A line on the terminal that says how far a long piece of work is."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from pipeline.display import printable

Advance = Callable[[str, int, int], None]  # (step, done, total)

_WIDTH = 30
_PATIENCE_S = 0.5  # what is done sooner needs no line
_REDRAW_S = 0.1


@contextmanager
def bars(stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> Iterator[Advance]:
    """Yield what is told of progress, and draw it where the stream (standard error by default) is a terminal.

    The line is wiped when a step is done and at the end, so that what is printed next finds a clean one.
    """
    line = _Bar(stream or sys.stderr, clock)
    try:
        yield line.advance
    finally:
        line.wipe()


class _Bar:
    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._clock = clock
        self._step: str | None = None
        self._since = self._drawn_at = 0.0
        self._drawn = False

    def advance(self, step: str, done: int, total: int) -> None:
        if not self._terminal:
            return
        now = self._clock()
        if step != self._step:
            self._step, self._since, self._drawn_at = step, now, now + _PATIENCE_S - _REDRAW_S
        if done >= total:
            self.wipe()
            self._step = None
        elif now - self._drawn_at >= _REDRAW_S:
            self._drawn_at, self._drawn = now, True
            filled = _WIDTH * done // total
            bar = "#" * filled + "." * (_WIDTH - filled)
            left = _duration((now - self._since) / done * (total - done)) if done else ""
            self._stream.write(f"\r{bar} {done:,} of {total:,} {printable(step, 60)}{left}\x1b[K")
            self._stream.flush()

    def wipe(self) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = False


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f", {minutes}:{rest:02} left"
