"""The Kafka sink: each record exactly once for whoever reads what is committed."""

from collections.abc import Callable, Sequence

from daemon.log import get_logger
from daemon.ports.outbox import OutboxRow
from daemon.ports.sink import Pending
from daemon.sinks.kafka.carrier import TRANSACTION_ROWS, Carrier, agree
from daemon.sinks.kafka.connection import Connect, Mark
from daemon.sinks.kafka.records import recorder
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sinks.wanted import wanted
from pipeline.errors import SinkError

logger = get_logger(__name__)


class KafkaTopic:
    """A `daemon.ports.sink.Sink` that holds rows until the brokers have confirmed the transaction that they are in.

    Each transaction carries the position of its last record, as metadata of a committed offset. Whoever connects next
    takes the right to write from everybody before, and reads that position then: so what a crash left between the
    commit and the ledger's mark is found, and nothing else can be committed meanwhile.
    """

    max_held: int | None = 2 * TRANSACTION_ROWS  # one under way, one that waits; 14 MB

    def __init__(self, settings: KafkaSettings, connect: Connect) -> None:
        """Nothing is connected before the first use."""
        self.name = f"kafka:{settings.topic}"
        self._wants = wanted(changes_only=settings.emit == "changes", min_level=settings.min_level)
        self._carrier = Carrier(
            connect, recorder(settings.topic, settings.scans_topic, settings.max_record_bytes), self.name
        )

    def tell(self, wake: Callable[[], None]) -> None:
        """Call `wake`, from any thread, whenever it has got on by itself."""
        self._carrier.wake = wake

    def recover(self, delivered: int, pending: Pending) -> int | None:
        """Say up to where the records are committed; None until the brokers have said so.

        Raises:
            SinkError: when they cannot be reached, or have more of this ledger's records than it has itself.
        """
        connected, mark = self._carrier.connect()
        if not connected:
            return None
        position = self._adopt(delivered, mark, pending)
        self._carrier.begin_at(position)
        return position

    def write(self, rows: Sequence[OutboxRow]) -> int:
        """Take rows for the next transaction; returns the position up to which all is committed.

        Raises:
            SinkError: what became of an earlier transaction.
        """
        self._carrier.check()
        if rows:
            self._carrier.offer(rows[-1].position, [row for row in rows if self._wants(row)])
        return self._carrier.tell_durable()

    def close(self) -> None:
        """End what is under way, and disconnect."""
        self._carrier.close()

    def _adopt(self, delivered: int, mark: Mark | None, pending: Pending) -> int:
        if mark is None or mark.position <= delivered:
            if delivered and (mark is None or mark.position < delivered):
                # Marks of agents that are silent for a week go; those of rows that were passed over are not written.
                logger.info("kafka.mark_behind", sink=self.name, ledger=delivered, brokers=mark and mark.position)
            return delivered
        position = delivered
        while position < mark.position:
            rows = [row for row in pending(position) if row.position <= mark.position]
            if not rows:
                raise SinkError(
                    f"{self.name}: has records up to {mark.position} of this state directory, which ends at "
                    f"{position}: it was restored from a backup, so nothing is written until it has got there again"
                )
            for row in rows:
                agree(row, mark, self.name)
            position = rows[-1].position
        logger.info("sink.adopted", sink=self.name, after=delivered, up_to=position)
        return position
