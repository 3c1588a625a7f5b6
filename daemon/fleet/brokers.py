"""What the brokers must have before the view can begin, asked of them with one line for each thing that is wrong."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from daemon.settings import Settings
from daemon.sinks.kafka.access import access, told
from pipeline.errors import ConfigError, SinkError

_DAY_MS = 24 * 3600 * 1000


@dataclass(slots=True, frozen=True)
class Topics:
    """What is there.

    Attributes:
        partitions: of the scans and of the postures, which are the same.
        policy: `cleanup.policy` of the postures, or empty where it may not be asked.
    """

    partitions: int
    policy: str


async def examine(settings: Settings) -> Topics:
    """Look at the topics, with the rights of the view; writes nothing.

    Raises:
        SinkError: when the brokers do not answer, or what they answer may change by itself.
        ConfigError: when a person must change a topic first.
    """
    fleet, scans = settings.fleet, settings.kafka.scans_topic
    async with _admin(settings) as admin:
        counts = await _counts(admin, (scans, fleet.posture_topic, fleet.alerts_topic))
        missing = [name for name, count in counts.items() if not count]
        if missing:
            who = settings.kafka.username or "this program"
            advice = "" if scans in missing else " (`sysscan-agent-fleet topics`)"
            raise SinkError(
                f"kafka: a topic does not exist, or {who} may not see it: create {' and '.join(missing)}{advice}, "
                f"or give {who} DESCRIBE on it; tried again"
            )
        policy = await _policy(admin, fleet.posture_topic)
    if counts[scans] != counts[fleet.posture_topic]:
        raise ConfigError(
            f"kafka: {scans} has {counts[scans]} partitions and {fleet.posture_topic} {counts[fleet.posture_topic]}; "
            f"they must be as many: delete {fleet.posture_topic} and create it anew (`sysscan-agent-fleet topics`), it "
            "is filled again from the scans"
        )
    if policy and "compact" not in policy:
        raise ConfigError(
            f"kafka: {fleet.posture_topic} has cleanup.policy={policy}: set it to compact, or postures get lost"
        )
    return Topics(counts[scans], policy)


async def create(settings: Settings, replication: int | None = None) -> Sequence[str]:
    """Create what is missing of the two topics that the view writes; returns their names.

    Args:
        replication: replicas of each partition; None: as many as those of the scans have.

    Raises:
        SinkError: when it cannot be done.
    """
    fleet, scans = settings.fleet, settings.kafka.scans_topic
    policies: Mapping[str, Mapping[str, str]] = {
        fleet.posture_topic: {"cleanup.policy": "compact", "compression.type": "producer"},
        fleet.alerts_topic: {"cleanup.policy": "delete", "retention.ms": str(30 * _DAY_MS)},
    }
    async with _admin(settings) as admin:
        counts = await _counts(admin, (scans, *policies))
        if not counts[scans]:
            raise SinkError(f"kafka: {scans} does not exist, and the others have as many partitions as it has")
        wanted = [name for name in policies if not counts[name]]
        if replication is None:
            (described,) = await admin.describe_topics([scans])
            replication = len(described["partitions"][0]["replicas"])
        topics = [
            NewTopic(name, counts[scans], replication, topic_configs=dict(policies[name])) for name in wanted
        ]  # fmt: skip
        answer = await admin.create_topics(topics) if topics else None
        for topic, code, *reason in answer.topic_errors if answer is not None else ():
            if code:
                raise SinkError(f"kafka: {topic} cannot be created: {reason[0] if reason else f'error {code}'}")
    return wanted


async def _counts(admin: AIOKafkaAdminClient, names: Sequence[str]) -> Mapping[str, int]:
    """Count partitions; 0 where a topic is not there or is not shown to us.

    They are looked up among all, because brokers may create a topic that is asked for.
    """
    there = set(await admin.list_topics())
    asked = [name for name in names if name in there]
    found = {one["topic"]: len(one["partitions"]) for one in await admin.describe_topics(asked)} if asked else {}
    return {name: found.get(name, 0) for name in names}


async def _policy(admin: AIOKafkaAdminClient, topic: str) -> str:
    answers: Any = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic, {"cleanup.policy": None})]
    )
    for answer in answers:
        for code, _, _, _, entries in answer.resources:
            if not code:
                return next((str(entry[1]) for entry in entries if entry[0] == "cleanup.policy"), "")
    return ""


@contextlib.asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    kafka = settings.kafka.model_copy(update={"topic": settings.fleet.posture_topic})
    with told(kafka, "cannot be reached"):
        admin = AIOKafkaAdminClient(**access(settings.kafka))
        async with asyncio.timeout(kafka.timeout_s):
            try:
                await admin.start()
                yield admin
            finally:
                await admin.close()
