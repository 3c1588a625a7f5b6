"""A terminal read key by key, and drawn anew after each."""

import contextlib
import os
import shutil
import sys
import termios
import textwrap
import tty
from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType

_NAMED = {
    "\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down", "\r": "enter", "\n": "enter",
    "\x7f": "backspace", "\x08": "backspace", "\x1b": "escape", "\x04": "end",
}  # fmt: skip
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_CLEAR = "\x1b[2J\x1b[H"


class Keyboard:
    """The terminal of a person, without waiting for the end of a line; given back as it was."""

    def __init__(self, source: int = 0) -> None:
        self._source = source
        self._before = termios.tcgetattr(source)
        self._waiting: deque[str] = deque()

    def __enter__(self) -> "Keyboard":
        tty.setcbreak(self._source)  # signals stay signals
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(termios.error):  # a terminal that is gone
            termios.tcsetattr(self._source, termios.TCSADRAIN, self._before)

    def key(self) -> str:
        """Wait for a key: a character, or a name such as ``up`` and ``enter``; ``end`` where no more will come."""
        while not self._waiting:
            read = os.read(self._source, 1024)
            if not read:
                return "end"
            self._waiting.extend(_keys(read.decode("utf-8", "replace")))
        return self._waiting.popleft()

    def line(self, prompt: str, given: str = "") -> str | None:
        """Ask for a line; Enter alone takes what is `given`. None where it was left with Escape."""
        said: list[str] = []
        while True:
            shown = f" [{given}]" if given and not said else ""
            sys.stdout.write(f"\r\x1b[K{prompt}{shown}: {''.join(said)}")
            sys.stdout.flush()
            key = self.key()
            if key in ("escape", "end"):
                return None
            if key == "enter":
                return "".join(said).strip() or given
            if key == "backspace":
                del said[-1:]
            elif len(key) == 1 and key.isprintable():
                said.append(key)


def draw(head: str, body: Sequence[str], foot: Sequence[str]) -> None:
    """Show a page: as much of the body as there is room for."""
    width, height = shutil.get_terminal_size()
    width = max(width, 20)
    wrapped = [part for line in body for part in (textwrap.wrap(line, width) or [""])]
    below = [part for line in foot for part in textwrap.wrap(line, width)]
    room = max(height - len(below) - 3, 3)
    cut = [*wrapped[: room - 1], "…"] if len(wrapped) > room else wrapped
    page = [f"{_BOLD}{head[:width]}{_PLAIN}", *cut, "", *(f"{_DIM}{line}{_PLAIN}" for line in below)]
    sys.stdout.write(_CLEAR + "\n".join(page) + "\n")
    sys.stdout.flush()


def _keys(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        for length in (3, 1):
            part = text[at : at + length]
            if part in _NAMED and (length > 1 or part != "\x1b" or text[at + 1 : at + 2] not in ("[", "O")):
                yield _NAMED[part]
                break
        else:
            length = 1
            if text[at] == "\x1b":  # a key that means nothing here: up to its last character
                length = (
                    next((n for n in range(2, len(text) - at) if text[at + n].isalpha() or text[at + n] == "~"), 2) + 1
                )
            else:
                yield text[at]
        at += length
