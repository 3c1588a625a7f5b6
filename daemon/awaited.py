"""The answers of a model that one worker waits for, while others on the same loop go on."""

import asyncio
import threading
import time
from collections.abc import Callable, Collection
from functools import partial

from daemon.waiting import wait_for_any, wake
from pipeline.graph.asking import Pending

# Answers that come one by one are taken up together, since each return to the graph costs some milliseconds. It is
# also how long at most a worker says nothing to its watchdog.
GATHER_S = 0.25


class Awaited:
    """What a worker was told to wait for. Answers may come on any thread; all else is for the worker's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pending: Collection[Pending] = ()
        self._known: set[Pending] = set()
        self._since = 0.0
        self._wake: Callable[[], object] | None = None

    def expect(self, pending: Collection[Pending]) -> None:
        """Wait for these, and no others, from now on."""
        self._pending, self._since = pending, self._clock()
        new = set(pending) - self._known
        self._known = set(pending)
        for one in new:
            one.add_done_callback(self._came)

    @property
    def waiting(self) -> bool:
        """Whether a step would find nothing to do, because it is the model's turn."""
        done = sum(one.done() for one in self._pending)
        return done < len(self._pending) and (not done or self._clock() < self._since + GATHER_S)

    async def rest(self) -> None:
        """Let others run until a step has something to do, for a quarter of a second at most."""
        came = asyncio.Event()
        self._wake = partial(wake, asyncio.get_running_loop(), came)
        if self.waiting:
            await wait_for_any(GATHER_S, came)
        self._wake = None

    def rest_here(self) -> None:
        """Block until a step has something to do."""
        came = threading.Event()
        self._wake = came.set
        while self.waiting:
            came.wait(GATHER_S)
        self._wake = None

    def _came(self, _: Pending) -> None:
        tell = self._wake
        if tell is not None and all(one.done() for one in self._pending):
            tell()
