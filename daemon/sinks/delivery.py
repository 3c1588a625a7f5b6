"""Carries records from the outbox to one sink, in order, however long the sink takes."""

import errno
from collections.abc import Callable
from typing import Protocol

from daemon.log import get_logger
from daemon.ports import OutboxRow, Sink
from pipeline.errors import SinkError

logger = get_logger(__name__)

BATCH_ROWS = 1000  # one write and one fsync; about 3.5 MB
_DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # after faults in a row; the last one repeats


class Outbox(Protocol):
    """The ledger's side of delivery."""

    def register_sink(self, name: str) -> int: ...

    def pending(self, sink: str, limit: int, after: int | None = None) -> list[OutboxRow]: ...

    def delivered(self, sink: str, position: int) -> None: ...


class Delivery:
    """One sink and its high-water mark; a sink that fails holds nobody else up.

    Attributes:
        records: rows that the sink took, or passed over as unwanted, since the start.
        fault: what the sink said when it last failed, or None while it takes rows.
        starved: it failed for want of a descriptor, which another part may be able to spare.
    """

    def __init__(self, outbox: Outbox, sink: Sink, clock: Callable[[], float]) -> None:
        """`clock` gives monotonic seconds."""
        self._outbox = outbox
        self._sink = sink
        self._clock = clock
        self._recovered = False
        self._marked = 0  # the mark in the ledger
        self._position = 0  # what the sink has; ahead of the mark only while the ledger takes none
        self._faults = 0
        self._not_before = 0.0
        self.records = 0
        self.fault: str | None = None
        self.starved = False

    @property
    def name(self) -> str:
        """Name the sink."""
        return self._sink.name

    @property
    def failing(self) -> bool:
        """Say whether the last attempt failed."""
        return self.fault is not None

    @property
    def retry_at(self) -> float | None:
        """Say when the next attempt is due after a fault (monotonic), or None."""
        return self._not_before if self._faults else None

    def step(self) -> bool:
        """Deliver the next records; returns False when there are none, or when it is too early after a fault.

        Raises:
            LedgerError: when the mark cannot be kept; what was written is not written again.
        """
        if self._faults and self._clock() < self._not_before:
            return False
        try:
            if not self._recovered:
                self._recover()
            self._mark()
            rows = self._outbox.pending(self.name, BATCH_ROWS, self._position)
            if not rows:
                if self._faults:
                    self._well_again()
                return False
            self._sink.write(rows)
        except SinkError as error:
            self._failed(error)
            return False
        if self._faults:
            self._well_again()
        # First remembered, then marked: rows whose mark the ledger could not keep must not be written again.
        self._position = rows[-1].position
        self.records += len(rows)
        self._mark()
        return True

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()

    def _recover(self) -> None:
        self._marked = self._outbox.register_sink(self.name)
        self._position = self._sink.recover(
            self._marked, lambda position: self._outbox.pending(self.name, BATCH_ROWS, position)
        )
        self._recovered = True

    def _mark(self) -> None:
        if self._position != self._marked:
            self._outbox.delivered(self.name, self._position)
            self._marked = self._position

    def _failed(self, error: SinkError) -> None:
        cause, reason = error.__cause__, str(error)
        self.starved = isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE)
        delay = _DELAYS_S[min(self._faults, len(_DELAYS_S) - 1)]
        self._not_before = self._clock() + delay
        self._faults += 1
        if reason != self.fault:  # once for each reason, not for each attempt
            logger.error("sink.failed", sink=self.name, error=reason, retry_in_s=delay)
        self.fault = reason

    def _well_again(self) -> None:
        logger.info("sink.recovered", sink=self.name, attempts=self._faults)
        self._faults = 0
        self.fault = None
        self.starved = False
