"""Carries records from the outbox to one sink, in order, however long the sink takes."""

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from daemon.ports import OutboxRow, Sink
from pipeline.errors import SinkError

logger = structlog.get_logger(__name__)

BATCH_ROWS = 1000  # one write and one fsync; about 3.5 MB
_DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # after faults in a row; the last one repeats


class Outbox(Protocol):
    """The ledger's side of delivery."""

    def register_sink(self, name: str) -> int: ...

    def pending(self, sink: str, limit: int, after: int | None = None) -> list[OutboxRow]: ...

    def delivered(self, sink: str, position: int) -> None: ...


class Delivery:
    """One sink and its high-water mark; a sink that fails holds nobody else up."""

    def __init__(self, outbox: Outbox, sink: Sink, clock: Callable[[], float]) -> None:
        """`clock` gives monotonic seconds."""
        self._outbox = outbox
        self._sink = sink
        self._clock = clock
        self._recovered = False
        self._position = 0
        self._faults = 0
        self._not_before = 0.0
        self.records = 0

    @property
    def name(self) -> str:
        """Name the sink."""
        return self._sink.name

    @property
    def failing(self) -> bool:
        """Say whether the last attempt failed."""
        return self._faults > 0

    @property
    def retry_at(self) -> float | None:
        """Say when the next attempt is due after a fault (monotonic), or None."""
        return self._not_before if self._faults else None

    def step(self) -> bool:
        """Deliver the next records; returns False when there are none, or when it is too early after a fault.

        Raises:
            LedgerError: when the mark cannot be kept; what was written is adopted at the next start.
        """
        if self._faults and self._clock() < self._not_before:
            return False
        try:
            if not self._recovered:
                self._recover()
            rows = self._outbox.pending(self.name, BATCH_ROWS, self._position)
            if not rows:
                return False
            self._sink.write(rows)
        except SinkError as error:
            self._not_before = self._clock() + _DELAYS_S[min(self._faults, len(_DELAYS_S) - 1)]
            self._faults += 1
            if self._faults == 1:
                logger.error("sink.failed", sink=self.name, error=str(error))
            return False
        if self._faults:
            logger.info("sink.recovered", sink=self.name, attempts=self._faults)
            self._faults = 0
        self._mark(rows)
        return True

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()

    def _recover(self) -> None:
        mark = self._outbox.register_sink(self.name)
        self._position = self._sink.recover(
            mark, lambda position: self._outbox.pending(self.name, BATCH_ROWS, position)
        )
        if self._position != mark:
            self._outbox.delivered(self.name, self._position)
        self._recovered = True

    def _mark(self, rows: Sequence[OutboxRow]) -> None:
        self._outbox.delivered(self.name, rows[-1].position)
        self._position = rows[-1].position
        self.records += len(rows)
