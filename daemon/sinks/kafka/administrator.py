"""Looks at a cluster, and creates topics, for the commands of administrators."""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import for_code
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from daemon.sinks.kafka.access import access, leave, stop, told
from daemon.sinks.kafka.cluster import Brokers, GroupState, Member, PartitionState
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sinks.kafka.topics import Found, Wanted
from pipeline.errors import SinkError

_POLL_S = 0.1
_LOOK_S = 3.0  # for the newest records; where the latest are markers, none comes
_FETCH = 1  # the request that has changed the most
_FETCH_SINCE = ((17, "3.9"), (16, "3.7"), (15, "3.5"), (13, "3.1"), (12, "2.7"), (11, "2.3"))
_UUID = re.compile(r"-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


class Administrator:
    """Asks the brokers. Every call raises `SinkError` with one line where they do not answer or do not allow it."""

    def __init__(self, settings: KafkaSettings, client: AIOKafkaAdminClient) -> None:
        self._settings = settings
        self._client = client

    @classmethod
    @asynccontextmanager
    async def connected(cls, settings: KafkaSettings) -> AsyncIterator["Administrator"]:
        """Lend one that is connected."""
        with told(settings, "cannot be reached", _all(settings), again=False, prefix=settings.group):
            client = AIOKafkaAdminClient(**access(settings))
            try:
                async with asyncio.timeout(settings.timeout_s):
                    await client.start()
            except BaseException:
                await client._client.close()
                raise
        try:
            yield cls(settings, client)
        finally:
            await client.close()

    async def brokers(self) -> Brokers:
        """Say who is there."""
        async with self._asked("do not answer"):
            seen = await self._client.describe_cluster()
        addresses = {one["node_id"]: f"{one['host']}:{one['port']}" for one in seen["brokers"]}
        versions: Mapping[int, tuple[int, int]] = next(
            (one._versions for one in self._client._client._conns.values() if one._versions), {}
        )
        return Brokers(addresses, _release(versions))

    async def topics(self, names: Iterable[str]) -> Mapping[str, Found]:
        """Describe those topics that are there, and that may be seen."""
        wanted = set(names)
        async with self._asked("do not describe topics"):
            # All are asked for: to ask for one that is not there would create it where brokers are set so.
            seen = {one["topic"]: one["partitions"] for one in await self._client.describe_topics()}
            configs = await self._configs(sorted(wanted & seen.keys()))
        found = {}
        for name in sorted(wanted & seen.keys()):
            partitions = sorted(seen[name], key=lambda one: int(one["partition"]))
            found[name] = Found(
                name,
                len(partitions),
                min((len(one["replicas"]) for one in partitions), default=0),
                [one["partition"] for one in partitions if one["leader"] < 0],
                [one["partition"] for one in partitions if len(one["isr"]) < len(one["replicas"])],
                configs.get(name),
            )
        return found

    async def create(self, topics: Sequence[Wanted], partitions: int, replication: int) -> None:
        """Create topics, and wait until all brokers that answer know them.

        Raises:
            SinkError: names the first that was refused, and why; others may have been created.
        """
        if not topics:
            return
        async with self._asked("do not create topics"):
            new = [
                NewTopic(one.name, one.partitions or partitions, replication, topic_configs=dict(one.config))
                for one in topics
            ]
            answer = await self._client.create_topics(new)
            for name, code, *message in answer.topic_errors:
                if code and for_code(code).__name__ != "TopicAlreadyExistsError":
                    said = message[0] if message and message[0] else for_code(code).__name__
                    raise SinkError(f"kafka {name}: cannot be created: {said}")
            names = {one.name for one in topics}
            while True:
                seen = {one["topic"]: one["partitions"] for one in await self._client.describe_topics()}
                if all(len(seen.get(name, ())) and all(p["leader"] >= 0 for p in seen[name]) for name in names):
                    return
                await asyncio.sleep(_POLL_S)

    async def group(self, name: str, topic: str) -> GroupState:
        """Say who is in a group, and which partitions of a topic each has."""
        async with self._asked("do not describe the group"):
            (answer,) = await self._client.describe_consumer_groups([name])
            code, _, state, _, _, members, *_ = answer.groups[0]
            if code:
                raise for_code(code)()
        found = []
        for member_id, client_id, host, _, assignment in members:
            partitions = []
            if assignment:
                decoded = ConsumerProtocolMemberAssignment.decode(assignment)
                partitions = sorted(one.partition for one in decoded.partitions() if one.topic == topic)
            found.append(Member(_instance(member_id), client_id, host.removeprefix("/"), partitions))
        return GroupState(state, sorted(found, key=lambda one: (one.partitions, one.instance)))

    async def partitions(self, topic: str, count: int, group: str) -> list[PartitionState]:
        """Say how far each partition of a topic is for a group."""
        places = [TopicPartition(topic, number) for number in range(count)]
        async with self._asked("do not say how far they are"):
            committed = await self._client.list_consumer_group_offsets(group, partitions=places)
            consumer = AIOKafkaConsumer(**access(self._settings), enable_auto_commit=False)
            await consumer.start()
            try:
                begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
            finally:
                await stop(consumer)
        states = []
        for place in places:
            mark = committed.get(place)
            known = mark is not None and mark.offset >= 0
            states.append(
                PartitionState(
                    place.partition, begins[place], ends[place], mark.offset if known else None,
                    mark.metadata if known else "",
                )
            )  # fmt: skip
        return states

    async def newest(self, topics: Mapping[str, int]) -> int | None:
        """Give the time of the newest record in some topics, in ms since 1970; None where there is none.

        Args:
            topics: to the number of its partitions.
        """
        places = [TopicPartition(topic, number) for topic, count in topics.items() for number in range(count)]
        async with self._asked("do not let records be read"):
            consumer = AIOKafkaConsumer(
                **access(self._settings), enable_auto_commit=False, isolation_level="read_uncommitted",
                auto_offset_reset="none",
            )  # fmt: skip
            await consumer.start()
            try:
                ends = await consumer.end_offsets(places)
                begins = await consumer.beginning_offsets(places)
                filled = [place for place in places if ends[place] > begins[place]]
                newest: int | None = None
                consumer.assign(filled)
                for place in filled:
                    # The last one may be a marker of a transaction, which no reader sees.
                    consumer.seek(place, max(begins[place], ends[place] - 2))
                deadline = time.monotonic() + (_LOOK_S if filled else 0)
                left = set(filled)
                while left and time.monotonic() < deadline:
                    for place, records in (await consumer.getmany(*left, timeout_ms=200)).items():
                        newest = max([newest or 0, *(one.timestamp for one in records)])
                        left.discard(place)
            finally:
                await stop(consumer)
        return newest

    async def try_transaction(self, topics: Sequence[str], input_topic: str, group: str) -> None:
        """Do all that a worker does in a transaction, but for the records, and abort it.

        It leaves a marker in one partition of each topic, which no reader sees.
        """
        what = "do not allow a transaction"
        producer = AIOKafkaProducer(
            **access(self._settings),
            transactional_id=f"{group}.doctor.{secrets.token_hex(4)}",
            transaction_timeout_ms=round(self._settings.transaction_timeout_s * 1000),
        )
        with told(self._settings, what, topics, again=False, prefix=self._settings.group):
            try:
                async with asyncio.timeout(self._settings.timeout_s):
                    await producer.start()
                    for topic in topics:
                        await producer.partitions_for(topic)
                    await producer.begin_transaction()
                    for topic in topics:
                        producer._txn_manager.maybe_add_partition_to_txn(TopicPartition(topic, 0))
                    while producer._txn_manager.partitions_to_add():
                        await asyncio.sleep(_POLL_S)
                    offset = OffsetAndMetadata(0, "")
                    await producer.send_offsets_to_transaction({TopicPartition(input_topic, 0): offset}, group)
                    await producer.abort_transaction()
            finally:
                await leave(producer)

    async def _configs(self, names: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Read the settings of topics; those that may not be read are left out."""
        if not names:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        found: dict[str, Mapping[str, str]] = {}
        for answer in await self._client.describe_configs(resources):
            for code, _, _, name, entries in answer.resources:
                if not code:
                    found[name] = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
        return found

    @asynccontextmanager
    async def _asked(self, what: str) -> AsyncIterator[None]:
        with told(self._settings, what, _all(self._settings), again=False, prefix=self._settings.group):
            async with asyncio.timeout(self._settings.timeout_s):
                yield


def _all(settings: KafkaSettings) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            (
                settings.input_topic,
                settings.topic,
                settings.scans_topic,
                settings.state_topic,
                settings.dlq_topic,
                settings.verdicts_topic,
            )
        )
    )


def _release(versions: Mapping[int, tuple[int, int]]) -> str:
    """Say which release of Kafka speaks these versions of requests: none of them tells it outright."""
    least, most = versions.get(_FETCH, (0, 0))
    if least >= 4:
        return "Kafka 4.0 or newer"
    release = next((name for version, name in _FETCH_SINCE if most >= version), None)
    return f"Kafka {release} or newer" if release else "an old Kafka"


def _instance(member_id: str) -> str:
    """Give the name that a member was given, without the UUID that the group puts behind it."""
    return _UUID.sub("", member_id) or member_id
