"""What a lane has open while it works: its ledger, and a shard over it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.capacity import Capacity
from daemon.checkpoints import Checkpoints
from daemon.in_hand import InHand
from daemon.lane.counts import Counts
from daemon.lane.delivery import LaneDelivery
from daemon.lane.mark import Mark
from daemon.lane.port import Acquired, Client
from daemon.lane.rebuild import output_path
from daemon.lane.source import TopicPartition
from daemon.lane.transaction import SINK
from daemon.ledger.lane import LaneStore
from daemon.ledger.ledger import Ledger
from daemon.log import get_logger
from daemon.parser import DocumentParser
from daemon.ports.delivery import Delivering
from daemon.review.telling import Share, Telling
from daemon.review.verdicts import PinnedVerdicts
from daemon.settings import OutputSettings, Settings
from daemon.shard import Shard
from daemon.sinks.delivery import Delivery
from daemon.sinks.lines import line_maker
from daemon.sinks.ndjson_file import NdjsonFile
from daemon.worker import Worker
from pipeline.graph.resources import Resources
from pipeline.review.log import FILE_NAME as VERDICTS

logger = get_logger(__name__)

_CHECKPOINTS, _IN_HAND = "checkpoints.db", "in-hand"


@dataclass(slots=True)
class Home:
    """All of it; to be closed when the partition is left."""

    ledger: Ledger
    store: LaneStore
    checkpoints: Checkpoints
    in_hand: InHand
    shard: Shard
    delivery: LaneDelivery
    source: TopicPartition

    def replace(self, resources: Resources) -> None:
        """Work with other resources from the next scan on; answers are kept where they were."""
        self.shard.worker.replace(resources.with_store(self.ledger.analyses))

    def close(self) -> None:
        """Close the files; what the ledger holds stays."""
        self.shard.worker.close()
        self.in_hand.close()
        self.checkpoints.close()
        self.ledger.close()


def furnish(
    directory: Path,
    settings: Settings,
    resources: Resources,
    capacity: Capacity,
    client: Client,
    partition: int,
    ledger: Ledger,
    store: LaneStore,
    acquired: Acquired,
    mark: Mark,
    counts: Counts,
    clock: Callable[[], float],
    *,
    resend: int,
    parser: DocumentParser | None,
) -> Home:
    """Put the shard of a partition together over its ledger.

    Args:
        resend: position up to which records are sent again.
        parser: reads large documents, for all partitions; None has each read them itself.

    Raises:
        LedgerError: when something cannot be stored.
    """
    kafka = settings.kafka
    sinks = [_file(directory, partition, settings.output)] if settings.output.enabled else []
    names = [SINK, *(sink.name for sink in sinks)]
    for released in ledger.outbox.keep_only(names):
        logger.warning("sink.replaced", sink=released, by=", ".join(names))
    delivery = LaneDelivery(
        partition, client, ledger, store, kafka, acquired, mark, counts, clock,
        others=[] if kafka.send else [sink.name for sink in sinks], resend=resend,
    )  # fmt: skip
    checkpoints = Checkpoints(directory / _CHECKPOINTS)
    in_hand = InHand(directory / _IN_HAND)
    if in_hand.ended is not None and in_hand.ended.reason is not None:
        ledger.work.count_attempt(in_hand.ended.scan_no, in_hand.ended.reason)
    ledger.reviews.keep(settings.review.retain_days, settings.review.retain_bytes)
    verdicts = PinnedVerdicts(settings.state_dir / VERDICTS, copied_from=f"kafka {kafka.verdicts_topic}")
    worker = Worker(
        ledger.work, resources.with_store(ledger.analyses), checkpoints, settings.analysis.batch_size, clock, in_hand,
        verdicts, settings.review.retain_bytes > 0, capacity=capacity,
    )  # fmt: skip

    def is_home(host: str | None) -> bool:
        return partition == (0 if host is None else client.place_of(host.encode(), acquired.partitions))

    telling = Telling(ledger, verdicts, lambda: worker.policy, Share(f"{kafka.input_topic}/{partition}", is_home))
    deliveries: list[Delivering] = [delivery, *(Delivery(ledger.outbox, sink, clock) for sink in sinks)]
    shard = Shard(ledger, worker, deliveries, name=f"{kafka.input_topic}/{partition}", clock=clock, telling=telling)
    source = TopicPartition(
        kafka.input_topic, partition, client.mailbox(partition), ledger, store, kafka, settings.limits, counts,
        end=acquired.end, blocked=shard.blocked, clock=clock, parser=parser,
    )  # fmt: skip
    shard.read_from(source)
    return Home(ledger, store, checkpoints, in_hand, shard, delivery, source)


def _file(directory: Path, partition: int, output: OutputSettings) -> NdjsonFile:
    return NdjsonFile(
        output_path(directory, partition, output.path),
        rotate_bytes=output.rotate_bytes,
        keep_segments=output.keep_segments,
        emit_changes_only=output.emit == "changes",
        min_level=output.min_level,
        lines=line_maker(output.mapping, changes_only=output.emit == "changes", min_level=output.min_level),
    )
