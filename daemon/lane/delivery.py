"""Delivers what came of a partition: records, states, dead letters and the input's offset, in one transaction."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from daemon.lane.counts import Counts
from daemon.lane.mark import Mark, decide
from daemon.lane.port import Acquired, Client, Fenced
from daemon.lane.transaction import SINK, Composer, Transaction, held_by
from daemon.ledger.lane import LaneStore
from daemon.ledger.ledger import Ledger
from daemon.log import get_logger
from daemon.sinks.kafka.settings import KafkaSettings
from pipeline.errors import AgentError, SinkError

logger = get_logger(__name__)

_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # after faults in a row; the last one repeats
_OFFSET_EVERY_S = 1.0  # where there is nothing to send but that less is needed


class LaneLost(AgentError):
    """Raised when the ledger is not that of the partition any more: it is to be acquired and decided on anew."""


class LaneDelivery:
    """What a shard needs of a delivery (`daemon.sinks.delivery.Delivery`), for the transactions of a partition.

    One transaction is under way at a time, or the right to commit is being acquired. After any fault it is acquired
    anew, as soon as the group has confirmed that the partition is still ours, and the mark says what has become of the
    last transaction. A commit is never repeated.

    Attributes:
        records: rows that were delivered since the start.
        faults: attempts that failed, since the start.
        fault: why the last attempt failed, or None.
        mark: that is committed.
    """

    starved = False

    def __init__(
        self,
        partition: int,
        client: Client,
        ledger: Ledger,
        store: LaneStore,
        settings: KafkaSettings,
        acquired: Acquired,
        mark: Mark,
        counts: Counts,
        clock: Callable[[], float],
        others: Sequence[str] = (),
        resend: int = 0,
    ) -> None:
        """Args:
        mark: that is committed, or, where there is none, that of the beginning.
        clock: gives monotonic seconds.
        others: sinks that must have a record before its offset is committed.
        resend: position up to which rows are sent again, although they were confirmed.
        """
        self.name = SINK
        self.records = 0
        self.faults = 0
        self.fault: str | None = None
        self.mark = mark
        self._partition = partition
        self._client = client
        self._ledger = ledger
        self._store = store
        self._settings = settings
        self._clock = clock
        self._counts = counts
        self._composer = Composer(ledger, store, settings, partition, acquired.partitions, others, resend)
        self._claimed = acquired.mark is not None and acquired.mark.ledger == mark.ledger
        self._committing: tuple[Transaction, Future[None]] | None = None
        self._acquiring: Future[Acquired] | None = None
        self._acquired = True
        self._failed_at = 0.0
        self._faults = 0
        self._not_before = 0.0
        self._offset_at = self._began_at = 0.0
        self._wake: Callable[[], None] = _nobody
        self._leaving = False

    @property
    def held(self) -> int:
        """Count the rows of the transaction under way."""
        return self._committing[0].mark.through - self.mark.through if self._committing is not None else 0

    @property
    def recovering(self) -> bool:
        """Say whether it is not known what has become of the last transaction."""
        return not self._acquired

    @property
    def failing(self) -> bool:
        """Say whether the last attempt failed."""
        return self.fault is not None

    @property
    def unfinished(self) -> bool:
        """Say whether there is something to deliver."""
        return self._committing is not None or self._composer.due(self.mark, offset=True)

    def tell(self, wake: Callable[[], None]) -> None:
        """Have this called, from any thread, when another step is worth while."""
        self._wake = wake

    def leave(self) -> None:
        """Begin nothing more."""
        self._leaving = True

    def step(self) -> bool:
        """Go on; returns False when nothing came of it.

        Raises:
            LaneLost: when another ledger has gone on with the partition.
            LedgerError: when the ledger cannot keep what was committed; it is tried again.
        """
        if self._committing is not None:
            return self._end_commit(*self._committing)
        if not self._acquired:
            return self._acquire()
        if self._leaving or not self._client.confirmed(0.0):  # others may be about to take the partition
            return False
        due = self._clock() - self._offset_at >= _OFFSET_EVERY_S
        transaction = self._composer.compose(self.mark, claim=not self._claimed, offset=due)
        if transaction is None:
            return False
        self._offset_at = self._began_at = self._clock()
        future = self._client.commit(self._partition, transaction.records, transaction.mark)
        self._committing = transaction, future
        future.add_done_callback(lambda _: self._wake())
        return True

    def close(self) -> None:
        """Do nothing: the partition is left by who acquired it."""

    def _end_commit(self, transaction: Transaction, future: "Future[None]") -> bool:
        if not future.done():
            return False
        try:
            future.result()
        except SinkError as error:
            self._committing = None
            self._counts.fenced += isinstance(error, Fenced)
            self._failed(str(error))
            return False
        # First the ledger, then we: what it does not take now is noted by the next step.
        self._store.delivered(
            self.name, transaction.mark.through, transaction.mark.letters, transaction.mark.metadata()
        )
        self._committing = None
        self.records += transaction.mark.through - self.mark.through
        self._counts.letters += transaction.letters
        self._counts.transactions += 1
        self._counts.transaction_s += self._clock() - self._began_at
        self.mark = transaction.mark
        self._claimed = True
        if self._faults:
            logger.info("sink.recovered", sink=self.name, partition=self._partition, attempts=self._faults)
        self._faults, self.fault = 0, None
        return True

    def _acquire(self) -> bool:
        now = self._clock()
        if self._acquiring is None:
            if self._leaving or now < self._not_before or not self._client.confirmed(self._failed_at):
                return False
            self._acquiring = self._client.acquire(self._partition)
            self._acquiring.add_done_callback(lambda _: self._wake())
            return False
        if not self._acquiring.done():
            return False
        future, self._acquiring = self._acquiring, None
        try:
            acquired = future.result()
        except SinkError as error:
            self._failed(str(error))
            return False
        held = held_by(self._ledger, self.name, acquired.mark)
        kind = decide(acquired.mark, held)
        logger.info("partition.acquired", partition=self._partition, kind=kind, after="a fault")
        if kind not in ("own", "adopted", "new") or (kind == "new" and self._claimed):
            raise LaneLost(f"partition {self._partition}: {kind}")
        mark = acquired.mark
        if mark is not None:  # of a transaction with dead letters alone the position says nothing
            self._store.delivered(self.name, mark.through, mark.letters, mark.metadata())
            self.mark = mark
            self._claimed = True
        self._acquired = True
        return True

    def _failed(self, reason: str) -> None:
        delay = _DELAYS_S[min(self._faults, len(_DELAYS_S) - 1)]
        if reason != self.fault:
            logger.error("sink.failed", sink=self.name, partition=self._partition, error=reason, retry_in_s=delay)
        self.fault = reason
        self._faults += 1
        self.faults += 1
        self._acquired = False
        self._failed_at = time.monotonic()  # as the client says when the group has confirmed it
        self._not_before = self._clock() + delay


def _nobody() -> None:
    """Wake nobody."""
