"""The topics that the agents and workers need, and what is wrong with those that are there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from daemon.sinks.kafka.settings import KafkaSettings

Role = Literal["input", "findings", "scans", "state", "dlq", "verdicts"]
Severity = Literal["warning", "problem"]

DEFAULT_PARTITIONS = 12
_SETTINGS: Mapping[Role, str] = {
    "input": "input_topic", "findings": "topic", "scans": "scans_topic", "state": "state_topic", "dlq": "dlq_topic",
    "verdicts": "verdicts_topic",
}  # fmt: skip
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
# What is read again after an outage must still be there; scans are a few records a host and day.
_RETENTION_MS: Mapping[Role, int] = {
    "input": 7 * _DAY_MS,
    "findings": 7 * _DAY_MS,
    "scans": 90 * _DAY_MS,
    "dlq": 30 * _DAY_MS,
    "verdicts": -1,  # for ever: whoever has no copy yet reads all of them
}
_COMPACTION_LAG_MS = _HOUR_MS  # whoever is rebuilding reads records that must not go meanwhile
_STATE_SEGMENT_BYTES = 64 << 20  # the segment that is written to is never compacted, and a rebuild reads all of it
_RECORD_ROOM_BYTES = 48_576  # so that the usual 1,000,000 give Kafka's own 1,048,576


@dataclass(slots=True, frozen=True)
class Wanted:
    """A topic as it should be.

    Attributes:
        partitions: how many it must have; None is as many as the input.
    """

    name: str
    role: Role
    config: Mapping[str, str]
    partitions: int | None = None


@dataclass(slots=True, frozen=True)
class Found:
    """A topic as it is.

    Attributes:
        replication: the fewest replicas of a partition.
        leaderless: partitions that nobody serves just now.
        behind: partitions of which a replica is not in sync.
        config: None where it may not be read.
    """

    name: str
    partitions: int
    replication: int
    leaderless: Sequence[int] = ()
    behind: Sequence[int] = ()
    config: Mapping[str, str] | None = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Flaw:
    """What is wrong with a topic, and what to do."""

    severity: Severity
    detail: str
    advice: str


def wanted_topics(settings: KafkaSettings, replication: int) -> list[Wanted]:
    """List the topics of the settings, each once, with the policies that they are created with."""
    names: dict[str, Role] = {}
    for name, role in _roles(settings):
        names.setdefault(name, role)
    common = {
        "min.insync.replicas": str(max(1, replication - 1)),
        "unclean.leader.election.enable": "false",
        "max.message.bytes": str(settings.max_record_bytes + _RECORD_ROOM_BYTES),
    }
    found = []
    for name, role in names.items():
        config = dict(common)
        if role == "state":
            config |= {
                "cleanup.policy": "compact", "min.compaction.lag.ms": str(_COMPACTION_LAG_MS),
                "segment.bytes": str(_STATE_SEGMENT_BYTES),
            }  # fmt: skip
        else:
            config |= {"cleanup.policy": "delete", "retention.ms": str(_RETENTION_MS[role])}
        found.append(Wanted(name, role, config, 1 if role == "verdicts" else None))
    return found


def flaws(settings: KafkaSettings, wanted: Wanted, found: Found, partitions: int | None) -> Iterator[Flaw]:
    """Say what is wrong with a topic.

    Args:
        partitions: how many the input topic has, or None where it is not there.
    """
    yield from _count_flaws(settings, wanted, found, partitions)
    if found.leaderless:
        yield Flaw("problem", f"nobody serves partitions {_few(found.leaderless)}", "look at the brokers")
    elif found.behind:
        yield Flaw("warning", f"replicas of partitions {_few(found.behind)} are not in sync", "look at the brokers")
    if found.config is None:
        yield Flaw(
            "warning", "its settings may not be read", f"give {_user(settings)} DESCRIBE_CONFIGS on {found.name}"
        )
        return
    yield from _policy_flaws(wanted, found.name, found.config)
    yield from _durability_flaws(found, found.config)
    most = _number(found.config, "max.message.bytes")
    if most is not None and most < settings.max_record_bytes:
        yield Flaw(
            "problem",
            f"takes records of {most:,} bytes, kafka.max_record_bytes allows {settings.max_record_bytes:,}",
            _set(found.name, "max.message.bytes", settings.max_record_bytes + _RECORD_ROOM_BYTES),
        )


def _count_flaws(settings: KafkaSettings, wanted: Wanted, found: Found, partitions: int | None) -> Iterator[Flaw]:
    """What comes from a partition of the input goes into the one of the same number, so all need as many; verdicts have
    one order, and so one partition."""
    if wanted.partitions is not None:
        if found.partitions != wanted.partitions:
            detail = f"has {found.partitions} partitions and needs {wanted.partitions}: verdicts are not taken"
            advice = "name another, or save the verdicts (docs/kafka.md) and make it anew"
            yield Flaw("problem", detail, advice)
        return
    if partitions is None or wanted.role == "input" or found.partitions == partitions:
        return
    detail = f"has {found.partitions} partitions, {settings.input_topic} has {partitions}: no worker starts"
    if wanted.role == "state":
        advice = "see `sysscan-agent kafka adopt-partitions`: states must be where the hosts are"
    elif found.partitions < partitions:
        advice = f"kafka-topics.sh --alter --topic {found.name} --partitions {partitions}"
    else:
        advice = "delete it when its readers have read it, then `sysscan-agent kafka topics --create`, or name another"
    yield Flaw("problem", detail, advice)


def _policy_flaws(wanted: Wanted, name: str, config: Mapping[str, str]) -> Iterator[Flaw]:
    policy = {part for part in config.get("cleanup.policy", "delete").split(",") if part}
    if wanted.role == "state":
        if policy != {"compact"}:
            what = "what a worker needs to go on elsewhere is deleted by age"
            yield Flaw("problem", f"is not compacted only: {what}", _set(name, "cleanup.policy", "compact"))
        lag = _number(config, "min.compaction.lag.ms")
        if lag is not None and lag < _COMPACTION_LAG_MS:
            yield Flaw(
                "warning", f"is compacted after {lag / 1000:,.0f} s: a rebuild could miss what goes meanwhile",
                _set(name, "min.compaction.lag.ms", _COMPACTION_LAG_MS),
            )  # fmt: skip
        return
    if "compact" in policy:
        what = "of the records of a host only the last stays"
        yield Flaw("problem", f"is compacted: {what}", _set(name, "cleanup.policy", "delete"))
        return
    keeps, least = _number(config, "retention.ms"), _RETENTION_MS[wanted.role]
    if keeps is not None and keeps >= 0 and least < 0:
        detail = f"deletes verdicts after {keeps / _DAY_MS:.1f} days: a worker with a new disk would lack them"
        yield Flaw("problem", detail, _set(name, "retention.ms", least))
    elif keeps is not None and 0 <= keeps < least:
        severity: Severity = "problem" if wanted.role == "input" and keeps < _DAY_MS else "warning"
        days = f"{keeps / _DAY_MS:.1f} days, less than {least // _DAY_MS}"
        what = (
            "what a worker was away for longer than that is lost"
            if wanted.role == "input"
            else "readers must be quicker"
        )
        yield Flaw(severity, f"keeps records for {days}: {what}", _set(name, "retention.ms", least))
    size = _number(config, "retention.bytes")
    if size is not None and size >= 0 and least < 0:
        detail = f"deletes verdicts beyond {size:,} bytes: a worker with a new disk would lack them"
        yield Flaw("problem", detail, _set(name, "retention.bytes", -1))
    elif size is not None and size >= 0:
        detail = f"keeps {size:,} bytes of a partition at most, whether they were read or not"
        yield Flaw("warning", detail, _set(name, "retention.bytes", -1))


def _durability_flaws(found: Found, config: Mapping[str, str]) -> Iterator[Flaw]:
    in_sync = _number(config, "min.insync.replicas") or 1
    if found.replication < 2:
        yield Flaw("warning", "has no replicas: what its one broker loses is lost", "3 replicas in production")
    elif in_sync > found.replication:
        detail = f"wants {in_sync} replicas in sync and has {found.replication}: nothing can be written"
        yield Flaw("problem", detail, _set(found.name, "min.insync.replicas", found.replication - 1))
    elif in_sync == found.replication:
        detail = f"wants all {in_sync} replicas in sync: while one broker restarts, nothing is written"
        yield Flaw("warning", detail, _set(found.name, "min.insync.replicas", max(1, found.replication - 1)))
    elif found.replication > 2 and in_sync < 2:
        detail = "takes records that one broker alone has: they are lost with it"
        yield Flaw("warning", detail, _set(found.name, "min.insync.replicas", 2))
    if config.get("unclean.leader.election.enable") == "true":
        detail = "lets a replica lead that is behind (unclean.leader.election.enable): what was confirmed may be lost"
        yield Flaw("problem", detail, _set(found.name, "unclean.leader.election.enable", "false"))


def needed_by_workers(settings: KafkaSettings) -> list[str]:
    """List the topics that no worker can do without, the input first."""
    sent = [settings.topic, settings.scans_topic] if settings.send else []
    return list(dict.fromkeys([settings.input_topic, *sent, settings.state_topic, settings.dlq_topic]))


def not_there(settings: KafkaSettings, topics: Iterable[str]) -> str:
    """Say in one line which topics are missing, which setting names each, and what to do."""
    names = list(dict.fromkeys(topics))
    said = ", ".join(f"{name} ({setting})" if (setting := _setting(settings, name)) else name for name in names)
    are, them = ("is", "it") if len(names) == 1 else ("are", "them")
    return (
        f"kafka {said}: {are} not there, or {_user(settings)} is not allowed to DESCRIBE {them}; `sysscan-agent kafka "
        f"topics --create` creates {them}, or name another"
    )


def _setting(settings: KafkaSettings, topic: str) -> str | None:
    return next((f"kafka.{_SETTINGS[role]}" for name, role in _roles(settings) if name == topic), None)


def _roles(settings: KafkaSettings) -> Iterator[tuple[str, Role]]:
    for role, setting in _SETTINGS.items():
        yield getattr(settings, setting), role


def _number(config: Mapping[str, str], name: str) -> int | None:
    try:
        return int(config[name])
    except (KeyError, ValueError):
        return None


def _set(topic: str, name: str, value: object) -> str:
    return f"kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {name}={value}"


def _few(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return shown + (", …" if len(numbers) > 8 else "")


def _user(settings: KafkaSettings) -> str:
    return settings.username or "this agent"
