"""What is wrong with a topic is said line by line, and those that are created have nothing wrong."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from pydantic import ValidationError

from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sinks.kafka.topics import Found, flaws, wanted_topics

SETTINGS = KafkaSettings(brokers=("b:1",))
NAMES = ["sysscan.reports", "sysscan.findings", "sysscan.scans", "sysscan.state", "sysscan.dlq", "sysscan.verdicts"]
DAY_MS = 86_400_000


def found(name: str, *, replication: int = 3, partitions: int = 12, config: Mapping[str, str] | None = None) -> Found:
    (wanted,) = [one for one in wanted_topics(SETTINGS, replication) if one.name == name]
    return Found(name, wanted.partitions or partitions, replication, config={**wanted.config, **(config or {})})


def said(topic: Found, partitions: int | None = 12) -> list[tuple[str, str, str]]:
    (wanted,) = [one for one in wanted_topics(SETTINGS, topic.replication) if one.name == topic.name]
    return [(flaw.severity, flaw.detail, flaw.advice) for flaw in flaws(SETTINGS, wanted, topic, partitions)]


def test_the_topics_are_those_of_the_settings_each_once() -> None:
    assert [one.name for one in wanted_topics(SETTINGS, 3)] == NAMES
    same = SETTINGS.model_copy(update={"scans_topic": "sysscan.findings"})
    assert [(one.name, one.role) for one in wanted_topics(same, 3)][1] == ("sysscan.findings", "findings")
    assert len(wanted_topics(same, 3)) == 5


@pytest.mark.parametrize("name", NAMES)
def test_a_topic_that_was_created_has_nothing_wrong(name: str) -> None:
    assert said(found(name)) == []


def test_only_the_states_are_compacted() -> None:
    policies = {one.name: one.config["cleanup.policy"] for one in wanted_topics(SETTINGS, 3)}
    assert policies == {name: "compact" if name == "sysscan.state" else "delete" for name in NAMES}
    assert {one.config["min.insync.replicas"] for one in wanted_topics(SETTINGS, 3)} == {"2"}
    assert {one.config["min.insync.replicas"] for one in wanted_topics(SETTINGS, 1)} == {"1"}


@pytest.mark.parametrize(
    ("name", "config", "severity", "detail", "advice"),
    [
        ("sysscan.state", {"cleanup.policy": "delete"}, "problem", "not compacted", "cleanup.policy=compact"),
        ("sysscan.state", {"cleanup.policy": "compact,delete"}, "problem", "not compacted only", "=compact"),
        ("sysscan.state", {"min.compaction.lag.ms": "0"}, "warning", "after 0 s", "min.compaction.lag.ms=3600000"),
        ("sysscan.reports", {"cleanup.policy": "compact"}, "problem", "only the last stays", "cleanup.policy=delete"),
        ("sysscan.findings", {"cleanup.policy": "delete,compact"}, "problem", "only the last stays", "=delete"),
        ("sysscan.reports", {"retention.ms": str(3 * DAY_MS)}, "warning", "3.0 days, less than 7", "=604800000"),
        ("sysscan.reports", {"retention.ms": "3600000"}, "problem", "is lost", "retention.ms=604800000"),
        ("sysscan.scans", {"retention.ms": str(7 * DAY_MS)}, "warning", "less than 90", "retention.ms="),
        ("sysscan.reports", {"retention.bytes": "1000"}, "warning", "1,000 bytes", "retention.bytes=-1"),
        ("sysscan.verdicts", {"retention.ms": "604800000"}, "problem", "after 7.0 days", "retention.ms=-1"),
        ("sysscan.verdicts", {"retention.bytes": "1000"}, "problem", "beyond 1,000 bytes", "retention.bytes=-1"),
        ("sysscan.verdicts", {"cleanup.policy": "compact"}, "problem", "is compacted", "cleanup.policy=delete"),
        ("sysscan.dlq", {"max.message.bytes": "999999"}, "problem", "999,999", "max.message.bytes=1048576"),
        ("sysscan.dlq", {"min.insync.replicas": "1"}, "warning", "one broker alone", "min.insync.replicas=2"),
        ("sysscan.dlq", {"min.insync.replicas": "3"}, "warning", "while one broker restarts", "min.insync.replicas=2"),
        ("sysscan.dlq", {"min.insync.replicas": "4"}, "problem", "nothing can be written", "min.insync.replicas=2"),
        ("sysscan.dlq", {"unclean.leader.election.enable": "true"}, "problem", "may be lost", "=false"),
    ],
)  # fmt: skip
def test_a_policy_that_loses_something_is_named_with_the_command_that_mends_it(
    name: str, config: dict[str, str], severity: str, detail: str, advice: str
) -> None:
    ((got, what, then),) = said(found(name, config=config))
    assert got == severity and detail in what and advice in then
    assert then.startswith("kafka-configs.sh --alter --entity-type topics --entity-name " + name)


def test_verdicts_in_several_partitions_are_a_problem() -> None:
    topic = replace(found("sysscan.verdicts"), partitions=2)
    ((severity, detail, _),) = said(topic)
    assert severity == "problem" and "has 2 partitions and needs 1" in detail


@pytest.mark.parametrize("keeps", ["-1", str(400 * DAY_MS)])
def test_longer_is_always_right(keeps: str) -> None:
    assert said(found("sysscan.reports", config={"retention.ms": keeps})) == []


@pytest.mark.parametrize("name", NAMES[1:-1])
@pytest.mark.parametrize("partitions", [6, 24])
def test_another_number_of_partitions_than_the_input_has_is_a_problem(name: str, partitions: int) -> None:
    ((severity, detail, advice),) = said(found(name, partitions=partitions))
    assert severity == "problem" and f"has {partitions} partitions, sysscan.reports has 12" in detail and advice
    assert said(found(name, partitions=partitions), None) == []


def test_brokers_that_are_away_and_rights_that_are_missing() -> None:
    away = Found("sysscan.reports", 12, 3, leaderless=list(range(10)), behind=[1], config=None)
    assert [(severity, detail) for severity, detail, _ in said(away)] == [
        ("problem", "nobody serves partitions 0, 1, 2, 3, 4, 5, 6, 7, …"),
        ("warning", "its settings may not be read"),
    ]
    behind = found("sysscan.reports")
    (flaw,) = said(Found(behind.name, 12, 3, behind=[3], config=behind.config))
    assert flaw[:2] == ("warning", "replicas of partitions 3 are not in sync")


def test_one_broker_alone_is_a_warning() -> None:
    ((severity, detail, _),) = said(found("sysscan.reports", replication=1))
    assert severity == "warning" and "no replicas" in detail


def test_settings_of_a_newer_kafka_do_not_matter() -> None:
    assert said(found("sysscan.reports", config={"something.new": "x", "retention.bytes": "soon"})) == []


@pytest.mark.parametrize("role", ["state_topic", "dlq_topic", "verdicts_topic", "topic", "scans_topic"])
def test_no_topic_has_two_roles_of_a_worker(role: str) -> None:
    with pytest.raises(ValidationError, match=f"kafka.input_topic and kafka.{role} name one topic"):
        KafkaSettings.model_validate({"brokers": ("b:1",), "consume": True, "input_topic": "here", role: "here"})


def test_findings_and_scans_may_share_a_topic() -> None:
    assert KafkaSettings(brokers=("b:1",), consume=True, topic="out", scans_topic="out").consumes
