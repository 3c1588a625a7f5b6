"""A thread with an event loop of its own, for a library that must never be kept waiting."""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from daemon.log import get_logger

logger = get_logger(__name__)

T = TypeVar("T")

_END_S = 10.0


class LoopThread:
    """Runs coroutines for another thread."""

    def __init__(self, name: str) -> None:
        """Start it."""
        self._name = name
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_overheard)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Have it run; from any other thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def tell(self, what: Callable[[], None]) -> None:
        """Have something short called there; from any thread, and from a signal handler."""
        self._loop.call_soon_threadsafe(what)

    def end(self, last: Coroutine[Any, Any, None]) -> None:
        """Run a last coroutine, for some seconds at most, and end; tasks that are left are cancelled."""
        try:
            self.call(last).result(_END_S)
        except Exception as error:
            logger.warning("thread.not_ended", thread=self._name, error=repr(error))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_END_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.close()


def _overheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Keep what the library leaves behind of a connection that has failed out of the log: the fault was told."""
    if sys.is_finalizing():  # nothing can be imported any more, which the log would do
        return
    logger.debug("kafka.left_behind", message=str(context.get("message")), error=repr(context.get("exception")))
