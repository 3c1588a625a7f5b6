"""What the design rests on, asked of the real broker through aiokafka; docs/decisions/0022-kafka.md draws on it.

Each test is one thing that another broker, or another version, may do differently.
"""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from tests.kafka.broker import Cluster, until_true

Topic = Callable[..., str]


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 80))


async def producer(cluster: Cluster, name: str, **options: Any) -> AIOKafkaProducer:
    one = AIOKafkaProducer(bootstrap_servers=cluster.plain, transactional_id=name, **options)
    await one.start()
    return one


async def read(cluster: Cluster, topic: str, isolation: str = "read_committed") -> list[bytes]:
    """Read a topic of one partition up to what such a reader may see now."""
    partition = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=cluster.plain, isolation_level=isolation, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([partition])
        seen: list[bytes] = []
        while batch := await consumer.getmany(timeout_ms=700):
            seen += [record.value for records in batch.values() for record in records]
        return seen
    finally:
        await consumer.stop()


async def drop(*producers: AIOKafkaProducer) -> None:
    """Leave without ending the transaction, as a killed process does."""
    for one in producers:
        if one._sender.sender_task is not None:
            one._sender.sender_task.cancel()
        await one.client.close()
        one._closed = True


def name() -> str:
    return f"id-{uuid.uuid4().hex[:12]}"


def test_offsets_go_with_a_transaction_by_a_bare_group_id_also_into_a_group_with_members(
    cluster: Cluster, topic: Topic
) -> None:
    async def test() -> None:
        into, group = topic_name, name()
        member = AIOKafkaConsumer(into, bootstrap_servers=cluster.plain, group_id=group, enable_auto_commit=False)
        await member.start()
        await until_true(lambda: _true(bool(member.assignment())), "assigned")
        one = await producer(cluster, name())
        await one.begin_transaction()
        await one.send_and_wait(into, b"a", partition=0)
        await one.send_offsets_to_transaction({TopicPartition(into, 0): OffsetAndMetadata(7, "here")}, group)
        before = (await cluster.committed(group)).get(TopicPartition(into, 0))
        assert before is None or before.offset < 0  # not before the commit
        await one.commit_transaction()
        after = (await cluster.committed(group))[TopicPartition(into, 0)]
        assert (after.offset, after.metadata) == (7, "here")
        await one.stop()
        await member.stop()

    topic_name = topic()
    run(test())


def test_a_new_producer_of_the_name_aborts_what_is_open_and_the_mark_read_after_it_is_never_stale(
    cluster: Cluster, topic: Topic
) -> None:
    async def test() -> None:
        same, group, partition = name(), name(), TopicPartition(into, 0)
        stale = []
        for number in range(1, 31):
            one = await producer(cluster, same)
            await one.begin_transaction()
            await one.send_and_wait(into, b"kept %d" % number, partition=0)
            await one.send_offsets_to_transaction({partition: OffsetAndMetadata(number, "")}, group)
            ending = asyncio.ensure_future(one.commit_transaction())
            if number % 3 == 0:
                await ending
            elif number % 3 == 1:
                await asyncio.sleep(0.002)  # the commit is under way when the other comes
            other = await producer(cluster, same)
            marked = (await cluster.committed(group)).get(partition)
            first = marked.offset if marked is not None else -1
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)
            await asyncio.sleep(0.05)
            marked = (await cluster.committed(group)).get(partition)
            if (marked.offset if marked is not None else -1) != first:
                stale.append(number)
            assert first in (number, number - 1, number - 2, -1)
            await drop(one, other)
        assert stale == []
        one = await producer(cluster, same)
        await one.begin_transaction()
        await one.send_and_wait(into, b"left open", partition=0)
        await drop(one)
        assert b"left open" in await read(cluster, into, "read_uncommitted")
        await (await producer(cluster, same)).stop()
        committed = await read(cluster, into)
        assert b"left open" not in committed
        assert b"kept 30" in committed

    into = topic()
    run(test())


def test_metadata_of_200_bytes_and_of_4000_comes_back_and_longer_is_refused(cluster: Cluster, topic: Topic) -> None:
    async def test() -> None:
        one, group = await producer(cluster, name()), name()
        for length in (200, 4000):
            text = "m" * length
            async with one.transaction():
                await one.send_offsets_to_transaction({TopicPartition(into, 0): OffsetAndMetadata(1, text)}, group)
            assert (await cluster.committed(group))[TopicPartition(into, 0)].metadata == text
        with pytest.raises(KafkaError):
            async with one.transaction():
                await one.send_offsets_to_transaction(
                    {TopicPartition(into, 0): OffsetAndMetadata(1, "m" * 5000)}, group
                )
        await drop(one)

    into = topic()
    run(test())


@pytest.mark.parametrize("step", ["send", "offsets", "commit", "abort"])
def test_whoever_was_fenced_learns_it_at_each_call(step: str, cluster: Cluster, topic: Topic) -> None:
    async def test() -> None:
        same = name()
        old = await producer(cluster, same)
        await old.begin_transaction()
        await old.send_and_wait(into, b"by the old", partition=0)
        new = await producer(cluster, same)
        with pytest.raises(KafkaError) as caught:
            if step == "send":
                await asyncio.wait_for(old.send_and_wait(into, b"too late", partition=0), 20)
            elif step == "offsets":
                offsets = {TopicPartition(into, 0): OffsetAndMetadata(1, "")}
                await asyncio.wait_for(old.send_offsets_to_transaction(offsets, name()), 20)
            elif step == "commit":
                await asyncio.wait_for(old.commit_transaction(), 20)
            else:
                await asyncio.wait_for(old.abort_transaction(), 20)
        print(step, type(caught.value).__name__, caught.value)
        assert isinstance(caught.value, ProducerFenced), repr(caught.value)
        await drop(old, new)
        assert await read(cluster, into) == []

    into = topic()
    run(test())


def test_a_transaction_of_a_frozen_producer_ends_after_its_time_and_cannot_be_committed(
    cluster: Cluster, topic: Topic
) -> None:
    async def test() -> None:
        frozen = await producer(cluster, name(), transaction_timeout_ms=1000)
        await frozen.begin_transaction()
        await frozen.send_and_wait(into, b"of the frozen", partition=0)
        other = await producer(cluster, name())
        async with other.transaction():
            await other.send_and_wait(into, b"of another", partition=0)
        assert await read(cluster, into) == []  # an open transaction keeps readers from what follows it
        await until_true(lambda: _equal(read(cluster, into), [b"of another"]), "the broker gives it up")
        with pytest.raises(KafkaError) as caught:
            await asyncio.wait_for(frozen.commit_transaction(), 20)
        print(type(caught.value).__name__, caught.value)
        assert await read(cluster, into) == [b"of another"]
        await drop(frozen)
        await other.stop()

    into = topic()
    run(test())


async def _true(value: bool) -> bool:
    return value


async def _equal(reading: Coroutine[Any, Any, list[bytes]], expected: list[bytes]) -> bool:
    return await reading == expected
