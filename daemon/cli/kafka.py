"""`sysscan-agent kafka`: the commands for whoever looks after topics and workers."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from daemon.cli import startup
from daemon.cli.checks import show_checks
from daemon.cli.exits import Exit, die, say
from daemon.cli.terminal import wants_json
from daemon.compose import kafka_adoption, kafka_part, kafka_verdict_topic
from daemon.settings import Settings, load_settings
from daemon.sinks.kafka.cluster import Brokers, GroupState, PartitionState
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sinks.kafka.topics import DEFAULT_PARTITIONS, Found, Wanted, flaws, wanted_topics
from pipeline.checks import Check
from pipeline.errors import ConfigError, SinkError

_USUAL_REPLICATION = 3
_CLOCK_S = 60  # of another machine's clock before ours: more than what a time server leaves


def look_after_topics(
    given: Mapping[str, Any], config: Path | None, *, create: bool, partitions: int | None, replication: int | None,
    as_json: bool,
) -> Exit:  # fmt: skip
    """Create the topics that are missing, if asked to, and say what is wrong with those that are there."""
    for value, flag in ((partitions, "--partitions"), (replication, "--replication")):
        if value is not None and not create:
            die(Exit.USAGE, f"{flag} {value}: has no effect without --create; add it, or leave {flag} out")
    settings = kafka_settings(given, config)
    return show_checks(asyncio.run(_topics(settings, create, partitions, replication)), as_json=as_json)


def examine_cluster(given: Mapping[str, Any], config: Path | None, *, as_json: bool) -> Exit:
    """Check all that a worker needs of the brokers; a problem ends with `Exit.USAGE`."""
    settings = kafka_settings(given, config)
    return show_checks(asyncio.run(_doctor(settings.kafka)), as_json=as_json)


def adopt(given: Mapping[str, Any], config: Path | None, *, force: bool, as_json: bool) -> Exit:
    """Move the states of hosts to where they are read, after the number of partitions was raised."""
    kafka = kafka_settings(given, config).kafka
    adoption = asyncio.run(kafka_adoption().adopt_partitions(kafka, force=force, tell=say))
    if adoption is None:
        die(Exit.NOT_FOUND, f"kafka {kafka.input_topic}: nothing was ever delivered, so there is nothing to adopt")
    said = {"partitions": len(adoption.marks), "hosts": adoption.hosts, "moved": adoption.moved}
    if wants_json(as_json):
        sys.stdout.buffer.write(orjson.dumps(said) + b"\n")
    else:
        sys.stdout.write(
            f"{counted(adoption.hosts, 'host')} in {len(adoption.marks)} partitions, {adoption.moved:,} of them moved; "
            "the workers may be started\n"
        )
    return Exit.DONE


def kafka_settings(given: Mapping[str, Any], config: Path | None) -> Settings:
    settings = load_settings(os.environ, given, config)
    if not settings.kafka.brokers:
        raise ConfigError("there are no brokers to ask; give --brokers HOST:PORT or set kafka.brokers")
    kafka_part("administrator")  # says so where the library is missing
    startup.loaded()
    return settings


async def _topics(
    settings: Settings, create: bool, partitions: int | None, replication: int | None
) -> list[Check]:  # fmt: skip
    kafka = settings.kafka
    async with kafka_part("administrator").Administrator.connected(kafka) as administrator:
        brokers: Brokers = await administrator.brokers()
        copies = replication or min(_USUAL_REPLICATION, len(brokers.addresses))
        wanted = wanted_topics(kafka, copies)
        found: Mapping[str, Found] = await administrator.topics(one.name for one in wanted)
        made: list[str] = []
        if create:
            others = (found[one.name] for one in wanted if one.name in found and one.partitions is None)
            there = found.get(kafka.input_topic) or next(others, None)
            count = partitions or (there.partitions if there is not None else DEFAULT_PARTITIONS)
            new = [one for one in wanted if one.name not in found]
            await administrator.create(new, count, copies)
            made = [one.name for one in new]
            found = await administrator.topics(one.name for one in wanted)
    return list(_judged(kafka, wanted, found, made))


def _judged(
    kafka: KafkaSettings, wanted: Sequence[Wanted], found: Mapping[str, Found], made: Sequence[str] = ()
) -> Iterator[Check]:
    """One line for each flaw, and one for each topic without any."""
    there = found.get(kafka.input_topic)
    for one in wanted:
        topic = found.get(one.name)
        if topic is None:
            without = "; workers go on without verdicts" if one.role == "verdicts" else ""
            detail = f"{one.role}: {missing(kafka)}{without}"
            yield Check(one.name, "problem", detail, "sysscan-agent kafka topics --create")
            continue
        whole = True
        for flaw in flaws(kafka, one, topic, there.partitions if there is not None else None):
            whole = False
            yield Check(one.name, flaw.severity, f"{one.role}: {flaw.detail}", flaw.advice)
        if whole:
            new = "created, " if one.name in made else ""
            yield Check(one.name, "ok", f"{one.role}: {new}{_shape(topic)}")


def _shape(topic: Found) -> str:
    config = topic.config or {}
    count = f"{counted(topic.partitions, 'partition')}, {counted(topic.replication, 'replica')}"
    return f"{count}, {config.get('cleanup.policy', '?')}, at least {config.get('min.insync.replicas', '?')} in sync"


async def _doctor(kafka: KafkaSettings) -> list[Check]:
    """Look at one thing after another; what cannot be looked at because of an earlier problem is left out."""
    checks: list[Check] = []
    try:
        async with kafka_part("administrator").Administrator.connected(kafka) as administrator:
            brokers: Brokers = await administrator.brokers()
            checks.append(_connection(kafka, brokers))
            wanted = wanted_topics(kafka, min(_USUAL_REPLICATION, len(brokers.addresses)))
            found: Mapping[str, Found] = await administrator.topics(one.name for one in wanted)
            judged = list(_judged(kafka, wanted, found))
            checks += judged
            checks += await _reading(kafka, administrator, found)
            if kafka.verdicts_topic in found:
                checks.append(await _verdicts(kafka))
            if all(one.name in found for one in wanted if one.role != "verdicts"):
                checks.append(await _transaction(kafka, administrator, wanted))
    except SinkError as error:
        checks.append(Check("brokers", "problem", str(error), "until this is mended, nothing goes in or out"))
    return checks


def _connection(kafka: KafkaSettings, brokers: Brokers) -> Check:
    secured = ("TLS" if kafka.tls else "no TLS") + (f", {kafka.sasl} as {kafka.username}" if kafka.username else "")
    detail = (
        f"{counted(len(brokers.addresses), 'broker')} ({', '.join(brokers.addresses.values())}), {brokers.release}, "
        f"{secured}; aiokafka {version('aiokafka')}"
    )
    if not kafka.tls and not all(one.startswith(("127.", "localhost:", "[::1]")) for one in kafka.brokers):
        return Check("brokers", "warning", detail, "findings go over the network readable: set kafka.tls")
    return Check("brokers", "ok", detail)


async def _reading(kafka: KafkaSettings, administrator: Any, found: Mapping[str, Found]) -> list[Check]:
    checks = []
    topic = found.get(kafka.input_topic)
    try:
        group: GroupState = await administrator.group(kafka.group, kafka.input_topic)
        checks.append(Check("group", "ok", f"{kafka.group}: {members(group)}"))
        if topic is not None:
            states: list[PartitionState] = await administrator.partitions(topic.name, topic.partitions, kafka.group)
            lag = sum(one.end - max(one.begin, one.committed or 0) for one in states)
            overtaken = [one.partition for one in states if one.committed is not None and one.committed < one.begin]
            if overtaken:
                detail = f"records of partitions {', '.join(map(str, overtaken))} went before they were read"
                checks.append(Check("lag", "problem", detail, "raise retention.ms; the findings in them are lost"))
            else:
                checks.append(Check("lag", "ok", f"{counted(lag, 'record')} not delivered yet"))
    except SinkError as error:
        checks.append(Check("group", "problem", str(error), f"READ and DESCRIBE on the group {kafka.group}"))
    try:
        checks.append(_clock(await administrator.newest({name: one.partitions for name, one in found.items()})))
    except SinkError as error:
        checks.append(Check("reading", "problem", str(error), "READ and DESCRIBE on the input, state and scans topics"))
    return checks


def _clock(newest_ms: int | None) -> Check:
    """Compare our clock with the latest time that anybody wrote; an older one says nothing."""
    if newest_ms is None:
        return Check("clock", "ok", "no record to compare with")
    ahead = newest_ms / 1000 - time.time()
    if ahead > _CLOCK_S:
        detail = f"the newest record was written {ahead:,.0f} s after now: a clock is wrong, this one or a producer's"
        return Check(
            "clock", "warning", detail, "set the clocks by a time server: reports without times are dated by them"
        )
    return Check(
        "clock", "ok", f"the newest record is {-ahead:,.0f} s old" if ahead < 0 else "agrees with the newest record"
    )


async def _verdicts(kafka: KafkaSettings) -> Check:
    """Read all of them, as a worker with an empty disk does."""
    topic = kafka_verdict_topic()
    try:
        chain = await topic.read_chain(kafka)
    except SinkError as error:
        return Check("verdicts", "problem", str(error), f"READ and DESCRIBE on {kafka.verdicts_topic}")
    strange = topic.passed_over(kafka.verdicts_topic, chain)
    if strange is not None:
        return Check("verdicts", "warning", strange, "find out who writes there, and take the right from them")
    return Check("verdicts", "ok", f"{counted(chain.head.seq, 'verdict')}, each behind the one before")


async def _transaction(kafka: KafkaSettings, administrator: Any, wanted: Sequence[Wanted]) -> Check:
    topics = [one.name for one in wanted if one.role not in ("input", "verdicts")]
    try:
        await administrator.try_transaction(topics, kafka.input_topic, kafka.group)
    except SinkError as error:
        advice = (
            f"WRITE and DESCRIBE on {', '.join(topics)} and on transactional ids that begin with {kafka.group}; READ "
            f"on the group {kafka.group}"
        )
        return Check("transaction", "problem", str(error), advice)
    return Check("transaction", "ok", "begun, offsets and partitions of all topics added, and aborted")


def members(group: GroupState) -> str:
    if not group.members:
        return "no workers" + ("" if group.state in ("Empty", "Dead") else f", {group.state}")
    return f"{counted(len(group.members), 'worker')}, {group.state.lower()}"


def counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def missing(kafka: KafkaSettings) -> str:
    return f"is not there, or {kafka.username or 'this agent'} may not DESCRIBE it"
