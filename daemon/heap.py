"""Keeps the garbage collector's pauses short while a large scan is in memory.

A full collection looks at every object there is: half a second with 200,000 findings in memory, whenever it happens to
come. While such a scan is in hand, collections come after each piece of work instead, look at what that piece made, and
put what is left of it out of the collector's sight.

What is free is kept by the C library for the process, tens of megabytes after a large scan, so it is handed back to the
system when nothing has been done for a moment.
"""

import ctypes
import gc

LARGE = 10_000  # findings; below, a full collection takes 30 ms at most
_MOST_LOOKS = 60  # without a rest between them, then memory is handed back all the same; it takes some milliseconds


class Heap:
    """One for a process: what is out of sight is so for all that use it."""

    def __init__(self) -> None:
        self._holders = 0
        self._used = False  # since the last look
        self._looks = 0  # since memory was used for the first time after it was handed back
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none

    def hold(self) -> None:
        """Begin with a large scan."""
        self._holders += 1
        gc.disable()

    def collect(self) -> None:
        """Collect what the latest piece of work left, if anybody is at a large scan."""
        self.use()
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

    def use(self) -> None:
        """Note that something was done, which takes memory and leaves some of it free."""
        self._used = True

    def look(self) -> None:
        """Give free memory back to the system once nothing was done since the last look; to be called every second."""
        used, self._used = self._used, False
        self._looks += used or self._looks > 0
        if self._looks and (not used or self._looks >= _MOST_LOOKS):
            self._looks = 0
            if self._trim is not None:
                self._trim(0)


HEAP = Heap()
