"""Wakes a thread that waits at a selector."""

import contextlib
import os

_MOST_BYTES = 1 << 16  # a pipe holds no more


class Bell:
    """A pipe to oneself, which every system has. Anybody may ring it; one thread waits at `end`, and hushes it.

    Attributes:
        end: descriptor to wait for.
    """

    def __init__(self) -> None:
        """Open it.

        Raises:
            OSError: if there is no descriptor left.
        """
        self.end, self._other = os.pipe()
        for end in (self.end, self._other):
            os.set_blocking(end, False)

    def ring(self) -> None:
        """Wake the thread, now or when it waits the next time."""
        with contextlib.suppress(BlockingIOError):  # full of earlier rings, of which one is enough
            os.write(self._other, b"\0")

    def hush(self) -> bool:
        """Take all rings off; returns whether there was any."""
        try:
            return bool(os.read(self.end, _MOST_BYTES))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Close it, when nobody waits or rings any more."""
        os.close(self.end)
        os.close(self._other)
