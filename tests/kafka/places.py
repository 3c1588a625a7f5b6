"""What the tests of the Kafka sink share: sinks on a real topic, and what a reader of it sees."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from daemon.ports.outbox import OutboxRow
from daemon.ports.sink import Pending
from daemon.sinks.delivery import Delivery
from daemon.sinks.kafka.client import connect_as
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sinks.kafka.topic import KafkaTopic
from tests.kafka.broker import Cluster

PATIENCE_S = 60.0


def settings(cluster: Cluster, topic: str, **others: Any) -> KafkaSettings:
    given: dict[str, Any] = {"brokers": tuple(cluster.plain), "topic": topic, "scans_topic": topic, **others}
    return KafkaSettings(**given)


def sink(settings: KafkaSettings, identity: str = "0123") -> KafkaTopic:
    return KafkaTopic(settings, connect_as(settings, identity))


class Settled:
    """A sink whose calls wait until there is nothing more to wait for."""

    max_held: int | None = None

    def __init__(self, inner: KafkaTopic) -> None:
        self.inner = inner
        self.name = inner.name
        self._offered = 0

    def tell(self, wake: Callable[[], None]) -> None:
        self.inner.tell(wake)

    def recover(self, delivered: int, pending: Pending) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while (position := self.inner.recover(delivered, pending)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self._offered = position
        return position

    def write(self, rows: Sequence[OutboxRow]) -> int:
        if rows:
            self._offered = rows[-1].position
        deadline = time.monotonic() + PATIENCE_S
        durable = self.inner.write(rows)
        while durable < self._offered:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            durable = self.inner.write([])
        return durable

    def close(self) -> None:
        self.inner.close()


def drive(delivery: Delivery, until: Callable[[], bool], what: str) -> None:
    """Step as the shard does until something holds; only a hang makes it fail."""
    deadline = time.monotonic() + PATIENCE_S
    while not until():
        assert time.monotonic() < deadline, f"never: {what}; fault: {delivery.fault}"
        if not delivery.step():
            time.sleep(0.01)


def records(cluster: Cluster, *topics: str, isolation: str = "read_committed") -> list[ConsumerRecord]:
    """Read topics to their end of now, in order of the partitions.

    A commit is confirmed when its coordinator has written it down; the leaders of the partitions hear of it after that,
    and of a new leader's first moments a reader sees less than was confirmed. So whoever reads what was committed waits
    first until every transaction that is in the topics now has ended; one that stays open fails the test.
    """
    if isolation == "read_committed":
        written = asyncio.run(_ends(cluster, topics, "read_uncommitted"))
        deadline = time.monotonic() + PATIENCE_S
        while any(
            (stable := asyncio.run(_ends(cluster, topics, isolation)))[one] < end for one, end in written.items()
        ):
            assert time.monotonic() < deadline, f"a transaction stays open: readable up to {stable} of {written}"
            time.sleep(0.1)
    return asyncio.run(_records(cluster, topics, isolation))


async def _ends(cluster: Cluster, topics: Sequence[str], isolation: str) -> dict[TopicPartition, int]:
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=cluster.plain, isolation_level=isolation)
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(sorted(consumer.assignment()))
        return ends
    finally:
        await consumer.stop()


async def _records(cluster: Cluster, topics: Sequence[str], isolation: str) -> list[ConsumerRecord]:
    consumer = AIOKafkaConsumer(
        *topics, bootstrap_servers=cluster.plain, isolation_level=isolation, enable_auto_commit=False,
        auto_offset_reset="earliest",
    )  # fmt: skip
    await consumer.start()
    try:
        seen: list[ConsumerRecord] = []
        assigned = sorted(consumer.assignment())
        assert {one.topic for one in assigned} == set(topics)
        ends = await consumer.end_offsets(assigned)
        deadline = time.monotonic() + PATIENCE_S
        for place in assigned:
            while await consumer.position(place) < ends[place]:
                assert time.monotonic() < deadline, f"{place}: at {await consumer.position(place)} of {ends[place]}"
                for records in (await consumer.getmany(place, timeout_ms=200)).values():
                    seen += records
        return seen
    finally:
        await consumer.stop()


def ends(cluster: Cluster, topic: str) -> dict[int, int]:
    """Give the offset behind the last record of each partition."""
    found = asyncio.run(_ends(cluster, [topic], "read_committed"))
    return {place.partition: end for place, end in found.items()}
