"""A `Connection` through aiokafka."""

import asyncio
import contextlib
import json
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from daemon.sinks.kafka.access import LEAVE_S, access, count_partitions, leave, told
from daemon.sinks.kafka.batches import send_all
from daemon.sinks.kafka.connection import Connect, Connection, Mark, Record
from daemon.sinks.kafka.partitioner import place_of
from daemon.sinks.kafka.records import size_of
from daemon.sinks.kafka.settings import KafkaSettings
from pipeline.errors import SinkError

_BATCH_BYTES = 512 << 10  # of records for one partition in one request, before compression


def connect_as(settings: KafkaSettings, identity: str) -> Connect:
    """Give the function that opens connections for the ledger with this identity."""

    async def connect() -> Connection:
        return await _Producer.open(settings, f"{settings.id_prefix}.{identity}.{settings.topic}")

    return connect


async def probe(settings: KafkaSettings) -> str:
    """Ask the brokers for the topics, with the rights of the daemon; writes nothing and takes nobody's place.

    Raises:
        SinkError: what keeps the daemon from writing there, as far as can be seen without writing.
    """
    with told(settings, "cannot be used"):
        producer = AIOKafkaProducer(**access(settings))
        try:
            async with asyncio.timeout(settings.timeout_s):
                await producer.start()
                topics = sorted({settings.topic, settings.scans_topic})
                counts = await count_partitions(producer.client, settings, topics)
        finally:
            await leave(producer)
    return ", ".join(f"{topic}: {count} partitions" for topic, count in counts.items())


class _Producer:
    """One transactional producer. What fails once is not used again: the next one finds out what became of it."""

    def __init__(self, settings: KafkaSettings, name: str, producer: AIOKafkaProducer) -> None:
        self.mark: Mark | None = None
        self._settings = settings
        self._name = name
        self._producer = producer
        # The mark is a committed offset of a group without members. Its place is one that is there for sure and that
        # nobody commits for this group but us.
        self._place = TopicPartition(settings.topic, 0)
        self._open = False

    @classmethod
    async def open(cls, settings: KafkaSettings, name: str) -> "_Producer":
        with told(settings, "cannot be reached"):
            producer = AIOKafkaProducer(
                **access(settings),
                transactional_id=name,
                transaction_timeout_ms=round(settings.transaction_timeout_s * 1000),
                compression_type=None if settings.compression == "none" else settings.compression,
                max_batch_size=min(_BATCH_BYTES, settings.max_record_bytes),
                max_request_size=settings.max_record_bytes,
            )
            self = cls(settings, name, producer)
            try:
                async with asyncio.timeout(settings.timeout_s):
                    await producer.start()  # from here on nobody else commits under this name
                    topics = sorted({settings.topic, settings.scans_topic})
                    await count_partitions(producer.client, settings, topics)
                    self.mark = await self._read_mark()
            except BaseException:
                await self.close()
                raise
        return self

    async def commit(self, records: Sequence[Record]) -> None:
        """Send the records and the mark of the last one in one transaction.

        Raises:
            SinkError: when it is not known to be committed.
        """
        self._check_sizes(records)  # before it begins: an open transaction keeps every reader waiting
        last = records[-1]
        mark = OffsetAndMetadata(last.position, json.dumps({"position": last.position, "id": last.id}))
        with told(self._settings, "do not take records"):
            async with asyncio.timeout(self._settings.timeout_s):
                await self._producer.begin_transaction()
                self._open = True
                topics = {one.topic for one in records}
                counts = {topic: len(await self._producer.partitions_for(topic)) for topic in topics}
                await send_all(
                    self._producer,
                    (
                        ((one.topic, place_of(one.key, counts[one.topic])), one.key, one.value, one.headers)
                        for one in records
                    ),
                )
                await self._producer.send_offsets_to_transaction({self._place: mark}, self._name)
                await self._producer.commit_transaction()
                self._open = False

    async def close(self) -> None:
        """Abort what is open, as far as the brokers answer, and disconnect."""
        if self._open:  # readers would wait for the time-out of the transaction
            with contextlib.suppress(Exception):
                async with asyncio.timeout(LEAVE_S):
                    await self._producer.abort_transaction()
        await leave(self._producer)

    async def _read_mark(self) -> Mark | None:
        admin = AIOKafkaAdminClient(**access(self._settings))
        try:
            await admin.start()
            found = (await admin.list_consumer_group_offsets(self._name, partitions=[self._place])).get(self._place)
        finally:
            await admin.close()
        if found is None or found.offset < 0:
            return None
        try:
            said = json.loads(found.metadata)
            return Mark(int(said["position"]), str(said["id"]))
        except (ValueError, KeyError, TypeError) as error:
            raise SinkError(
                f"kafka {self._settings.topic}: the group {self._name} has an offset that is no mark of ours "
                f"({found.metadata[:100]!r}); delete its offsets if you are sure"
            ) from error

    def _check_sizes(self, records: Sequence[Record]) -> None:
        limit = self._settings.max_record_bytes
        for one in records:
            size = size_of(one.key, one.value, one.headers)
            if size > limit:
                raise SinkError(
                    f"kafka {one.topic}: record {one.id} has {size:,} bytes, more than kafka.max_record_bytes = "
                    f"{limit:,}; raise that and max.message.bytes of the topic"
                )
