"""Writes the log without ever holding the work up: a reader that is slow, or gone costs lines, which are counted."""

import atexit
import contextlib
import threading
from collections import deque
from collections.abc import Callable

MAX_WAITING_LINES = 10_000
MAX_WAITING_BYTES = 8 << 20
_AT_THE_END_S = 2.0  # that the end of the program waits for a reader that does not read


class LogWriter:
    """Hands lines to a thread, which alone waits for whoever reads them.

    A line is dropped when too much waits, or when it cannot be written; the next one that can be is preceded by a line
    that says how many were. Closed or broken standard error is no error of the work.
    """

    def __init__(self, write: Callable[[bytes], object], say_dropped: Callable[[int], bytes]) -> None:
        """Args:
        write: takes a whole line; may block, and raise OSError or ValueError.
        say_dropped: makes the line for so many dropped ones.
        """
        self._write = write
        self._say_dropped = say_dropped
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._unsaid = 0
        self._busy = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def write(self, line: bytes) -> int:
        """Take a line, or drop it; returns at once."""
        with self._changed:
            if len(self._waiting) >= MAX_WAITING_LINES or self._bytes + len(line) > MAX_WAITING_BYTES:
                self._drop()
                return len(line)
            self._waiting.append(line)
            self._bytes += len(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # no thread can be had: the log is not worth more
                    self._thread = None
                    self._waiting.pop()
                    self._bytes -= len(line)
                    self._drop()
            self._changed.notify_all()
        return len(line)

    def flush(self, timeout_s: float = 0.0) -> bool:
        """Wait until all is written, as long as lines go out at least every `timeout_s`; says whether it is."""
        with self._changed:
            while self._waiting or self._busy:
                before = len(self._waiting)
                if not timeout_s or not self._changed.wait(timeout_s) or len(self._waiting) > before:
                    return False
        return True

    def close(self) -> None:
        """Write what waits, unless nobody reads it."""
        self.flush(_AT_THE_END_S)

    def _drop(self) -> None:
        self.dropped += 1
        self._unsaid += 1

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                line = self._waiting.popleft()
                self._bytes -= len(line)
                unsaid = self._unsaid
                self._busy = True
            written = False
            with contextlib.suppress(OSError, ValueError):  # closed, broken, a full disk
                self._write((self._say_dropped(unsaid) if unsaid else b"") + line)
                written = True
            with self._changed:
                self._busy = False
                if written:
                    self._unsaid -= unsaid
                else:
                    self._drop()
                self._changed.notify_all()


class TextFace:
    """The writer as a text stream, for what writes text; a line is handed on when it ends."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._begun = ""

    def write(self, text: str) -> int:
        """Take a piece of text."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._writer.write(line.encode("utf-8", "backslashreplace") + b"\n")
        return len(text)

    def flush(self) -> None:
        """Do nothing: a line that has ended is on its way."""


_of_standard_error: LogWriter | None = None  # one a process


def owner_of_standard_error(make: Callable[[], LogWriter]) -> LogWriter:
    """Return the writer of this process, made when it is first asked for."""
    global _of_standard_error
    if _of_standard_error is None:
        _of_standard_error = make()
        atexit.register(_of_standard_error.close)
    return _of_standard_error


def dropped_lines() -> int:
    """Count the lines of the log that nobody could be given."""
    return _of_standard_error.dropped if _of_standard_error is not None else 0


def finish() -> None:
    """Write what waits, before somebody else writes to standard error."""
    if _of_standard_error is not None:
        _of_standard_error.close()
