"""Faust's driver for Kafka, made to read what is committed, and to begin where the tables say.

Faust reads what was aborted, too, unless it is told to be exactly once, which it is not. And it goes on where it has
committed, which says nothing of whether a table had what came before. Both are one method each here; the versions of
both libraries are pinned, and tests on a broker would notice.
"""

from collections.abc import Callable, Mapping
from typing import Any

import aiokafka
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP

from daemon.fleet.resume import OVERLAP_MS, Resume, begin_at


class CommittedThread(AIOKafkaConsumerThread):
    """The thread that reads.

    Attributes:
        fetched: by partition, the offset after the last record that was handed on. What a partition ends with may be
            the marker of a transaction, which never is, so the position does not say that.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.fetched: dict[TP, int] = {}

    async def _fetch_records(self, *arguments: Any, **named: Any) -> Any:
        found = await super()._fetch_records(*arguments, **named)
        for place, records in found.items():
            if records:
                self.fetched[place] = records[-1].offset + 1
        return found

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        if consumer._isolation_level != "read_uncommitted":
            raise RuntimeError("this version of aiokafka keeps the isolation level elsewhere")
        consumer._isolation_level = "read_committed"
        return consumer

    async def seek_to_known(self, topic: str, known: Mapping[int, Resume]) -> Mapping[TP, int]:
        """Seek the partitions of a topic to where the tables may not know everything; returns where that is."""
        found: Mapping[TP, int] = await self.call_thread(self._seek_to_known, topic, known)
        return found

    async def _seek_to_known(self, topic: str, known: Mapping[int, Resume]) -> Mapping[TP, int]:
        consumer = self._ensure_consumer()
        places = [one for one in consumer.assignment() if one.topic == topic]
        if not places:
            return {}
        first = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
        times = {one: max(0, known[one.partition].written - OVERLAP_MS) for one in places if one.partition in known}
        later = await consumer.offsets_for_times(times) if times else {}
        found = {}
        for one in places:
            by_time = later.get(one)
            found[one] = begin_at(
                known.get(one.partition), first[one], ends[one], ends[one] if by_time is None else by_time.offset
            )
            consumer.seek(one, found[one])
            self.fetched.pop(one, None)
        return found


class CommittedConsumer(Consumer):
    """What the rest of Faust sees of the thread."""

    def _new_consumer_thread(self) -> CommittedThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to where the tables may not know everything, wherever the group has committed."""
        thread: Any = self._thread
        found: Mapping[TP, int] = await thread.seek_to_known(*self.transport.known())
        self.transport.sought(found)
        return found


class CommittedTransport(Transport):
    """The driver.

    Attributes:
        known: gives the topic, and how far the tables know each of its partitions.
        sought: is called with the offsets where reading begins.
    """

    Consumer = CommittedConsumer
    known: Callable[[], tuple[str, Mapping[int, Resume]]]
    sought: Callable[[Mapping[TP, int]], None]
