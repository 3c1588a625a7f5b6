"""`kafka topics|status|doctor` on a real broker, as an administrator uses them."""

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.kafka import places
from tests.kafka.broker import PASSWORD, STRANGER, USER, Cluster
from tests.packaging.build import ROOT

REPORT = ROOT / "tests" / "data" / "scans" / "web01-base-default.json"
ROLES = {
    "input_topic": "reports",
    "topic": "findings",
    "scans_topic": "scans",
    "state_topic": "state",
    "dlq_topic": "dlq",
    "verdicts_topic": "verdicts",
}


class Place:
    """Topics, a group and a state directory that nobody else has, and the command line with them as settings."""

    def __init__(self, cluster: Cluster, base: Path) -> None:
        self.cluster = cluster
        self.state = base / "state"
        self._run = uuid.uuid4().hex[:8]
        self.group = f"g-{self._run}"
        self.names = {setting: f"{role}-{self._run}" for setting, role in ROLES.items()}
        self.settings = {
            f"SYSSCAN_KAFKA__{name.upper()}": value
            for name, value in {**self.names, "group": self.group, "timeout_s": "30"}.items()
        }

    def name(self, role: str) -> str:
        return f"{role}-{self._run}"

    def __call__(
        self, *arguments: str, brokers: str | None = None, **settings: str
    ) -> "subprocess.CompletedProcess[bytes]":
        given = {f"SYSSCAN_KAFKA__{name.upper()}": value for name, value in settings.items()}
        done = subprocess.run(
            [sys.executable, "-m", "daemon.cli", *arguments],
            capture_output=True, cwd=ROOT, timeout=180, check=False,
            env={
                "PATH": os.environ["PATH"], "HOME": "/nonexistent", "SYSSCAN_STATE_DIR": str(self.state),
                "SYSSCAN_OUTPUT__ENABLED": "false", "SYSSCAN_MODEL__ENABLED": "false",
                "SYSSCAN_KAFKA__BROKERS": brokers or ",".join(self.cluster.plain), **self.settings, **given,
            },
        )  # fmt: skip
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return done

    def asked(self, *arguments: str, **settings: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self(*arguments, **settings).stdout.splitlines()]


@pytest.fixture
def place(cluster: Cluster, tmp_path: Path) -> Place:
    return Place(cluster, tmp_path)


@pytest.fixture
def secured(cluster: Cluster, tmp_path: Path) -> Mapping[str, str]:
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    return {
        "brokers": ",".join(cluster.secured), "tls": "true", "ca_file": str(cluster.certificate),
        "sasl": "scram-sha-512", "password_file": str(password),
    }  # fmt: skip


def problems(checks: list[dict[str, Any]]) -> dict[str, str]:
    return {one["check"]: one["detail"] for one in checks if one["verdict"] == "problem"}


def configs(cluster: Cluster, topic: str) -> dict[str, str]:
    async def ask() -> dict[str, str]:
        async with cluster.admin() as admin:
            (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}

    return asyncio.run(ask())


def test_missing_topics_are_named_and_then_created_with_their_policies(place: Place) -> None:
    before = place("kafka", "topics")
    assert before.returncode == 2
    said = [json.loads(line) for line in before.stdout.splitlines()]
    assert set(problems(said)) == set(place.names.values())
    assert "workers go on without verdicts" in problems(said)[place.name("verdicts")]
    assert {one["advice"] for one in said} == {"sysscan-agent kafka topics --create"}

    created = place("kafka", "topics", "--create", "--partitions", "3")
    assert created.returncode == 0, created.stderr.decode()
    again = place("kafka", "topics", "--create", "--partitions", "5")  # those that are there stay as they are
    assert again.returncode == 0
    state, reports = configs(place.cluster, place.name("state")), configs(place.cluster, place.name("reports"))
    assert (state["cleanup.policy"], state["min.compaction.lag.ms"]) == ("compact", "3600000")
    assert (reports["cleanup.policy"], reports["retention.ms"]) == ("delete", "604800000")
    assert configs(place.cluster, place.name("verdicts"))["retention.ms"] == "-1"
    assert len(places.ends(place.cluster, place.name("verdicts"))) == 1
    assert reports["max.message.bytes"] == "1048576"

    async def counts() -> set[int]:
        async with place.cluster.admin() as admin:
            names = sorted(set(place.names.values()) - {place.name("verdicts")})
            return {len(one["partitions"]) for one in await admin.describe_topics(names)}

    assert asyncio.run(counts()) == {3}


def test_one_that_is_missing_is_created_with_as_many_partitions_as_the_input_has(place: Place) -> None:
    asyncio.run(place.cluster.create(place.name("reports"), partitions=5))
    assert place("kafka", "topics", "--create").returncode == 0
    assert [line["partition"] for line in place.asked("kafka", "status")] == [0, 1, 2, 3, 4]
    assert problems(place.asked("kafka", "topics")) == {}


def test_what_is_wrong_with_topics_that_are_there_is_said_line_by_line(place: Place) -> None:
    cluster = place.cluster
    asyncio.run(cluster.create(place.name("reports"), partitions=4, retention_ms="3600000"))
    asyncio.run(cluster.create(place.name("findings"), partitions=2))
    asyncio.run(cluster.create(place.name("scans"), partitions=4, cleanup_policy="compact"))
    asyncio.run(cluster.create(place.name("state"), partitions=4))
    asyncio.run(cluster.create(place.name("dlq"), partitions=4, max_message_bytes="1000"))
    done = place("kafka", "topics", "--create")
    assert done.returncode == 2
    found = problems([json.loads(line) for line in done.stdout.splitlines()])
    lost = "what a worker was away for longer than that is lost"
    assert {name.split("-")[0]: detail for name, detail in found.items()} == {
        "reports": f"input: keeps records for 0.0 days, less than 7: {lost}",
        "findings": f"findings: has 2 partitions, {place.name('reports')} has 4: no worker starts",
        "scans": "scans: is compacted: of the records of a host only the last stays",
        "state": "state: is not compacted only: what a worker needs to go on elsewhere is deleted by age",
        "dlq": "dlq: takes records of 1,000 bytes, kafka.max_record_bytes allows 1,000,000",
    }


def test_status_shows_what_is_published_and_what_a_worker_has_delivered(place: Place) -> None:
    assert place("kafka", "topics", "--create", "--partitions", "2").returncode == 0
    assert place("publish", str(REPORT)).returncode == 0
    before = place.asked("kafka", "status")
    assert sorted((line["end"], line["committed"], line["lag"]) for line in before) == [(0, None, 0), (1, None, 1)]
    assert [line["ledger"] for line in before] == [None, None]

    ran = place("run", "--once", consume="true", partitions="0,1")
    assert ran.returncode == 0, ran.stderr.decode()
    after = place.asked("kafka", "status")
    (one,) = [line for line in after if line["end"]]
    assert (one["committed"], one["lag"], one["worker"]) == (1, 0, None)
    held = one["ledger"]
    assert held["identity"] == one["mark"]["ledger"] and held["current"] is True
    assert (held["next"], held["lag"], held["records_waiting"], held["quarantine"]) == (1, 0, 0, 0)
    assert held["path"] == str(place.state / "kafka" / f"{place.name('reports')}-{one['partition']}")


def test_status_without_the_topic_says_so(place: Place) -> None:
    done = place("kafka", "status")
    assert done.returncode == 4
    assert place.name("reports").encode() + b": is not there" in done.stderr and done.stderr.count(b"\n") == 1


def test_doctor_finds_nothing_wrong_where_all_is_well(place: Place, secured: Mapping[str, str]) -> None:
    assert place("kafka", "topics", "--create", "--partitions", "1").returncode == 0
    assert place("publish", str(REPORT)).returncode == 0
    checks = place.asked("kafka", "doctor", **secured, username=USER)
    assert problems(checks) == {}
    by_name = {one["check"]: one for one in checks}
    assert "TLS, scram-sha-512 as agent" in by_name["brokers"]["detail"] and "Kafka 4" in by_name["brokers"]["detail"]
    assert by_name["lag"]["detail"] == "1 record not delivered yet"
    assert by_name["transaction"]["verdict"] == by_name["clock"]["verdict"] == by_name["group"]["verdict"] == "ok"


def test_doctor_writes_nothing_that_a_reader_sees(place: Place) -> None:
    assert place("kafka", "topics", "--create", "--partitions", "1").returncode == 0
    assert problems(place.asked("kafka", "doctor")) == {}
    for name in place.names.values():
        assert places.records(place.cluster, name, isolation="read_uncommitted") == []
    assert asyncio.run(place.cluster.committed(place.group)) == {}


def test_doctor_names_the_right_that_is_missing(place: Place, secured: Mapping[str, str]) -> None:
    assert place("kafka", "topics", "--create", "--partitions", "1").returncode == 0
    stranger = {**secured, "username": STRANGER}
    nothing = place("kafka", "doctor", **stranger)
    assert nothing.returncode == 2
    assert set(place.names.values()) - {place.name("verdicts")} <= set(
        problems([json.loads(line) for line in nothing.stdout.splitlines()])
    )

    broker = place.cluster.brokers[0]
    rights = (
        "--operation",
        "Read",
        "--operation",
        "Write",
        "--operation",
        "Describe",
        "--operation",
        "DescribeConfigs",
    )
    topics = [word for name in place.names.values() for word in ("--topic", name)]
    broker.allow(STRANGER, *rights, *topics)
    broker.allow(STRANGER, "--operation", "Read", "--group", place.group)
    found = problems(place.asked("kafka", "doctor", **stranger))
    assert (
        set(found) == {"transaction"}
        and "give stranger WRITE and DESCRIBE on transactional ids" in found["transaction"]
    )

    broker.allow(STRANGER, "--operation", "Write", "--operation", "Describe", "--transactional-id", place.group,
                 "--resource-pattern-type", "prefixed")  # fmt: skip
    assert problems(place.asked("kafka", "doctor", **stranger)) == {}


def test_doctor_notices_a_clock_that_is_ahead(place: Place) -> None:
    assert place("kafka", "topics", "--create", "--partitions", "1").returncode == 0

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=place.cluster.plain)
        await producer.start()
        await producer.send_and_wait(place.name("reports"), b"x", timestamp_ms=round(time.time() * 1000) + 600_000)
        await producer.stop()

    asyncio.run(send())
    (clock,) = [one for one in place.asked("kafka", "doctor") if one["check"] == "clock"]
    assert clock["verdict"] == "warning" and "a clock is wrong" in clock["detail"]


def test_nobody_there_is_one_line_each(place: Place) -> None:
    for command in ("topics", "status"):
        done = place("kafka", command, brokers="127.0.0.1:9", timeout_s="5")
        assert done.returncode == 1 and done.stderr.count(b"\n") == 1 and b"cannot be reached" in done.stderr
    doctor = place("kafka", "doctor", brokers="127.0.0.1:9", timeout_s="5")
    (check,) = [json.loads(line) for line in doctor.stdout.splitlines()]
    assert doctor.returncode == 2 and check["verdict"] == "problem" and "cannot be reached" in check["detail"]
