"""Moves the states of hosts in one transaction, after every partition was taken from whoever had it."""

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from daemon.lane.adoption import Adoption, OldPartition, StateRecord, adopt
from daemon.lane.kafka.reader import Reader
from daemon.lane.kafka.writer import MARK_KEY, Writer
from daemon.lane.mark import Mark
from daemon.sinks.kafka.access import access, leave, stop, told
from daemon.sinks.kafka.administrator import Administrator
from daemon.sinks.kafka.partitioner import place_of
from daemon.sinks.kafka.settings import KafkaSettings
from pipeline.errors import ConfigError, SinkError

_AT_ONCE, _AT_ONCE_BYTES = 500, 8 << 20  # records, and bytes of their values, that are on their way together
_TRANSACTION_MS = 900_000  # what brokers allow if not told otherwise; readers of states wait as long, and nobody else


async def adopt_partitions(settings: KafkaSettings, *, force: bool, tell: Callable[[str], None]) -> Adoption | None:
    """Move what has to move; None where nothing was ever delivered, so that there is nothing to move.

    Args: `tell`: is told how far it is.

    Raises:
        ConfigError: what must be done first.
        SinkError: when the brokers do not do it; then nothing was changed.
    """
    topic, group = settings.input_topic, settings.group
    async with Administrator.connected(settings) as administrator:
        found = (await administrator.topics([topic])).get(topic)
        if found is None:
            raise ConfigError(f"kafka {topic}: is not there")
        members = (await administrator.group(group, topic)).members
        if members:
            names = ", ".join(one.instance for one in members[:5])
            raise ConfigError(f"the group {group} has {len(members)} workers ({names}): stop them first")
    producer = AIOKafkaProducer(
        **access(settings),
        transactional_id=f"{group}.{topic}.adopt",
        transaction_timeout_ms=_TRANSACTION_MS,
        compression_type=None if settings.compression == "none" else settings.compression,
        max_batch_size=settings.max_record_bytes,
        max_request_size=settings.max_record_bytes,
    )
    try:
        # First of all: what another one has left open is aborted by it, and would keep us from reading the states.
        with told(settings, "cannot be reached", (settings.state_topic,), again=False, prefix=group):
            async with asyncio.timeout(settings.timeout_s):
                await producer.start()
        reader = Reader(settings)
        try:
            adoption = await _plan(settings, found.partitions, reader, force=force, tell=tell)
            if adoption is not None:
                await _write(settings, producer, adoption)
        finally:
            await reader.close()
    finally:
        await leave(producer)
    if adoption is not None:
        await _check(settings, adoption)
    return adoption


async def _plan(
    settings: KafkaSettings, count: int, reader: Reader, *, force: bool, tell: Callable[[str], None]
) -> Adoption | None:
    marks, first, ends = await _take(settings, count)
    if not marks:
        return None
    before = max(mark.partitions for mark in marks.values())
    for partition in range(min(before, count)):  # nothing came of the others yet
        marks.setdefault(partition, Mark(first[partition], "", partitions=before))
    loop = asyncio.get_running_loop()

    def states(partition: int) -> Mapping[str, bytes]:  # on a thread, which waits for this loop
        return asyncio.run_coroutine_threadsafe(reader.states(partition), loop).result()

    old = {
        partition: OldPartition(
            mark, ends[partition], partial(states, partition), await _keys(settings, partition, mark, ends)
        )
        for partition, mark in marks.items()
    }
    ledger = f"adopted-{secrets.token_hex(8)}"
    return await asyncio.to_thread(adopt, old, first, place_of, ledger, force=force, tell=tell)


async def _take(settings: KafkaSettings, count: int) -> tuple[dict[int, Mark], list[int], list[int]]:
    """Take every partition from whoever has it; give the marks of those that were worked on, and all first and last
    offsets."""
    marks: dict[int, Mark] = {}
    first, ends = [], []
    reader = Reader(settings)
    try:
        for partition in range(count):
            writer = Writer(settings, partition)
            mark = await writer.open()
            await writer.close()
            mark = mark or await reader.mark(partition)
            begin, end, _ = await reader.bounds(partition)
            first.append(begin)
            ends.append(end)
            if mark is not None:
                marks[partition] = mark
    finally:
        await reader.close()
    return marks, first, ends


async def _keys(settings: KafkaSettings, partition: int, mark: Mark, ends: Sequence[int]) -> list[bytes | None]:
    """Read the keys of what is not delivered."""
    place = TopicPartition(settings.input_topic, partition)
    if mark.offset >= ends[partition]:
        return []
    keys: list[bytes | None] = []
    with told(settings, "cannot be read from", (settings.input_topic,), again=False, prefix=settings.group):
        consumer = AIOKafkaConsumer(**access(settings), enable_auto_commit=False, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign([place])
            consumer.seek(place, mark.offset)
            while await consumer.position(place) < ends[partition]:
                async with asyncio.timeout(settings.timeout_s):
                    while not (records := await consumer.getmany(place, timeout_ms=500)):
                        pass
                keys += [one.key for found in records.values() for one in found]
        finally:
            await stop(consumer)
    return keys


async def _write(settings: KafkaSettings, producer: AIOKafkaProducer, adoption: Adoption) -> None:
    topic = settings.state_topic
    marks = ((place, MARK_KEY.decode(), mark.whole().encode()) for place, mark in adoption.marks.items())
    records = chain(adoption.records(), marks)
    offsets = {
        TopicPartition(settings.input_topic, place): OffsetAndMetadata(mark.offset, mark.metadata())
        for place, mark in adoption.marks.items()
    }
    with told(settings, "do not take states", (topic,), again=False, prefix=settings.group):
        await producer.begin_transaction()
        try:
            while some := await asyncio.to_thread(_some, records):
                async with asyncio.timeout(settings.timeout_s):
                    sent = [
                        await producer.send(topic, value, key=key.encode(), partition=place)
                        for place, key, value in some
                    ]
                    await asyncio.gather(*sent)
            async with asyncio.timeout(settings.timeout_s):
                await producer.send_offsets_to_transaction(offsets, settings.group)
        except BaseException:
            async with asyncio.timeout(settings.timeout_s):
                await producer.abort_transaction()
            raise
        async with asyncio.timeout(settings.timeout_s):
            await producer.commit_transaction()


def _some(records: Iterator[StateRecord]) -> list[StateRecord]:
    """Take the next records, as many as may be on their way together."""
    taken: list[StateRecord] = []
    size = 0
    for record in records:
        taken.append(record)
        size += len(record[2] or b"")
        if len(taken) == _AT_ONCE or size >= _AT_ONCE_BYTES:
            break
    return taken


async def _check(settings: KafkaSettings, adoption: Adoption) -> None:
    """See that no worker was started meanwhile and has committed over it."""
    marks, _, _ = await _take(settings, len(adoption.marks))
    other = [partition for partition, mark in adoption.marks.items() if marks.get(partition) != mark]
    if other:
        raise SinkError(
            f"partitions {', '.join(map(str, other[:10]))} were committed by a worker meanwhile: the states have moved "
            "but for what it has written; stop all workers before you start them again"
        )
