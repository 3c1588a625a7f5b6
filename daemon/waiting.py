"""Waiting on an event loop, and waking who waits from another thread."""

import asyncio
import contextlib


async def wait_for_any(seconds: float, *events: asyncio.Event) -> None:
    """Wait until one of the events is set, or for so long.

    `asyncio.wait_for` will not do: in Python 3.11 it loses a cancellation that comes together with what it waits for,
    and the part that was to end goes on alone.
    """
    if any(event.is_set() for event in events):
        await asyncio.sleep(0)
        return
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """Set an event of a loop from any thread."""
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(event.set)
