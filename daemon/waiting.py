"""Waiting on an event loop, and waking who waits from another thread."""

import asyncio
import contextlib
from typing import Any


async def wait_for_any(seconds: float, *wanted: "asyncio.Event | asyncio.Future[Any]") -> None:
    """Wait until one of the events is set or one of the futures is done, which go on otherwise, or for so long.

    `asyncio.wait_for` will not do: in Python 3.11 it loses a cancellation that comes together with what it waits for,
    and the part that was to end goes on alone.
    """
    if any(one.is_set() if isinstance(one, asyncio.Event) else one.done() for one in wanted):
        await asyncio.sleep(0)
        return
    ours = [asyncio.ensure_future(one.wait()) for one in wanted if isinstance(one, asyncio.Event)]
    theirs = [one for one in wanted if not isinstance(one, asyncio.Event)]
    try:
        await asyncio.wait([*ours, *theirs], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in ours:
            task.cancel()


def wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """Set an event of a loop from any thread."""
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(event.set)
