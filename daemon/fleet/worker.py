"""The application on Faust: the topic of scans into a table whose changelog is the topic of postures."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import faust

from daemon.fleet.committed import CommittedTransport
from daemon.fleet.keeper import Keeper
from daemon.fleet.records import Alert, read_row, write_alert
from daemon.fleet.resume import Resume
from daemon.fleet.row import Row
from daemon.fleet.scan import Place, Unusable
from daemon.log import get_logger
from daemon.settings import Settings
from daemon.sinks.kafka.access import access

logger = get_logger(__name__)

_UNCONFIRMED = 400  # rows that may be on their way, and as many may wait for their alerts; `resume` goes back further
_FETCHED = 100  # records at once, of which each may have 100 kB
_HANDED_ON = 2 * _FETCHED
_LOOK_S = 0.1
_PUBLISH_S = 60.0  # without an answer for this long, the program ends: what is not published is read again
_TICK_S = 5.0
_ALERT = {
    "content-type": b"application/json", "ce_specversion": b"1.0", "ce_source": b"sysscan-agent-fleet",
    "ce_type": b"sysscan.alert.v1",
}  # fmt: skip

Headers = Mapping[str, bytes]


class _WithoutWeb(faust.App.BootStrategy):
    """Keeps Faust's own pages off, which `faust worker` would open on all interfaces whatever the settings say."""

    enable_web = False


class _App(faust.App):
    """Faust's application, which writes nothing to any disk and asks for no port."""

    BootStrategy = _WithoutWeb
    known: Any
    sought: Any
    room: Any

    def _create_directories(self) -> None:
        """Make none: the table is in memory."""

    def on_init_dependencies(self) -> Any:
        """Leave its statistics out: nobody asks for them, and each record pays for them several times."""
        services = super().on_init_dependencies()
        self.sensors.remove(self.monitor)
        return services

    def _new_transport(self) -> CommittedTransport:
        transport = CommittedTransport(self.conf.broker_consumer, self)
        transport.known = self.known
        transport.sought = self.sought
        transport.room = self.room
        return transport


class FleetWorker:
    """What reads the scans.

    Attributes:
        app: Faust's, to be run by a `faust.Worker`.
        ready: the table has been restored, and reading has begun.
        failure: why the program must end, or None; then `failed` is set.
        unread: rows in the topic of postures that could not be read back.
    """

    def __init__(self, settings: Settings, keeper: Keeper, partitions: int, *, anew: bool = False) -> None:
        """Args:
        partitions: of both topics.
        anew: forget what was published, and read all scans that there are.
        """
        fleet = settings.fleet
        self.keeper = keeper
        self.ready = False
        self.failure: str | None = None
        self.failed = asyncio.Event()
        self.unread = 0
        self.partitions = partitions
        self._anew = anew
        self._restored = False
        self._waiting: asyncio.Queue[tuple[list[Any], int, bytes, bytes]] = asyncio.Queue(_UNCONFIRMED)
        self._taken: dict[int, int] = {}  # by partition: the offset after the last record that was taken
        self._reached: dict[Any, int] | None = None
        self._handed_on: asyncio.Queue[Any] | None = None  # records that wait to be taken
        self._roomy = asyncio.Event()
        self._topic = settings.kafka.scans_topic
        self.app = _App(fleet.group, **_options(settings, partitions))
        self._unconfirmed: deque[Any] = deque()  # what will be known of rows that are on their way
        self.app.known = self._known
        self.app.sought = self._sought
        self.app.room = self._room
        raw = {"key_serializer": "raw", "value_serializer": "raw", "allow_empty": True}
        self._postures_topic = fleet.posture_topic
        postures = self.app.topic(
            fleet.posture_topic,
            internal=True,
            acks=False,
            compacting=True,
            partitions=partitions,
            maxsize=1000,
            **raw,
        )
        self._alerts = fleet.alerts_topic
        self._table = self.app.Table(
            "hosts", partitions=partitions, changelog_topic=postures, on_recover=self._restore,
            recovery_buffer_size=100,
            key_type=bytes, value_type=bytes,
        )  # fmt: skip
        scans = self.app.topic(self._topic, **raw)
        self.app.agent(scans, name="scans", concurrency=1)(self._read)
        self.app.task(self._publish)
        self.app.task(self._tick)

    def lags(self) -> Mapping[int, int]:
        """Count for each partition that is ours the records that can be read and were not taken."""
        thread: Any = self.app.consumer._thread
        if not self.ready or thread._consumer is None:
            return {}
        found = {}
        for place in thread._consumer.assignment():
            position, end = _position(thread._consumer, place), thread._consumer.last_stable_offset(place)
            if place.topic == self._topic and position >= 0 and end is not None:
                fetched = thread.fetched.get(place, 0)
                found[place.partition] = max(0, end - position) + max(0, fetched - self._taken.get(place.partition, 0))
        return found

    def assigned(self) -> int:
        """Count the partitions that are read here."""
        return sum(1 for one in self.app.consumer.assignment() if one.topic == self._topic)

    def help_restoring(self) -> None:
        """Let Faust see that the table has all there is; to be called every second or so.

        It waits for the last offset of each partition to come. That never does where a marker of a transaction or
        what was compacted away stands there, and then it waits for ever.
        """
        recovery = self.app.tables.recovery
        consumer = getattr(self.app.consumer._thread, "_consumer", None)
        if self.ready or consumer is None or not recovery.in_recovery or not self.app.tables.changelog_queue.empty():
            self._reached = None
            return
        reached = {place: _position(consumer, place) for place in recovery.active_tps}
        if reached == self._reached:  # nothing was on its way between two looks
            for place, position in reached.items():
                if position > recovery.active_highwaters[place] > recovery.active_offsets[place]:
                    recovery.active_offsets[place] = recovery.active_highwaters[place]
        self._reached = reached

    def heard(self) -> float:
        """Give when the brokers last answered, on a clock of their own; 0 where they have not."""
        consumer = getattr(self.app.consumer._thread, "_consumer", None) if self.ready else None
        if consumer is None:
            return 0.0
        return max((consumer.last_poll_timestamp(one) or 0.0 for one in consumer.assignment()), default=0.0)

    def restored(self) -> int:
        """Count the rows in the table."""
        return len(self._table.data)

    async def drain(self) -> None:
        """Wait until what was taken is published."""
        while not self._waiting.empty() or any(not one.done() for one in self._unconfirmed):
            await asyncio.sleep(0.05)

    def fail(self, why: str) -> None:
        """End the program, with a reason."""
        if self.failure is None:
            self.failure = why
            logger.error("fleet.failed", reason=why)
            self.failed.set()

    async def _restore(self) -> None:
        """Take over what was published, before anything is read."""
        rows, self.unread = ([], 0) if self._anew else _rows(self._table)
        if self.unread and not self._restored:  # from here on our own rows are all that is needed
            logger.warning("fleet.read_anew", rows_unread=self.unread, reason="another version wrote them")
            rows = []
        ours = {one.partition for one in self.app.consumer.assignment() if one.topic == self._topic}
        self.keeper.fleet.restore(rows, ours)
        self._restored = True
        logger.info("fleet.restored", hosts=len(self.keeper.fleet.rows), partitions=len(ours))

    def _known(self) -> tuple[str, Mapping[int, Resume]]:
        return self._topic, self.keeper.fleet.resume()

    def _sought(self, found: Mapping[Any, int]) -> None:
        self._taken.update({place.partition: offset for place, offset in found.items()})
        self.ready = self._restored

    async def _room(self) -> None:
        """Wait until one fetch more can be handed on."""
        waiting = self._handed_on
        while waiting is not None and waiting.qsize() > _HANDED_ON - _FETCHED:
            self._roomy.clear()
            with contextlib.suppress(TimeoutError):  # the queue is emptied without a word when partitions move
                await asyncio.wait_for(self._roomy.wait(), _LOOK_S)

    async def _read(self, stream: Any) -> None:
        waiting = self._handed_on = stream.channel.queue
        async for event in stream.events():
            if waiting.qsize() <= _HANDED_ON - _FETCHED:
                self._roomy.set()
            message = event.message
            place = Place(message.partition, message.offset, round((message.timestamp or 0) * 1000))
            taken = self.keeper.take(message.key, message.value, place)
            try:
                if taken.row is not None:
                    await self._waiting.put((await self._send(taken.alerts), message.partition, taken.key, taken.row))
                self._taken[message.partition] = message.offset + 1
            except Exception as error:
                self.fail(f"cannot publish: {_line(error)}")
                await asyncio.sleep(3600)  # nothing more is taken; the end comes from outside

    async def _publish(self) -> None:
        """Publish rows, each when its alerts are there: what a row has was told of."""
        try:
            while True:
                alerts, partition, key, row = await self._waiting.get()
                await _all(alerts)
                self._table.data[key] = row
                # Faust would send the row by way of two queues, to the same producer.
                self._unconfirmed.append(await self._produce(self._postures_topic, key, row, partition))
                await self._confirm(_UNCONFIRMED)
        except Exception as error:
            self.fail(f"cannot publish: {_line(error)}")

    async def _produce(
        self, topic: str, key: bytes, value: bytes | None, partition: int | None = None, headers: Headers | None = None
    ) -> Any:
        """Send a record; returns what will be known of it."""
        return await self.app.producer.send(topic, key, value, partition=partition, timestamp=None, headers=headers)

    async def _send(self, alerts: Sequence[Alert]) -> list[Any]:
        """Send alerts; returns what will be known of each."""
        return [
            await self._produce(
                self._alerts, one.host.encode(), write_alert(one),
                headers={**_ALERT, "ce_id": one.id.encode(), "ce_subject": one.host.encode()},
            )
            for one in alerts
        ]  # fmt: skip

    async def _confirm(self, most: int) -> None:
        """Wait until no more rows than this are on their way.

        Raises:
            Exception: when one of them was not taken.
        """
        waiting = self._unconfirmed
        while waiting and (len(waiting) > most or waiting[0].done()):
            await _all((waiting.popleft(),))

    async def _tick(self) -> None:
        while not self.app.should_stop:
            await self.app.sleep(_TICK_S)
            try:
                await _all(await self._send(self.keeper.silence()))
                await self._confirm(_UNCONFIRMED)
                for row in self.keeper.fleet.forget(self.keeper.now()):
                    await self._drop(row)
            except Exception as error:
                self.fail(f"cannot publish: {_line(error)}")

    async def _drop(self, row: Row) -> None:
        key = row.host.encode()
        self._table.data.pop(key, None)
        for partition in {one.place.partition for one in row.scans if one.place.partition < self.partitions}:
            await _all((await self._produce(self._postures_topic, key, None, partition),))


async def _all(sent: Sequence[Any]) -> None:
    """Wait until the brokers have taken all of this.

    Raises:
        Exception: when they have not.
    """
    if all(one.done() for one in sent):
        for one in sent:
            one.result()
        return
    async with asyncio.timeout(_PUBLISH_S):
        await asyncio.gather(*sent)


def _position(consumer: Any, place: Any) -> int:
    """Give the offset that is read next, or -1 where none is decided on yet; asks nobody."""
    assignment = consumer._subscription.subscription.assignment
    state = assignment.state_value(place) if assignment is not None else None
    return int(state.position) if state is not None and state.has_valid_position else -1


def _rows(table: Any) -> tuple[list[Row], int]:
    rows, unread = [], 0
    for value in table.values():
        try:
            rows.append(read_row(value))
        except Unusable:
            unread += 1
    return rows, unread


def _options(settings: Settings, partitions: int) -> dict[str, Any]:
    kafka = settings.kafka
    found = access(kafka)
    credentials: Any = None
    if kafka.sasl != "none":
        credentials = faust.SASLCredentials(
            username=found["sasl_plain_username"], password=found["sasl_plain_password"],
            ssl_context=found.get("ssl_context"), mechanism=found["sasl_mechanism"],
        )  # fmt: skip
    elif kafka.tls:
        credentials = faust.SSLCredentials(context=found["ssl_context"])
    return {
        "broker": ";".join(f"aiokafka://{one}" for one in kafka.brokers),
        "broker_client_id": settings.fleet.group,
        "broker_credentials": credentials,
        "broker_request_timeout": kafka.timeout_s,
        "broker_session_timeout": min(15.0, kafka.timeout_s),  # who is killed is waited for this long
        "broker_heartbeat_interval": 3.0,
        "broker_rebalance_timeout": 30.0,
        "broker_max_poll_interval": 600.0,
        "consumer_auto_offset_reset": "earliest",
        # Scan records are large: what is read ahead is bounded by their number, and by the bytes of a partition.
        "consumer_max_fetch_size": 1 << 20,
        "broker_max_poll_records": _FETCHED,
        "stream_buffer_maxsize": _HANDED_ON,
        "producer_acks": -1,
        "producer_compression_type": None if kafka.compression == "none" else kafka.compression,
        "producer_linger": 0.05,  # rows go out together; an alert is no later than the scan by more
        "producer_max_batch_size": 256 << 10,
        "producer_max_request_size": kafka.max_record_bytes,
        "producer_request_timeout": kafka.timeout_s,
        "store": "memory://",
        "table_standby_replicas": 0,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "topic_partitions": partitions,
        "topic_replication_factor": 1,
        "autodiscover": False,
        "web_enabled": False,
    }


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def quieten() -> None:
    """Let of Faust's own log only what is worth a line in ours."""
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(logging.ERROR)


class Progress:
    """Says for how long nothing has moved although there is something to read."""

    def __init__(self, worker: FleetWorker) -> None:
        """Begin now."""
        self._worker = worker
        self._last: object = None
        self._since = time.monotonic()

    def still_s(self) -> float:
        """Give the seconds since something moved, or since the brokers said that there is nothing to read."""
        worker = self._worker
        lags = worker.lags()
        behind = not worker.ready or any(lags.values())
        moved = (worker.keeper.read, lags, worker.restored(), None if behind else worker.heard())
        if moved != self._last:
            self._last = moved
            self._since = time.monotonic()
        return time.monotonic() - self._since
