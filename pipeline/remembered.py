"""A table of what was worked out before, of a bounded size."""

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Remembered(dict[K, V]):
    """A dictionary that is begun anew when it is full.

    It is for results that can be worked out again, under keys that come from reports, of which there can be any number.
    Nothing is kept of the order in which they were used: what comes again and again is soon there again.
    """

    __slots__ = ("_most",)

    def __init__(self, most: int) -> None:
        """Take the most entries that it may have."""
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        if len(self) >= self._most and key not in self:
            self.clear()
        super().__setitem__(key, value)
