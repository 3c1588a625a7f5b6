"""A bound on the processor's time, for what must come to an end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

# What is linear takes a thousandth of this, what is quadratic ten times as much and more.
BUSY_S = 2.0


@contextmanager
def bounded(what: str) -> Iterator[None]:
    """Break off what does not come to an end; processor time, so that a busy machine changes nothing."""

    def stop(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"does not come to an end: {what}")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, BUSY_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
