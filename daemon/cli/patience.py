"""Waits, while starting, for what passes by itself or by somebody's hand: a disk without room, or one that fails,
no descriptors, no memory.

A daemon that runs waits for such faults; one that ended over them at the start would be given up by systemd after a few
attempts, and be gone when there is room again. A signal ends it at once, as nothing is in hand yet.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from daemon.log import get_logger
from daemon.notify import Notifier
from pipeline.errors import AgentError, LedgerError
from pipeline.shortage import is_shortage

logger = get_logger(__name__)

_DELAYS_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # after faults in a row; the last one repeats
_MARGIN_S = 60.0  # that systemd gives us beyond the next attempt

T = TypeVar("T")


class Patience:
    """How long a start waits: for ever, or, for a run that is to end by itself, not at all."""

    def __init__(self, notifier: Notifier, *, forever: bool, sleep: Callable[[float], None] = time.sleep) -> None:
        self._notifier = notifier
        self._forever = forever
        self._sleep = sleep

    def until_possible(self, attempt: Callable[[], T]) -> T:
        """Do something as often as it takes.

        Raises:
            AgentError, OSError: when it is neither a shortage nor a transient `LedgerError`, or nobody is to wait.
        """
        faults = 0
        while True:
            try:
                return attempt()
            except (AgentError, OSError) as error:
                passes = is_shortage(error) or (isinstance(error, LedgerError) and error.transient)
                if not passes or not self._forever:
                    raise
                delay = _DELAYS_S[min(faults, len(_DELAYS_S) - 1)]
                event = "ledger.failed" if isinstance(error, LedgerError) else "start.failed"
                logger.error(event, error=str(error), retry_in_s=delay)
                self._notifier.status(f"waiting to start: {error}")
                self._notifier.extend(delay + _MARGIN_S)
            self._sleep(delay)
            faults += 1
