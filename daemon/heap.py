"""Keeps the garbage collector's pauses short while a large scan is in memory.

A full collection looks at every object there is: half a second with 200,000 findings in memory, whenever it happens to
come. While such a scan is in hand, collections come after each piece of work instead, look at what that piece made, and
put what is left of it out of the collector's sight.
"""

import gc

LARGE = 10_000  # findings; below, a full collection takes 30 ms at most


class Heap:
    """One for a process: what is out of sight is so for all that use it."""

    def __init__(self) -> None:
        self._holders = 0

    def hold(self) -> None:
        """Begin with a large scan."""
        self._holders += 1
        gc.disable()

    def collect(self) -> None:
        """Collect what the latest piece of work left, if anybody is at a large scan."""
        if self._holders:
            gc.collect()
            gc.freeze()

    def let_go(self) -> None:
        """Be done with a large scan, whose objects are gone."""
        self._holders -= 1
        if self._holders:
            return
        gc.unfreeze()
        gc.collect()
        gc.freeze()  # modules and knowledge, as after the start
        gc.enable()


HEAP = Heap()
