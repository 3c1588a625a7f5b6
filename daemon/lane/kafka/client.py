"""A lane's `Client` through aiokafka."""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord, TopicPartition

from daemon.lane.kafka.group import make_consumer, watch_membership
from daemon.lane.kafka.reader import Reader
from daemon.lane.kafka.thread import LoopThread
from daemon.lane.kafka.writer import Writer
from daemon.lane.mailbox import Mailbox, digest_of
from daemon.lane.mark import Mark
from daemon.lane.port import Acquired, Fenced, Outgoing
from daemon.log import get_logger
from daemon.sinks.kafka.access import stop, told
from daemon.sinks.kafka.partitioner import place_of
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sinks.kafka.topics import needed_by_workers, not_there
from daemon.sources.kafka.messages import Message
from pipeline.errors import ConfigError, SinkError

logger = get_logger(__name__)

_POLL_MS = 200
_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # after faults in a row
_SETTLE_S = 5.0  # a transaction under way is given this long before partitions are handed over
_EXPELLED, _WITHIN_S = 3, 60.0  # so often in so short a time: another process has the same name
_REPLACED = 2  # members of one name replace each other without a word; who was there first comes to this first
# Two of one name may come back into the group without a word from it, and fence each other's transactions for ever. By
# chance, so that not both of them end.
_FENCED = range(8, 40)
_FETCH_BYTES = 4 << 20  # of one partition in one answer


class KafkaClient:
    """Implements `daemon.lane.port.Client`; its attributes are touched on its own thread alone, but for the last ones.

    One consumer reads all partitions; each has a transactional producer of its own, because this is how Kafka tells
    who owns a partition from who did: by the epoch of its name.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        """Nothing is connected before `start`."""
        self._settings = settings
        self._thread = LoopThread("kafka")
        self._writers: dict[int, Writer] = {}
        self._busy: dict[int, asyncio.Future[None]] = {}  # transactions under way
        self._mailboxes: dict[int, Mailbox] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._reader = Reader(settings)
        self._polling: asyncio.Task[None] | None = None
        self._expelled: dict[tuple[str, int], deque[float]] = {}  # when, by what it says
        self._replaced: deque[str] = deque(maxlen=4)  # ids that we had, and that the group forgot early
        # Read by the other thread; each is replaced as a whole.
        self._changed: Callable[[], None] = _nobody
        self._assigned: frozenset[int] | None = None
        self._confirmed_at = 0.0
        self._most_fenced = random.choice(_FENCED)  # noqa: S311 - no secret
        self._fault: str | None = None
        self._failure: Exception | None = None

    # From the other thread

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to connect."""
        self._changed = changed
        self._thread.call(self._begin())

    def assigned(self) -> frozenset[int] | None:
        """Give the partitions that are ours as far as we know."""
        return self._assigned

    def confirmed(self, since: float) -> bool:
        """Say whether the group has confirmed them later than that; named ones need nobody's word."""
        return bool(self._settings.partitions) or self._confirmed_at > since

    @property
    def fault(self) -> str | None:
        """Say what keeps it from reading, or None."""
        return self._fault

    def failure(self) -> Exception | None:
        """Give what makes it pointless to go on, or None."""
        return self._failure

    def mailbox(self, partition: int) -> Mailbox:
        """Give where records of a partition arrive."""
        return self._mailboxes.setdefault(partition, Mailbox())

    def read(self, partition: int, offset: int) -> "Future[None]":
        """Begin to read at an offset."""
        return self._thread.call(self._read(partition, offset))

    def leave(self, partition: int) -> "Future[None]":
        """Read no more of a partition, and give the right to commit back."""
        return self._thread.call(self._leave(partition))

    def acquire(self, partition: int) -> "Future[Acquired]":
        """Take the right to commit for a partition."""
        return self._thread.call(self._acquire(partition))

    def commit(self, partition: int, records: Sequence[Outgoing], mark: Mark) -> "Future[None]":
        """Make records readable together with the mark."""
        return self._thread.call(self._commit(partition, records, mark))

    def states(self, partition: int) -> "Future[Mapping[str, bytes]]":
        """Read the latest states of a partition."""
        return self._thread.call(self._reader.states(partition))

    def peek(self, partition: int, offset: int) -> "Future[str | None]":
        """Give the digest of the record at an offset."""
        return self._thread.call(self._peek(partition, offset))

    def place_of(self, key: bytes, partitions: int) -> int:
        """Say into which of so many partitions producers put a key."""
        return place_of(key, partitions)

    def stop(self) -> None:
        """Disconnect, and end the thread."""
        self._changed = _nobody
        self._thread.end(self._end())

    # On the thread of the client

    async def _begin(self) -> None:
        self._polling = asyncio.ensure_future(self._poll_on())

    async def _end(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        await asyncio.gather(*(writer.close() for writer in self._writers.values()), return_exceptions=True)
        await self._reader.close()
        await self._drop_consumer()

    async def _acquire(self, partition: int) -> Acquired:
        old = self._writers.pop(partition, None)
        if old is not None:
            await old.close()
        writer = Writer(self._settings, partition)
        mark = await writer.open()
        try:
            if mark is None:
                mark = await self._reader.mark(partition)
            first, end, partitions = await self._reader.bounds(partition)
        except BaseException:
            await writer.close()
            raise
        self._writers[partition] = writer
        return Acquired(mark, first, end, partitions)

    async def _commit(self, partition: int, records: Sequence[Outgoing], mark: Mark) -> None:
        writer = self._writers.get(partition)
        if writer is None:
            raise SinkError(f"partition {partition}: not acquired")
        self._busy[partition] = ended = asyncio.get_running_loop().create_future()
        try:
            await writer.commit(records, mark)
        except BaseException as error:
            self._writers.pop(partition, None)
            if not writer.fenced:
                await writer.close()
                raise
            await writer.close()
            named = bool(self._settings.partitions)
            who = f"another process commits for the group {self._settings.group!r}, too"
            if named:
                self._count_expulsion(f"partition {partition}: {who}; name each partition for one worker only")
            elif self._settings.instance_id is not None:
                self._count_expulsion(self._same_name(), self._most_fenced)
            raise Fenced(
                f"partition {partition}: was taken by another worker, or a transaction took longer than "
                "kafka.transaction_timeout_s"
            ) from error
        finally:
            ended.set_result(None)
            if self._busy.get(partition) is ended:
                del self._busy[partition]
            self._changed()

    async def _read(self, partition: int, offset: int) -> None:
        self.mailbox(partition).open(offset)
        self._seek(partition)

    async def _leave(self, partition: int) -> None:
        self.mailbox(partition).close()
        writer = self._writers.pop(partition, None)
        if writer is not None:
            await writer.close()

    async def _peek(self, partition: int, offset: int) -> str | None:
        record = await self._reader.record(partition, offset)
        return None if record is None else digest_of(_message(record))

    # Reading

    def _seek(self, partition: int) -> None:
        place = TopicPartition(self._settings.input_topic, partition)
        consumer, position = self._consumer, self.mailbox(partition).position
        if consumer is not None and place in consumer.assignment():
            consumer.seek(place, 0 if position is None else position)
            (consumer.resume if self.mailbox(partition).wanting else consumer.pause)(place)

    async def _poll_on(self) -> None:
        faults = 0
        while True:
            try:
                with told(self._settings, "cannot be read from"):
                    if self._consumer is None:
                        await self._connect()
                    await self._poll()
                if faults:
                    logger.info("kafka.reading_again", attempts=faults)
                faults, self._fault = 0, None
            except SinkError as error:
                if str(error) != self._fault:
                    logger.error("kafka.not_read", error=str(error))
                self._fault = str(error)
                if _is_instance_taken(error) and self._settings.instance_id is not None:
                    self._count_expulsion(self._same_name())
                await self._drop_consumer()
                self._changed()
                await asyncio.sleep(_DELAYS_S[min(faults, len(_DELAYS_S) - 1)])
                faults += 1

    async def _connect(self) -> None:
        consumer = make_consumer(self._settings, _FETCH_BYTES)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await consumer.start()
                there = await consumer.topics()
            # Before anything is assigned: of a group that shares nothing, nobody hears, and a partition would wait for
            # the library's time-out with each topic that is not there.
            missing = [topic for topic in needed_by_workers(self._settings) if topic not in there]
            if missing:
                raise SinkError(not_there(self._settings, missing))
        except BaseException:
            await stop(consumer)
            raise
        self._consumer = consumer
        if self._settings.partitions:
            partitions = frozenset(self._settings.partitions)
            consumer.assign([TopicPartition(self._settings.input_topic, partition) for partition in partitions])
            self._take(partitions)
        else:
            watch_membership(consumer, self._confirm, self._unknown)
            consumer.subscribe([self._settings.input_topic], listener=_Listener(self))

    async def _poll(self) -> None:
        consumer = self._consumer
        assert consumer is not None
        for place in consumer.assignment():
            wanting = self.mailbox(place.partition).wanting
            paused = place in consumer.paused()
            if wanting and paused:
                consumer.resume(place)
            elif not wanting and not paused:
                consumer.pause(place)
        try:
            fetched = await consumer.getmany(timeout_ms=_POLL_MS)
        except OffsetOutOfRangeError as error:
            await self._find_first(error)
            return
        except KafkaError as error:
            if type(error).__name__ == "NoOffsetForPartitionError":  # it is looked for before we have said where
                return
            raise
        for place in consumer.assignment():
            mailbox = self.mailbox(place.partition)
            if not mailbox.wanting and place not in fetched:
                continue
            records = [_message(record) for record in fetched.get(place, ())]
            with contextlib.suppress(KafkaError, AssertionError):
                mailbox.put(records, await consumer.position(place), consumer.highwater(place))

    async def _find_first(self, error: OffsetOutOfRangeError) -> None:
        """Find out where a partition begins whose next record is gone."""
        for place in error.args[0]:
            first, end, _ = await self._reader.bounds(place.partition)
            mailbox = self.mailbox(place.partition)
            position = mailbox.position
            if position is None:
                continue
            if position < first:
                mailbox.put_gap(first)
            elif position > end:
                mailbox.put_end(end)
            self._seek(place.partition)

    async def _drop_consumer(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop(consumer, _SETTLE_S)

    # Belonging to a group

    def _take(self, partitions: frozenset[int]) -> None:
        for partition in partitions:
            self._seek(partition)
        self._assigned = partitions
        self._confirm(time.monotonic())
        self._changed()

    def _confirm(self, at: float) -> None:
        self._confirmed_at = max(self._confirmed_at, at)

    def _unknown(self, member: str) -> bool:
        """Note that the group does not know this member any more; says whether to join again.

        A static one that was heard of within its session has been replaced by another of its name. What was taken is
        taken back by joining again; who loses it a second time was there first, and ends.
        """
        heard = time.monotonic() - self._confirmed_at < self._settings.session_timeout_s
        if self._settings.instance_id is not None and heard and member not in self._replaced:
            self._replaced.append(member)
            self._count_expulsion(self._same_name(), _REPLACED)
        return self._failure is None

    def _give_up(self) -> None:
        """Begin nothing new until the group has said what is ours."""
        self._confirmed_at = 0.0

    async def _settle(self) -> None:
        """Let transactions under way end before others take over; whether they do is no matter of safety."""
        if self._busy:
            await asyncio.wait(list(self._busy.values()), timeout=_SETTLE_S)

    def _same_name(self) -> str:
        return (
            f"kafka.instance_id = {self._settings.instance_id!r} is used by another process of the group "
            f"{self._settings.group!r}, too; give each worker an id of its own"
        )

    def _count_expulsion(self, reason: str, most: int = _EXPELLED) -> None:
        """Give up where that has happened `most` times within a minute."""
        now = time.monotonic()
        times = self._expelled.setdefault((reason, most), deque(maxlen=most))
        times.append(now)
        # Each is noticed by a heartbeat, and these are the rarer the longer a session is.
        if len(times) == most and now - times[0] < max(_WITHIN_S, 2 * self._settings.session_timeout_s):
            self._failure = ConfigError(reason)
            self._changed()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Passes on what the group says; it is called beside everything else, so it decides nothing."""

    def __init__(self, client: KafkaClient) -> None:
        self._client = client

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        if revoked:
            self._client._give_up()
            await self._client._settle()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._client._take(frozenset(place.partition for place in assigned))


def _message(record: ConsumerRecord) -> Message:
    return Message(
        record.topic, record.partition, record.offset, record.key, record.value,
        tuple((name, value or b"") for name, value in record.headers), record.timestamp,
    )  # fmt: skip


def _is_instance_taken(error: BaseException | None) -> bool:
    while error is not None:
        if "UnknownError" in repr(error) or "FencedInstance" in repr(error):
            return True
        error = error.__cause__
    return False


def _nobody() -> None:
    """Tell nobody."""
