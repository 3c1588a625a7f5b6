"""The view over a fleet under kills and faults: it ends up with what the scans say, and says what keeps it from it."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kafka import places
from tests.kafka.broker import PASSWORD, STRANGER, Cluster
from tests.kafka.fleet_program import FleetProgram, Sent, send
from tests.kafka.test_fleet import ago, scan

Topic = Callable[..., str]
KILLS = 5


@pytest.fixture
def fleet(cluster: Cluster, topic: Topic, tmp_path: Path) -> Iterator[FleetProgram]:
    program = FleetProgram(cluster, topic(partitions=2), tmp_path)
    program.topics()
    yield program
    program.kill()


def test_whenever_it_is_killed_it_ends_up_with_what_the_scans_say(cluster: Cluster, fleet: FleetProgram) -> None:
    """The oracle is made from what was sent: of each host the newest scan, and each critical issue that was new."""
    chance = random.Random(7)
    expected: dict[str, tuple[str, str]] = {}
    told: set[tuple[str, str]] = set()
    fleet.start(ready=False)
    for round_ in range(KILLS):
        sent: list[Sent] = []
        aborted: list[tuple[str, bytes]] = []
        for number in range(400):
            host, hours = f"host-{chance.randrange(60)}", 17 - round_ * 3 - number / 400 + chance.choice((0, 0, 0, 5))
            names = chance.sample("abcdef", chance.randrange(4))
            one = scan(host, hours, *names, scan_id=f"{host}-{round_}-{number}")
            if chance.random() < 0.1:
                aborted.append(one)
                continue
            sent += [one] * chance.choice((1, 1, 1, 2))
            at = (ago(hours), f"{host}-{round_}-{number}")
            expected[host] = max(expected.get(host, at), at)
            told |= {(f"{host}-{round_}-{number}", f"{host}-{name}") for name in names}
        chance.shuffle(sent)
        send(cluster, fleet.scans, sent)
        send(cluster, fleet.scans, [(host, value.replace(b'"scan_id":"', b'"scan_id":"x')) for host, value in aborted],
             commit=False)  # fmt: skip
        time.sleep(chance.random() * 1.5)
        fleet.kill()
        fleet.start(ready=False)
    fleet.until(lambda: fleet.get("/healthz")[0] == 200, "ready")
    fleet.until(lambda: fleet.metric("partitions") == 2, "both partitions")
    fleet.until(lambda: all(fleet.metric("lag", partition=str(one)) == 0 for one in (0, 1)), "no lag")
    assert fleet.stop() == 0
    found = {host: posture["scans"][0]["scan_id"] for host, posture in fleet.postures().items()}
    assert found == {host: scan_id for host, (_, scan_id) in expected.items()}
    alerts = {(one["scan_id"], one["issue"]) for one in fleet.sent_alerts()}
    assert alerts <= told, "an alert of what never was"
    assert alerts == told, f"{len(told - alerts)} alerts are missing"
    ids: dict[str, Any] = {}
    for alert in fleet.sent_alerts():
        assert ids.setdefault(alert["id"], alert) == alert, "what has one id says one thing"


def test_brokers_that_freeze_are_waited_for(cluster: Cluster, fleet: FleetProgram) -> None:
    fleet.start()
    send(cluster, fleet.scans, [scan("one", 3, "a")])
    fleet.caught_up(1)
    cluster.brokers[0].freeze()
    try:
        time.sleep(5)
        assert fleet.get()[0] == 200, "the page is there without them"
    finally:
        cluster.brokers[0].thaw()
    send(cluster, fleet.scans, [scan("two", 1, "a")])
    _until_known(fleet, {"one", "two"})


def test_brokers_that_are_killed_and_come_back(cluster: Cluster, fleet: FleetProgram) -> None:
    fleet.start()
    send(cluster, fleet.scans, [scan("one", 3, "a")])
    fleet.caught_up(1)
    cluster.brokers[0].kill()
    time.sleep(3)
    cluster.brokers[0].start()
    cluster.wait()
    send(cluster, fleet.scans, [scan("two", 1, "a")])
    _until_known(fleet, {"one", "two"})


def _until_known(fleet: FleetProgram, hosts: set[str]) -> None:
    """It goes on, or it ends and whoever keeps it starts it again: both end well."""
    deadline = time.monotonic() + 90
    while set(fleet.postures()) != hosts:
        assert time.monotonic() < deadline, fleet.log
        assert fleet.process is not None
        if fleet.process.poll() is not None:
            assert fleet.process.returncode == 1, fleet.log
            fleet.start(ready=False)
        time.sleep(0.5)


def test_it_ends_when_nothing_moves_and_says_so(cluster: Cluster, fleet: FleetProgram) -> None:
    fleet.others = {"SYSSCAN_FLEET__STALLED_AFTER_S": "20"}
    fleet.start()
    cluster.brokers[0].freeze()
    try:
        assert fleet.process is not None
        assert fleet.process.wait(90) == 1
    finally:
        cluster.brokers[0].thaw()
    assert fleet.log.splitlines()[-1].startswith("sysscan-agent-fleet: ")
    cluster.wait()


def test_without_brokers_it_shows_why_and_stops_when_told(cluster: Cluster, fleet: FleetProgram) -> None:
    fleet.others = {"SYSSCAN_KAFKA__BROKERS": "127.0.0.1:1"}
    fleet.start(ready=False)
    fleet.until(lambda: "cannot be reached" in fleet.get()[1], "the reason on the page")
    assert fleet.get("/healthz")[0] == 503
    assert fleet.stop() == 0


def test_a_topic_that_comes_late_is_waited_for(cluster: Cluster, topic: Topic, tmp_path: Path) -> None:
    fleet = FleetProgram(cluster, topic(partitions=1), tmp_path)
    try:
        fleet.start(ready=False)
        fleet.until(lambda: "create" in fleet.get()[1], "what to create")
        fleet.topics()
        fleet.until(lambda: fleet.get("/healthz")[0] == 200, "ready")
    finally:
        fleet.kill()


def test_what_a_person_must_change_is_said_in_a_line(cluster: Cluster, topic: Topic, tmp_path: Path) -> None:
    fleet = FleetProgram(cluster, topic(partitions=2), tmp_path)
    missing = fleet.command("run", "--check")
    assert missing.returncode == 1
    assert f"create {fleet.posture} and {fleet.alerts} (`sysscan-agent-fleet topics`)" in missing.stderr

    asyncio.run(cluster.create(fleet.posture, partitions=3, cleanup_policy="compact"))
    asyncio.run(cluster.create(fleet.alerts, partitions=2))
    counts = fleet.command("run", "--check")
    assert counts.returncode == 2
    assert f"{fleet.scans} has 2 partitions and {fleet.posture} 3" in counts.stderr
    plain = topic(partitions=2)
    fleet.others = {"SYSSCAN_FLEET__POSTURE_TOPIC": plain}
    policy = fleet.command("run", "--check")
    assert policy.returncode == 2
    assert f"{plain} has cleanup.policy=delete: set it to compact" in policy.stderr
    for told in (missing, counts, policy):
        assert len(told.stderr.splitlines()) == 1
        assert told.stdout == ""


def test_with_the_rights_of_the_handbook_over_tls_it_works_and_without_it_says_which(
    cluster: Cluster, topic: Topic, tmp_path: Path
) -> None:
    fleet = FleetProgram(cluster, topic(partitions=1), tmp_path)
    fleet.topics()
    password = tmp_path / "password"
    password.write_text("wrong")
    fleet.others = {
        "SYSSCAN_KAFKA__BROKERS": ",".join(cluster.secured), "SYSSCAN_KAFKA__TLS": "true",
        "SYSSCAN_KAFKA__CA_FILE": str(cluster.certificate), "SYSSCAN_KAFKA__SASL": "scram-sha-512",
        "SYSSCAN_KAFKA__USERNAME": STRANGER, "SYSSCAN_KAFKA__PASSWORD_FILE": str(password),
    }  # fmt: skip
    refused = fleet.command("run", "--check")
    assert refused.returncode == 1 and "the password is refused" in refused.stderr
    password.write_text(PASSWORD)
    forbidden = fleet.command("run", "--check")
    assert forbidden.returncode == 1 and f"give {STRANGER} DESCRIBE" in forbidden.stderr
    allow = cluster.brokers[0].allow
    allow(STRANGER, "--operation", "Read", "--topic", fleet.scans, "--group", f"{fleet.scans}-fleet")
    allow(STRANGER, "--operation", "Read", "--operation", "Write", "--topic", fleet.posture)
    allow(STRANGER, "--operation", "Write", "--topic", fleet.alerts)
    try:
        fleet.start()
        send(cluster, fleet.scans, [scan("secured", 1, "a")])
        fleet.caught_up(1)
        fleet.until(lambda: set(fleet.postures()) == {"secured"} and len(fleet.sent_alerts()) == 1, "published")
        assert PASSWORD not in fleet.log
    finally:
        fleet.kill()


def test_what_cannot_be_published_ends_it_and_comes_when_it_can_be(
    cluster: Cluster, topic: Topic, tmp_path: Path
) -> None:
    fleet = FleetProgram(cluster, topic(partitions=1), tmp_path)
    asyncio.run(cluster.create(fleet.alerts, max_message_bytes="200"))
    fleet.topics()
    send(cluster, fleet.scans, [scan("one", 1, "a")])
    try:
        fleet.start(ready=False)
        assert fleet.process is not None
        assert fleet.process.wait(60) == 1
        fleet.process = None
        assert "cannot publish: MessageSizeTooLargeError" in fleet.log.splitlines()[-1]
        assert fleet.postures() == {}, "no posture whose alert was not sent"

        async def mend() -> None:
            async with cluster.admin() as admin:
                await admin.delete_topics([fleet.alerts])

        asyncio.run(mend())
        fleet.until(lambda: fleet.command("topics").stdout.startswith("created"), "the topic anew")
        fleet.start(ready=False)
        fleet.until(lambda: set(fleet.postures()) == {"one"} and len(fleet.sent_alerts()) == 1, "both")
    finally:
        fleet.kill()


def test_a_host_that_goes_silent_is_told_of_once(cluster: Cluster, fleet: FleetProgram) -> None:
    fleet.others = {"SYSSCAN_FLEET__SILENT_AFTER_H": "0.0005"}
    send(cluster, fleet.scans, [scan("gone", 3)])
    fleet.start()
    fleet.until(lambda: any(one["kind"] == "silent_host" for one in fleet.sent_alerts()), "an alert")
    assert "Silent hosts" in fleet.get()[1]
    assert fleet.metric("hosts", state="silent") == 1
    first = fleet.sent_alerts()
    fleet.stop()
    fleet.start()
    fleet.until(lambda: len(fleet.sent_alerts()) > len(first), "the same again")
    assert {one["id"] for one in fleet.sent_alerts()} == {one["id"] for one in first}


def test_a_host_that_is_forgotten_leaves_no_posture(cluster: Cluster, fleet: FleetProgram) -> None:
    fleet.others = {"SYSSCAN_FLEET__FORGET_AFTER_DAYS": "0.0002", "SYSSCAN_FLEET__SILENT_AFTER_H": "0.0005"}
    send(cluster, fleet.scans, [scan("gone", 3)])
    fleet.start()
    fleet.until(lambda: len(places.records(cluster, fleet.posture)) >= 1, "its posture")
    fleet.until(lambda: fleet.postures() == {}, "a record that deletes it")
    assert fleet.metric("hosts", state="heard") + fleet.metric("hosts", state="silent") == 0
