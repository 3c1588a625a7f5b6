"""The topic of verdicts: what its records are, and how they are read.

It has one partition and keeps everything, so it has one order. Each record is a row of the log of verdicts
(`pipeline.review.log`): its number is the key, its content the value, its hash a header. A record that does not follow
the one before it, by number and by hash, is none of the log's: it is passed over, by everybody alike.
"""

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from daemon.lane.port import Outgoing
from daemon.sinks.kafka.access import access, stop, told
from daemon.sinks.kafka.administrator import Administrator
from daemon.sinks.kafka.settings import KafkaSettings
from pipeline.errors import SinkError
from pipeline.review.chain import Head, Row, link

HASH_HEADER = "sysscan-verdict-hash"
_FETCH_WAIT_MS = 5_000  # a broker answers at once when there is something
_FETCH_BYTES = 1 << 20


class Chain:
    """What the records of the topic say so far.

    Attributes:
        head: up to where.
        passed_over: how many records were none of the log's, and `first` is the offset of the first of them.
    """

    def __init__(self) -> None:
        self.head = Head()
        self.passed_over = 0
        self.first: int | None = None

    def take(self, record: ConsumerRecord) -> Row | None:
        """Give the row that a record is, or None where it is none that follows."""
        body = record.value or b""
        seq = self.head.seq + 1
        said = link(self.head.hash, seq, body)
        hashes = [value for name, value in record.headers if name == HASH_HEADER]
        if record.key != str(seq).encode() or hashes != [said.encode()]:
            self.passed_over += 1
            self.first = record.offset if self.first is None else self.first
            return None
        self.head = Head(seq, said)
        return Row(seq, body, said)


def outgoing(topic: str, row: Row) -> Outgoing:
    """Give the record of a row."""
    headers = (("content-type", b"application/json"), (HASH_HEADER, row.hash.encode()))
    return Outgoing(topic, str(row.seq).encode(), row.body, headers)


async def is_there(settings: KafkaSettings) -> bool:
    """Say whether there is such a topic, as far as we may see.

    Raises:
        SinkError: when it is none that can be used.
    """
    topic = settings.verdicts_topic
    async with Administrator.connected(settings) as administrator:
        found = (await administrator.topics([topic])).get(topic)
    if found is not None and found.partitions != 1:
        raise SinkError(f"kafka {topic}: has {found.partitions} partitions; verdicts need a topic with one")
    return found is not None


async def open_consumer(settings: KafkaSettings) -> tuple[AIOKafkaConsumer, TopicPartition]:
    """Make ready to read the topic from its oldest record: `resume` begins.

    Until then nothing is fetched, so what is asked is answered at once. A broker answers one request of a connection
    after the other, and a fetch waits for records: seconds, where there are none.
    """
    place = TopicPartition(settings.verdicts_topic, 0)
    consumer = AIOKafkaConsumer(
        **access(settings), enable_auto_commit=False, auto_offset_reset="none", isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES, fetch_max_wait_ms=_FETCH_WAIT_MS,
    )  # fmt: skip
    try:
        async with asyncio.timeout(settings.timeout_s):
            await consumer.start()
            consumer.assign([place])
            consumer.pause(place)
            consumer.seek(place, (await consumer.beginning_offsets([place]))[place])
    except BaseException:
        await stop(consumer)
        raise
    return consumer, place


async def read_upto(
    consumer: AIOKafkaConsumer, place: TopicPartition, end: int, chain: Chain, settings: KafkaSettings
) -> list[Row]:
    """Read on up to an offset.

    Raises:
        TimeoutError: when nothing comes for too long.
    """
    rows: list[Row] = []
    consumer.resume(place)
    while (now := await consumer.position(place)) < end:
        async with asyncio.timeout(settings.timeout_s):
            while await consumer.position(place) == now:
                for records in (await consumer.getmany(place, timeout_ms=500)).values():
                    rows += [row for one in records if (row := chain.take(one)) is not None]
    return rows


async def read_chain(settings: KafkaSettings) -> Chain:
    """Read the topic as it is now, for who looks after it.

    Raises:
        SinkError: when it cannot be read.
    """
    chain = Chain()
    with told(settings, "do not give verdicts", (settings.verdicts_topic,), again=False, prefix=settings.group):
        consumer, place = await open_consumer(settings)
        try:
            await read_upto(consumer, place, (await consumer.end_offsets([place]))[place], chain, settings)
        finally:
            await stop(consumer)
    return chain


def passed_over(topic: str, chain: Chain) -> str | None:
    """Say in a line what of the topic is none of the log; None where all of it is."""
    if not chain.passed_over:
        return None
    return (
        f"kafka {topic}: {chain.passed_over} records from offset {chain.first} on are no verdicts that follow the one "
        "before them, and do not count: only reviewers may write there, and nothing may be deleted"
    )
