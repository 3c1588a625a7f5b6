"""Reads what a lane looks up: where a partition begins and ends, single records, and the states of hosts."""

import asyncio
from collections.abc import Callable, Mapping

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from daemon.lane.kafka.writer import MARK_KEY
from daemon.lane.mark import Mark, NewerMark, read_whole
from daemon.sinks.kafka.access import access, stop, told
from daemon.sinks.kafka.settings import KafkaSettings
from pipeline.errors import ConfigError, SinkError

_POLL_MS = 500
# A broker answers one request of a connection after the other, so what is asked next would wait for a fetch that waits
# for records: half a second for each partition that is acquired.
_FETCH_WAIT_MS = 20


class Reader:
    """One consumer, for one question at a time; made when it is first needed, and anew after a fault."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._asked = asyncio.Lock()

    async def bounds(self, partition: int) -> tuple[int, int, int]:
        """Give the offsets of a partition's oldest record and behind its latest, and how many partitions there are."""
        place = TopicPartition(self._settings.input_topic, partition)
        async with self._asked:
            with told(self._settings, "do not say where a partition begins"):
                try:
                    consumer = await self._open()
                    async with asyncio.timeout(self._settings.timeout_s):
                        consumer.assign([place])
                        consumer.pause(place)  # nothing is to be fetched
                        first = (await consumer.beginning_offsets([place]))[place]
                        end = (await consumer.end_offsets([place]))[place]
                        partitions = consumer.partitions_for_topic(place.topic) or set()
                        return first, end, len(partitions)
                except BaseException:
                    await self.close()
                    raise

    async def record(self, partition: int, offset: int) -> ConsumerRecord | None:
        """Give the record at an offset, or None where there is none for readers."""
        place = TopicPartition(self._settings.input_topic, partition)
        found: list[ConsumerRecord] = []
        await self._read(place, offset, offset + 1, found.append)
        return found[0] if found and found[0].offset == offset else None

    async def states(self, partition: int) -> Mapping[str, bytes]:
        """Give the latest states of a partition by key, without those that are deleted."""
        latest: dict[str, bytes] = {}

        def take(record: ConsumerRecord) -> None:  # what is not compacted yet is many times as much
            key = (record.key or b"").decode("utf-8", "backslashreplace")
            if record.value is None:
                latest.pop(key, None)
            else:
                latest[key] = record.value

        await self._read(TopicPartition(self._settings.state_topic, partition), 0, None, take)
        return latest

    async def mark(self, partition: int) -> Mark | None:
        """Give the mark as it stands in the state topic: a committed offset is not kept for ever."""
        text = (await self.states(partition)).get(MARK_KEY.decode())
        if text is None:
            return None
        try:
            return read_whole(text.decode())
        except NewerMark as error:
            raise ConfigError(f"kafka {self._settings.input_topic}/{partition}: {error}") from error
        except ValueError as error:
            raise ConfigError(
                f"kafka: {self._settings.state_topic}/{partition} has a mark that is {error}; choose another "
                "kafka.state_topic"
            ) from error

    async def close(self) -> None:
        """Disconnect; never raises."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop(consumer)

    async def _open(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                **access(self._settings), enable_auto_commit=False, auto_offset_reset="earliest",
                isolation_level="read_committed", max_partition_fetch_bytes=4 << 20, fetch_max_wait_ms=_FETCH_WAIT_MS,
            )  # fmt: skip
            try:
                async with asyncio.timeout(self._settings.timeout_s):
                    await consumer.start()
            except BaseException:
                await stop(consumer)
                raise
            self._consumer = consumer
        return self._consumer

    async def _read(
        self, place: TopicPartition, first: int, end: int | None, take: Callable[[ConsumerRecord], None]
    ) -> None:
        """Read from an offset, or the oldest after it, up to another one, or the end as it is now."""
        async with self._asked:
            with told(self._settings, "cannot be read from"):
                try:
                    consumer = await self._open()
                    async with asyncio.timeout(self._settings.timeout_s):
                        consumer.assign([place])
                        consumer.pause(place)  # until there is something to fetch
                        begin = max(first, (await consumer.beginning_offsets([place]))[place])
                        last = (await consumer.end_offsets([place]))[place]
                    end = last if end is None else min(end, last)
                    consumer.seek(place, begin)
                    if begin < end:
                        consumer.resume(place)
                    at = -1
                    while (now := await consumer.position(place)) < end:
                        if now == at:
                            raise SinkError(
                                f"kafka {place.topic}/{place.partition}: nothing comes after {now} of {end}"
                            )
                        at = now
                        async with asyncio.timeout(self._settings.timeout_s):
                            while await consumer.position(place) == now:
                                for records in (await consumer.getmany(place, timeout_ms=_POLL_MS)).values():
                                    for one in records:
                                        if one.offset < end:
                                            take(one)
                    consumer.pause(place)
                except BaseException:
                    await self.close()
                    raise
