"""Faust's driver for Kafka, made to read what is committed, and to begin where the tables say.

Faust reads what was aborted, too, unless it is told to be exactly once, which it is not. And it goes on where it has
committed, which says nothing of whether a table had what came before. Both are one method each here; the versions of
both libraries are pinned, and tests on a broker would notice.
"""

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator, Mapping
from functools import partial
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

    async def wait_first(self, *waited: Any, timeout: Any = None) -> Any:
        """Wait as Faust does, but hand a message on at once where there is room for it.

        Faust waits for that, for a rebalance and for its own end together, with four tasks for each message, which
        take longer than everything else that it does with it.
        """
        if timeout is None and len(waited) == 2 and all(asyncio.iscoroutine(one) for one in waited):
            handing, rebalance = waited
            try:
                paused_at = handing.send(None)
            except StopIteration:
                rebalance.close()
                return None  # nobody looks at it
            waited = (_go_on(handing, paused_at), rebalance)
        return await super().wait_first(*waited, timeout=timeout)

    def on_buffer_full(self, tp: TP) -> None:
        """Read on from the partition: there is room, or else nothing was fetched.

        Faust would leave it out of the next fetch. Where only such have records that fetch waits for a second, and so
        does a reader of whom all partitions are left out.
        """

    async def _wait_next_records(self, timeout: float) -> Any:
        await self.transport.room()
        return await super()._wait_next_records(timeout)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to where the tables may not know everything, wherever the group has committed."""
        thread: Any = self._thread
        found: Mapping[TP, int] = await thread.seek_to_known(*self.transport.known())
        self.transport.sought(found)
        return found


async def _go_on(begun: Any, paused_at: Any) -> Any:
    return await _rest(begun, paused_at)


@types.coroutine
def _rest(begun: Any, paused_at: Any) -> Generator[Any, Any, Any]:
    """Go on with a coroutine that was begun outside of a task; `paused_at` is what it waits for."""
    while True:
        try:
            came = yield paused_at
        except BaseException as error:  # it is cancelled, or what it waits for has failed
            step = partial(begun.throw, error)
        else:
            step = partial(begun.send, came)
        try:
            paused_at = step()
        except StopIteration as end:
            return end.value


class CommittedTransport(Transport):
    """The driver.

    Attributes:
        known: gives the topic, and how far the tables know each of its partitions.
        sought: is called with the offsets where reading begins.
        room: waits until as many records as one fetch has may be handed on.
    """

    Consumer = CommittedConsumer
    known: Callable[[], tuple[str, Mapping[int, Resume]]]
    sought: Callable[[Mapping[TP, int]], None]
    room: Callable[[], Awaitable[None]]
