"""The view over a fleet on a real broker: what it reads, what it makes of it, and that all of it can be made again."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.daemon.fleet.made import issue, record
from tests.kafka import places
from tests.kafka.broker import Cluster
from tests.kafka.fleet_program import FleetProgram, send

Topic = Callable[..., str]
NOW = datetime.now(UTC)


def ago(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).isoformat(timespec="seconds")


def scan(host: str, hours: float, *issues: str, scan_id: str | None = None) -> tuple[str, bytes]:
    made = [issue(f"{host}-{one}", **{"class": one}) for one in issues]
    return host, record(host=host, scan_id=scan_id or f"{host}-{hours}", at=ago(hours), issues=made)


@pytest.fixture
def fleet(cluster: Cluster, topic: Topic, tmp_path: Path) -> Iterator[FleetProgram]:
    program = FleetProgram(cluster, topic(partitions=2), tmp_path)
    program.topics()
    yield program
    program.kill()


def test_what_was_committed_is_shown_and_what_was_aborted_never_was(cluster: Cluster, fleet: FleetProgram) -> None:
    send(cluster, fleet.scans, [scan("before", 3, "a")], partition=0)
    send(cluster, fleet.scans, [scan("aborted", 2, "a"), scan("before", 1, "b")], commit=False, partition=0)
    fleet.start()
    fleet.caught_up(1)
    send(cluster, fleet.scans, [scan("aborted", 1, "a")] * 50, commit=False, partition=0)
    send(cluster, fleet.scans, [scan("after", 1, "a")], partition=0)
    fleet.caught_up(2)
    fleet.until(lambda: len(fleet.postures()) == 2, "two postures")
    seen = places.records(cluster, fleet.scans, isolation="read_uncommitted")
    assert sum(one.key == b"aborted" for one in seen) == 51, "they are in the topic, for those who look"
    assert fleet.metric("records_read_total") == 2
    assert set(fleet.postures()) == {"before", "after"}
    assert fleet.postures()["before"]["worst"] == ["Title of before-a"]
    assert "aborted" not in fleet.get()[1]
    assert fleet.stop() == 0


def test_an_open_transaction_is_waited_for(cluster: Cluster, fleet: FleetProgram) -> None:
    fleet.start()

    async def held() -> None:
        from aiokafka import AIOKafkaProducer

        producer = AIOKafkaProducer(bootstrap_servers=cluster.plain, transactional_id=f"open-{fleet.scans}")
        await producer.start()
        await producer.begin_transaction()
        host, value = scan("open", 1, "a")
        await producer.send_and_wait(fleet.scans, value, key=host.encode(), partition=1)
        await asyncio.sleep(2)
        assert await asyncio.to_thread(fleet.metric, "records_read_total") == 0
        await producer.commit_transaction()
        await producer.stop()

    asyncio.run(held())
    fleet.caught_up(1)


def test_all_of_it_can_be_deleted_and_is_the_same_again(cluster: Cluster, fleet: FleetProgram) -> None:
    hosts = [f"host-{at}" for at in range(20)]
    for hours in (5, 4, 3):
        send(cluster, fleet.scans, [scan(host, hours, "a", *("b" * (at % 3))) for at, host in enumerate(hosts)])
    fleet.start()
    fleet.caught_up(60)
    fleet.until(lambda: len(fleet.postures()) == 20, "twenty postures")
    fleet.stop()
    first, alerts = fleet.postures(), {one["id"] for one in fleet.sent_alerts()}
    assert len(alerts) == sum(len(one["news"]) for one in first.values())

    async def delete() -> None:
        async with cluster.admin() as admin:
            await admin.delete_topics([fleet.posture, fleet.alerts])

    asyncio.run(delete())
    fleet.until(lambda: fleet.command("topics").stdout.startswith("created"), "topics created anew")
    fleet.start()
    fleet.caught_up(60)
    fleet.until(lambda: len(fleet.postures()) == 20, "twenty postures again")
    fleet.stop()
    assert fleet.postures() == first
    assert {one["id"] for one in fleet.sent_alerts()} == alerts, "again, with the ids that they had"


def test_started_again_it_knows_what_it_knew_and_reads_on(cluster: Cluster, fleet: FleetProgram) -> None:
    send(cluster, fleet.scans, [scan("one", 3, "a"), scan("two", 3, "a", "b")])
    fleet.start()
    fleet.caught_up(2)
    fleet.stop()
    send(cluster, fleet.scans, [scan("two", 2, "b")])
    told = len(fleet.sent_alerts())
    fleet.start()
    fleet.until(lambda: fleet.metric("lag", partition="0") + fleet.metric("lag", partition="1") == 0, "no lag")
    fleet.until(lambda: len(fleet.postures()["two"]["scans"][0]["issues"]) == 1, "the new scan")
    assert '"hosts":2' in fleet.log, "restored before anything was read"
    fresh = fleet.sent_alerts()[told:]
    assert [one["scan_id"] for one in fresh] == ["two-2"], "what was told is not told again"
    fleet.stop()
    fleet.start("--anew")
    fleet.caught_up(3)
    assert '"hosts":0' in fleet.log


def test_a_posture_of_another_version_is_made_anew_from_the_scans(cluster: Cluster, fleet: FleetProgram) -> None:
    send(cluster, fleet.scans, [scan("one", 3, "a")], partition=0)
    send(cluster, fleet.posture, [("one", b'{"schema":"sysscan.posture/9"}'), ("two", b"{")], partition=0)
    fleet.start()
    fleet.caught_up(1)
    fleet.until(lambda: fleet.postures()["one"].get("host") == "one", "a posture that can be read")
    assert fleet.metric("rows_unread") == 2
    assert len(fleet.sent_alerts()) == 1


def test_a_topic_of_scans_that_was_created_anew_is_read_from_its_beginning(
    cluster: Cluster, fleet: FleetProgram
) -> None:
    send(cluster, fleet.scans, [scan(f"old-{at}", 5, "a") for at in range(30)], partition=0)
    fleet.start()
    fleet.caught_up(30)
    fleet.stop()

    async def recreate() -> None:
        async with cluster.admin() as admin:
            await admin.delete_topics([fleet.scans])
        await asyncio.sleep(1)
        await cluster.create(fleet.scans, partitions=2)

    asyncio.run(recreate())
    send(cluster, fleet.scans, [scan("new", 1, "a")], partition=0)
    fleet.start()
    fleet.caught_up(1)
    fleet.until(lambda: len(fleet.postures()) == 31, "the old ones, and the new one")


def test_what_cannot_be_used_is_counted_by_its_reason_and_stops_nothing(cluster: Cluster, fleet: FleetProgram) -> None:
    host, good = scan("good", 1, "a")
    spoilt = [
        ("good", b"{"), ("good", None), ("good", b"[]"), ("other", good), (None, b"\x00"),
        ("good", good.replace(b"sysscan.scan/1", b"sysscan.scan/2")),
        ("good", good.replace(b"critical", b"dreadful")), ("good", record(schema="sysscan.enriched/1")),
        ("unknown", record(host="unknown", host_source="unknown")),
    ]  # fmt: skip
    fleet.start()
    send(cluster, fleet.scans, [*spoilt, (host, good)], partition=0)
    fleet.caught_up(10)
    fleet.until(lambda: set(fleet.postures()) == {"good"}, "the good one")
    for reason, count in {
        "not_json": 2, "empty": 1, "not_a_scan": 2, "key_differs": 1, "newer_format": 1, "malformed": 1, "no_host": 1,
        "failed": 0,
    }.items():  # fmt: skip
        assert fleet.metric("records_refused_total", reason=reason) == count, reason
    assert '"reason":"key_differs"' in fleet.log and '"offset":3' in fleet.log
    assert "records could not be used" in fleet.get()[1]


def test_it_listens_to_this_machine_alone_and_to_its_name(fleet: FleetProgram) -> None:
    fleet.start()
    assert fleet.process is not None
    sockets = {
        match[1]
        for link in Path(f"/proc/{fleet.process.pid}/fd").iterdir()
        if (match := re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink())))
    }
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{fleet.process.pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in sockets:
                listening.append(words[1])
    assert listening == [f"0100007F:{fleet.port:04X}"], "one socket, on 127.0.0.1"
    assert fleet.get("/", Host="rebound.example")[0] == 421
    assert fleet.get("/", Host="localhost:1")[0] == 200
    assert fleet.get("/nowhere")[0] == 404
    left = [one.name for one in fleet.base.iterdir()] + [one.name for one in Path.cwd().glob("*-data")]
    assert left == [f"{fleet.scans}.log"], "Faust would make directories where it is started"


def test_of_two_programs_each_says_that_it_has_not_all(cluster: Cluster, fleet: FleetProgram, tmp_path: Path) -> None:
    send(cluster, fleet.scans, [scan("zero", 1, "a")], partition=0)
    send(cluster, fleet.scans, [scan("one", 1, "a")], partition=1)
    other = FleetProgram(cluster, fleet.scans, tmp_path / "other")
    other.base.mkdir()
    fleet.start()
    fleet.caught_up(2)
    try:
        other.start()
        other.until(lambda: other.metric("partitions") == 1 and fleet.metric("partitions") == 1, "one each")
        other.until(lambda: len(_hosts(other)) == 1, "its own host")
        fleet.until(lambda: len(_hosts(fleet)) == 1, "its own host")
        assert _hosts(other) | _hosts(fleet) == {"zero", "one"}
        assert "Only 1 of 2 partitions" in fleet.get()[1]
        other.kill()
        fleet.until(lambda: _hosts(fleet) == {"zero", "one"}, "both, when the other is gone")
    finally:
        other.kill()


def _hosts(fleet: FleetProgram) -> set[str]:
    return set(re.findall(r'<th scope="row">(zero|one)<', fleet.get()[1]))


def test_what_the_daemon_sends_is_what_is_shown(cluster: Cluster, fleet: FleetProgram, tmp_path: Path) -> None:
    import subprocess
    import sys

    from tests.kafka.fleet_program import ROOT

    (tmp_path / "in").mkdir()
    for name in ("web01-ioc.json", "db02-default.json", "micro-default.json"):
        (tmp_path / "in" / name).write_bytes((ROOT / "tests" / "data" / "scans" / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "daemon.cli", "run", "--once", "--watch", str(tmp_path / "in"), "--state-dir",
         str(tmp_path / "state")],
        cwd=ROOT, check=True, capture_output=True,
        env={**fleet.environment(), "SYSSCAN_OUTPUT__ENABLED": "false", "SYSSCAN_KAFKA__TOPIC": fleet.scans},
    )  # fmt: skip
    sent = [json.loads(one.value) for one in places.records(cluster, fleet.scans)]
    scans = {one["host"]: one for one in sent if one["schema"] == "sysscan.scan/1"}
    fleet.start()
    fleet.until(lambda: len(fleet.postures()) == 3, "three hosts")
    for host, posture in fleet.postures().items():
        counted = {level: number for level, number in posture["level"].items() if number}
        assert counted == scans[host]["counts"]["level"]
        assert [one["id"] for one in posture["scans"][0]["issues"]] == [one["id"] for one in scans[host]["issues"]]
    assert fleet.metric("records_refused_total", reason="not_a_scan") == len(sent) - 3, "findings in the same topic"
    page = fleet.get()[1]
    assert all(host in page for host in scans)
