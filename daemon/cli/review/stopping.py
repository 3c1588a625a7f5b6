"""What Ctrl-C does while somebody decides: it always ends with a word about whether it was decided."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from daemon.cli.exits import Exit, die, say
from pipeline.review.log import VerdictLog

_UNKNOWN = "stopped; it is not known whether that was stored: see `review history` before you repeat it"


class Handing:
    """Attributes:
    done: a verdict was handed over, and what became of it was said.
    """

    def __init__(self) -> None:
        self.done = False

    @contextmanager
    def over(self, log: VerdictLog) -> Iterator[None]:
        """Hand a verdict over: the first Ctrl-C gives up what is not sent yet, the second does not wait for an answer.

        Raises (where it was given up): `StoppedDeciding`.
        """
        times = 0

        def note(*_: Any) -> None:
            nonlocal times
            times += 1
            if times > 1:
                raise KeyboardInterrupt
            log.stop()

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        except KeyboardInterrupt:
            die(Exit.FORCED, _UNKNOWN)
        finally:
            signal.signal(signal.SIGINT, before)
        self.done = True
        if times:
            say("sysscan-agent: stopped too late: it is decided")

    @contextmanager
    def undecided(self) -> Iterator[None]:
        """Say that nothing was decided where Ctrl-C comes before a verdict is handed over."""
        try:
            yield
        except KeyboardInterrupt:
            if not self.done:
                die(Exit.FORCED, "stopped; nothing was decided")
            raise
