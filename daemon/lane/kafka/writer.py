"""The right to commit for one partition: one transactional producer, used until its first fault."""

import asyncio
import contextlib
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from daemon.lane.mark import MAX_BYTES, Mark, NewerMark, read_mark
from daemon.lane.port import Outgoing
from daemon.sinks.kafka.access import access, count_partitions, leave, told
from daemon.sinks.kafka.batches import send_all
from daemon.sinks.kafka.records import size_of
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sinks.kafka.topics import needed_by_workers
from pipeline.errors import ConfigError, SinkError

MARK_KEY = b"mark"  # of the mark's own record in the state topic: committed offsets are not kept for ever
_BATCH_BYTES = 512 << 10
_ABORT_S = 2.0


class Writer:
    """Attributes:
    fenced: somebody else has taken the right.
    """

    def __init__(self, settings: KafkaSettings, partition: int) -> None:
        self.fenced = False
        self._settings = settings
        self._partition = partition
        self._place = TopicPartition(settings.input_topic, partition)
        self._open = False
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> Mark | None:
        """Take the right from whoever has it; what they have not committed is gone then. Returns the mark.

        Raises:
            SinkError: why it cannot just now.
            ConfigError: what a person must change, as where a newer worker wrote the mark.
        """
        settings = self._settings
        with told(settings, "cannot be reached"):
            admin = AIOKafkaAdminClient(**access(settings))
            self._producer = producer = AIOKafkaProducer(
                **access(settings),
                transactional_id=f"{settings.group}.{settings.input_topic}.{self._partition}",
                transaction_timeout_ms=round(settings.transaction_timeout_s * 1000),
                compression_type=None if settings.compression == "none" else settings.compression,
                max_batch_size=min(_BATCH_BYTES, settings.max_record_bytes),
                max_request_size=settings.max_record_bytes,
            )
            try:
                async with asyncio.timeout(settings.timeout_s):
                    connecting = asyncio.ensure_future(admin.start())  # side by side: each is some round trips
                    try:
                        await producer.start()
                        await self._check_topics(producer)
                        await connecting
                    finally:
                        connecting.cancel()
                        await asyncio.gather(connecting, return_exceptions=True)
                    return await self._read_mark(admin)  # only now: nobody else can move it any more
            except BaseException:
                await self.close()
                raise
            finally:
                await admin.close()

    async def commit(self, records: Sequence[Outgoing], mark: Mark) -> None:
        """Send records, the mark, and the offset, in one transaction.

        Raises:
            SinkError: when it is not known to be committed; close this one.
        """
        producer = self._producer
        assert producer is not None
        settings = self._settings
        metadata = mark.metadata()
        self._check_sizes(records)
        if len(metadata) > MAX_BYTES:
            raise SinkError(f"partition {self._partition}: its mark has {len(metadata)} bytes, more than brokers keep")
        try:
            with told(settings, "do not take records"):
                async with asyncio.timeout(settings.timeout_s):
                    await producer.begin_transaction()
                    self._open = True
                    mark_record = Outgoing(settings.state_topic, MARK_KEY, mark.whole().encode())
                    await send_all(
                        producer,
                        (
                            ((one.topic, self._partition), one.key, one.value, one.headers)
                            for one in (*records, mark_record)
                        ),
                    )
                    await producer.send_offsets_to_transaction(
                        {self._place: OffsetAndMetadata(mark.offset, metadata)}, settings.group
                    )
                    await producer.commit_transaction()
                    self._open = False
        except SinkError as error:
            self.fenced = is_fenced(error)
            raise

    async def close(self) -> None:
        """Abort what is open, as far as the brokers answer, and disconnect; never raises."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        if self._open and not self.fenced:  # readers would wait for the time-out of the transaction
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_ABORT_S):
                    await producer.abort_transaction()
        await leave(producer)

    async def _check_topics(self, producer: AIOKafkaProducer) -> None:
        settings = self._settings
        counts = await count_partitions(producer.client, settings, needed_by_workers(settings))
        wanted = counts[settings.input_topic]
        for topic, count in counts.items():
            if count != wanted:
                raise ConfigError(
                    f"kafka: {topic} has {count} partitions and {settings.input_topic} {wanted}; what comes from a "
                    "partition goes into the one of the same number, so create all topics with as many"
                )
        if self._partition >= wanted:
            raise ConfigError(
                f"kafka.partitions: {settings.input_topic} has the partitions 0 to {wanted - 1}, and no "
                f"{self._partition}"
            )

    async def _read_mark(self, admin: AIOKafkaAdminClient) -> Mark | None:
        offsets = await admin.list_consumer_group_offsets(self._settings.group, partitions=[self._place])
        found = offsets.get(self._place)
        if found is None or found.offset < 0:
            return None
        try:
            return read_mark(found.offset, found.metadata)
        except NewerMark as error:
            raise ConfigError(f"kafka {self._place.topic}/{self._partition}: {error}") from error
        except ValueError as error:
            raise ConfigError(
                f"kafka: the group {self._settings.group!r} has a committed offset for {self._place.topic}/"
                f"{self._partition} that is {error}; another program commits for it: choose another kafka.group, or "
                "delete the group's offsets if you are sure"
            ) from error

    def _check_sizes(self, records: Sequence[Outgoing]) -> None:
        """See that all fit before anything begins: an open transaction keeps every reader waiting."""
        limit = self._settings.max_record_bytes
        for one in records:
            size = size_of(one.key, one.value, one.headers)
            if size > limit:
                raise SinkError(
                    f"kafka {one.topic}: a record for {(one.key or b'').decode('utf-8', 'replace')[:60]}: {size:,} "
                    f"bytes, more than kafka.max_record_bytes = {limit:,}; raise that and the topic's max.message.bytes"
                )


def is_fenced(error: BaseException | None) -> bool:
    while error is not None:
        if type(error).__name__ in ("ProducerFenced", "InvalidProducerEpoch"):
            return True
        error = error.__cause__
    return False
