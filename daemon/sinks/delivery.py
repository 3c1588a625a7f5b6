"""Carries records from the outbox to one sink, in order, however long the sink takes or holds them."""

import errno
from collections.abc import Callable

from daemon.log import get_logger
from daemon.ports.outbox import Outbox
from daemon.ports.sink import Sink
from pipeline.errors import SinkError

logger = get_logger(__name__)

BATCH_ROWS = 1000  # one write and one fsync; about 3.5 MB
_DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # after faults in a row; the last one repeats


class Delivery:
    """One sink and its high-water mark; a sink that fails holds nobody else up.

    Attributes:
        records: rows that became durable, or were passed over as unwanted, since the start.
        faults: attempts that failed, since the start.
        fault: what the sink said when it last failed, or None while it takes rows.
        starved: it failed for want of a descriptor, which another part may be able to spare.
    """

    def __init__(
        self, outbox: Outbox, sink: Sink, clock: Callable[[], float], jitter: Callable[[], float] = lambda: 0.0
    ) -> None:
        """Args:
        clock: gives monotonic seconds.
        jitter: from 0 to 1; a wait grows by up to a quarter with it, so that many agents do not come back at once.
        """
        self._outbox = outbox
        self._sink = sink
        self._clock = clock
        self._jitter = jitter
        self._recovered = False
        self._marked = 0  # the mark in the ledger
        self._durable = 0  # what the sink has for good; ahead of the mark only while the ledger takes none
        self._offered = 0  # what the sink was given; ahead of what is durable while it holds rows back
        self._faults = 0
        self._not_before = 0.0
        self.records = 0
        self.faults = 0
        self.fault: str | None = None
        self.starved = False

    @property
    def name(self) -> str:
        """Name the sink."""
        return self._sink.name

    @property
    def held(self) -> int:
        """Count the rows that the sink was given and that are not durable yet."""
        return self._offered - self._durable

    @property
    def recovering(self) -> bool:
        """Say whether the sink has yet to find out how far it is."""
        return not self._recovered

    @property
    def unfinished(self) -> bool:
        """Say that there is nothing but rows."""
        return False

    @property
    def failing(self) -> bool:
        """Say whether the last attempt failed."""
        return self.fault is not None

    @property
    def retry_at(self) -> float | None:
        """Say when the next attempt is due after a fault (monotonic), or None."""
        return self._not_before if self._faults else None

    def tell(self, wake: Callable[[], None]) -> None:
        """Have the sink call this, from any thread, when another step is worth while."""
        self._sink.tell(wake)

    def step(self) -> bool:
        """Deliver the next records; returns False when nothing came of it: there are none, those that the sink holds
        are no nearer to being durable, it has not found out yet how far it is, or it is too early after a fault.

        Raises:
            ValueError: when the sink calls rows durable that it was never given, or takes back what it said.
            LedgerError: when the mark cannot be kept; what was written is not written again.
        """
        if self._faults and self._clock() < self._not_before:
            return False
        try:
            if not self._recovered and not self._recover():
                return False
            self._mark()
            limit = self._sink.max_held
            full = limit is not None and self.held >= limit
            rows = [] if full else self._outbox.pending(self.name, BATCH_ROWS, self._offered)
            if not rows and not self.held:
                self._well_again()
                return False
            durable = self._sink.write(rows)
        except SinkError as error:
            self._offered = self._durable  # it has forgotten the rest
            self._failed(error)
            return False
        if rows:
            self._offered = rows[-1].position
        if not self._durable <= durable <= self._offered:
            raise ValueError(
                f"sink {self.name}: calls {durable} durable, between {self._durable} and {self._offered} were possible"
            )
        if durable > self._durable or durable == self._offered:  # a sink that holds rows may still fail with them
            self._well_again()
        # First remembered, then marked: rows whose mark the ledger could not keep must not be written again.
        moved = durable - self._durable
        self._durable = durable
        self.records += moved
        self._mark()
        return bool(rows) or moved > 0

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()

    def _recover(self) -> bool:
        marked = self._outbox.register(self.name)
        found = self._sink.recover(marked, lambda position: self._outbox.pending(self.name, BATCH_ROWS, position))
        if found is None:
            return False
        self._marked = marked
        self._durable = self._offered = found
        self._recovered = True
        return True

    def _mark(self) -> None:
        if self._durable != self._marked:
            self._outbox.delivered(self.name, self._durable)
            self._marked = self._durable

    def _failed(self, error: SinkError) -> None:
        cause, reason = error.__cause__, str(error)
        self.starved = isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE)
        delay = max(_DELAYS_S[min(self._faults, len(_DELAYS_S) - 1)], error.wait_s) * (1 + self._jitter() / 4)
        self._not_before = self._clock() + delay
        self._faults += 1
        self.faults += 1
        if reason != self.fault:  # once for each reason, not for each attempt
            logger.error("sink.failed", sink=self.name, error=reason, retry_in_s=round(delay, 1))
        self.fault = reason

    def _well_again(self) -> None:
        if not self._faults:
            return
        logger.info("sink.recovered", sink=self.name, attempts=self._faults)
        self._faults = 0
        self.fault = None
        self.starved = False
