"""Verdicts of reviewers on workers: one log for all, from a topic; each told of once, and nothing judged with less.

Reviewers are the commands that people use. The oracle is what readers of the topics see.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.lane.kafka.verdict_writer import VerdictWriter
from daemon.lane.shared_log import SharedLog
from daemon.sinks.kafka.partitioner import place_of
from daemon.sinks.kafka.settings import KafkaSettings
from pipeline.review.chain import Row, check
from pipeline.review.log import FILE_NAME, VerdictLog
from pipeline.review.verdict import Draft, Target
from tests.crash.process import ROOT
from tests.kafka import places
from tests.kafka.broker import Cluster
from tests.kafka.forks import bare
from tests.kafka.lanes import Sent, Topics, Worker, committed, document, kill_all, until

HOSTS = [next(name for number in range(99) if place_of((name := f"h{number}").encode(), 2) == p) for p in range(2)]
AT = "2026-11-29T12:00:00Z"
KILLS = int(os.environ.get("SYSSCAN_VERDICT_KILLS", "12"))


def scans(number: int) -> list[Sent]:
    """Give a report of each host, for the partition that the host is in."""
    return [(host.encode(), document(host, number), partition) for partition, host in enumerate(HOSTS)]


def lines(topics: Topics, schema: str) -> list[dict[str, Any]]:
    found = [json.loads(one.value) for one in places.records(topics.cluster, topics.findings)]
    return [line for line in found if line["schema"] == schema]


def findings(topics: Topics, host: str | None = None) -> list[dict[str, Any]]:
    return [line for line in lines(topics, "sysscan.enriched/1") if host in (None, line["host"])]


def told(topics: Topics) -> list[dict[str, Any]]:
    return lines(topics, "sysscan.verdict/1")


def some_open(topics: Topics, host: str) -> dict[str, Any]:
    return next(line for line in findings(topics, host) if line["status"] == "open")


def rows_of(topics: Topics) -> list[Row]:
    writer = VerdictWriter(settings(topics))
    try:
        return writer.rows()
    finally:
        writer.close()


def settings(topics: Topics) -> KafkaSettings:
    return KafkaSettings(
        brokers=tuple(topics.cluster.plain), input_topic=topics.reports, verdicts_topic=topics.verdicts,
        group=topics.group, consume=True, transaction_timeout_s=5, timeout_s=15,
    )  # fmt: skip


def all_read(topics: Topics, *partitions: int) -> Callable[[], bool]:
    def done() -> bool:
        ends = places.ends(topics.cluster, topics.reports)
        return all(committed(topics, one) >= ends[one] for one in partitions)

    return done


def test_a_verdict_given_on_one_worker_counts_on_all_and_is_told_of_once(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=2).create()
    a, b = Worker(tmp_path, topics, "a", partitions=[0]), Worker(tmp_path, topics, "b", partitions=[1])
    topics.send(*scans(1))
    try:
        a.start()
        b.start()
        until(all_read(topics, 0, 1), "the first scans are delivered", a, b)
        listed = [
            json.loads(line) for line in a.command("review", "list", "--json", "--limit", "0").stdout.splitlines()
        ]
        assert listed and all(entry["hosts"] == [HOSTS[0]] for entry in listed), listed
        line = some_open(topics, HOSTS[0])
        given = a.command("review", "accept", line["fingerprint"], "--owner", "ops", "--until", "2030-01-01",
                          "--reason", "known", "--yes", "--json")  # fmt: skip
        assert given.returncode == 0, given.stderr.decode()
        until(lambda: len(told(topics)) == 1, "it is told of", a, b)
        other = some_open(topics, HOSTS[0])["fingerprint"]
        wide = a.command("review", "false-positive", other, "--everywhere", "--reason", "checked", "--yes")
        assert wide.returncode == 0, wide.stderr.decode()
        until(lambda: {one["seq"] for one in told(topics)} == {1, 2}, "the second is told of", a, b)
        until(lambda: len([one for one in told(topics) if one["seq"] == 2]) == 2, "by both partitions", a, b)
        undone = b.command("review", "undo", "1", "--reason", "no", "--yes", "--json")
        assert undone.returncode == 0, undone.stderr.decode()
        until(lambda: {one["seq"] for one in told(topics)} == {1, 2, 3}, "the third is told of", a, b)
        topics.send(*scans(2))
        until(all_read(topics, 0, 1), "the second scans are delivered", a, b)
        assert a.stop() == 0 and b.stop() == 0
    finally:
        kill_all(a, b)
    records = told(topics)
    (accepted,) = (one for one in records if one["seq"] == 1)
    assert accepted["host"] == HOSTS[0] and [one["status"] for one in accepted["findings"]] == ["accepted"]
    named = [(one["host"], one["fingerprint"]) for one in records if one["seq"] == 2 for one in one["findings"]]
    assert len(named) == len(set(named)) and {host for host, _ in named} == set(HOSTS)
    assert Counter(one["dedupe_key"] for one in records).most_common(1)[0][1] == 1
    found = {host: findings(topics, host)[20:] for host in HOSTS}
    for host, later in found.items():
        assert len(later) == 20 and {line["provenance"]["verdicts"]["seq"] for line in later} == {3}, host
        assert {line["status"] for line in later if (host, line["fingerprint"]) in named} == {"false_positive"}
    for worker in (a, b):
        verified = worker.command("audit", "verify", "--json")
        said = json.loads(verified.stdout)
        assert verified.returncode == 0 and said["verdicts"] == 3 and not said["problems"], said


def test_what_of_the_queue_other_disks_have_is_said(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=2).create()
    a, b = Worker(tmp_path, topics, "a", partitions=[0]), Worker(tmp_path, topics, "b", partitions=[0, 1])
    topics.send(*scans(1))
    assert a.once().returncode == 0
    listed = a.command("review", "list", "--json")
    assert {host for line in listed.stdout.splitlines() for host in json.loads(line)["hosts"]} == {HOSTS[0]}
    assert "1 of 2 partitions (1) are not on this disk" in listed.stderr.decode()
    assert "from another disk" not in listed.stderr.decode()
    assert b.once().returncode == 0
    moved = b.command("review", "list", "--json")
    assert {host for line in moved.stdout.splitlines() for host in json.loads(line)["hosts"]} == {HOSTS[1]}
    said = moved.stderr.decode()
    assert f"{topics.reports}/0: 1 host from another disk, not scanned since, such as {HOSTS[0]}" in said
    assert "are not on this disk" not in said
    topics.send(*scans(2))
    assert b.once().returncode == 0
    whole = b.command("review", "list", "--json")
    assert {host for line in whole.stdout.splitlines() for host in json.loads(line)["hosts"]} == set(HOSTS)
    assert not whole.stderr, "nothing is missing any more"


@pytest.mark.slow
def test_killed_at_any_moment_with_disks_lost_and_partitions_moved(cluster: Cluster, tmp_path: Path) -> None:
    """The number that scans of a host are judged with never falls, and each verdict is told of once."""
    choose = random.Random(5)
    topics = Topics(cluster, partitions=2).create()
    topics.send(*scans(0))
    first = Worker(tmp_path, topics, "first", partitions=[0, 1])
    assert first.once().returncode == 0
    reviewed = {host: [line["fingerprint"] for line in findings(topics, host)] for host in HOSTS}
    writer = VerdictWriter(settings(topics))
    given = 0
    names = ["a", "b", "c"]
    try:
        with SharedLog.of(tmp_path / "reviewer.db", writer) as log:
            for number in range(KILLS):
                one = Worker(tmp_path, topics, choose.choice(names), partitions=[0, 1])
                if choose.random() < 0.3:
                    shutil.rmtree(one.state, ignore_errors=True)
                one.start()
                topics.send(*scans(number + 1))
                for _ in range(choose.choice((1, 2))):
                    host = choose.choice(HOSTS)
                    target = Target(host, choose.choice(reviewed[host]))
                    log.append([Draft("false_positive", f"r{given}", target)], at=AT, author="alice")
                    given += 1
                    time.sleep(choose.random() * 1.5)
                assert one.process is not None
                one.process.send_signal(signal.SIGKILL)
                one.process.wait()
    finally:
        writer.close()
    last = Worker(tmp_path, topics, "last", partitions=[0, 1]).start()
    try:
        until(lambda: len({one["seq"] for one in told(topics)}) == given, "all are told of", last)
        topics.send(*scans(900))
        until(all_read(topics, 0, 1), "all is delivered", last)
        assert last.stop() == 0
    finally:
        kill_all(last)
    records = told(topics)
    assert Counter(one["seq"] for one in records) == dict.fromkeys(range(1, given + 1), 1)
    for host in HOSTS:
        numbers = [line["provenance"].get("verdicts", {"seq": 0})["seq"] for line in findings(topics, host)]
        assert len(numbers) == 20 * (KILLS + 2)
        assert numbers == sorted(numbers) and numbers[-1] == given
        seen = [one["seq"] for one in records if one["host"] == host]
        assert seen == sorted(seen)


def test_of_those_who_decide_at_the_same_time_nobody_overwrites_anybody(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    failed: list[BaseException] = []

    def decide(name: str) -> None:
        writer = VerdictWriter(settings(topics))
        try:
            with SharedLog.of(tmp_path / f"{name}.db", writer) as log:
                for number in range(6):
                    target = Target("h", f"{number:032x}")
                    (verdict,) = log.append([Draft("false_positive", f"{name} {number}", target)], at=AT, author=name)
                    assert verdict.reason == f"{name} {number}"
        except BaseException as error:
            failed.append(error)
        finally:
            writer.close()

    threads = [threading.Thread(target=decide, args=(name,)) for name in ("alice", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    rows = rows_of(topics)
    assert [row.seq for row in rows] == list(range(1, 13)) and not list(check(rows))
    said = Counter(json.loads(row.body)["reason"] for row in rows)
    assert set(said.values()) == {1} and len(said) == 12


def test_a_reviewer_who_is_killed_has_decided_or_not_and_the_log_stays_whole(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    program = (
        "import sys\nfrom tests.kafka.test_lane_verdicts import *\n"
        f"s = KafkaSettings(brokers={tuple(cluster.plain)!r}, input_topic={topics.reports!r},"
        f" verdicts_topic={topics.verdicts!r}, group={topics.group!r}, consume=True, transaction_timeout_s=5)\n"
        "w = VerdictWriter(s)\nlog = SharedLog.of(Path(sys.argv[1]), w)\n"
        "for n in range(10**6):\n"
        "    log.append([Draft('false_positive', str(n), Target('h', f'{n:032x}'))], at=AT, author='a')\n"
        "    print(n, flush=True)\n"
    )
    choose = random.Random(2)
    confirmed = 0
    for attempt in range(3):
        path = tmp_path / f"{attempt}.db"
        with subprocess.Popen(
            [sys.executable, "-c", program, str(path)], cwd=ROOT, env=bare(), stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            for _ in range(choose.randrange(1, 12)):
                assert process.stdout.readline()
                confirmed += 1
            time.sleep(choose.random() * 0.01)
            process.kill()
            confirmed += len(process.stdout.read().split())
        rows = rows_of(topics)
        assert not list(check(rows)) and confirmed <= len(rows) <= confirmed + attempt + 1
        writer = VerdictWriter(settings(topics))
        try:
            with SharedLog.of(path, writer) as log:  # its copy catches up
                assert log.head().seq == len(rows)
        finally:
            writer.close()


def test_a_topic_that_was_lost_is_restored_from_a_copy_and_until_then_nothing_is_judged(
    cluster: Cluster, tmp_path: Path
) -> None:
    topics = Topics(cluster).create()
    worker = Worker(tmp_path, topics, "a", partitions=[0])
    topics.send((b"h0", document("h0", 1), 0))
    assert worker.once().returncode == 0
    line = some_open(topics, "h0")
    assert worker.command("review", "false-positive", line["fingerprint"], "--reason", "r", "--yes").returncode == 0
    assert worker.once().returncode == 0
    assert [one["seq"] for one in told(topics)] == [1]
    lost = topics.settings(partitions=[0], verdicts_topic=f"{topics.verdicts}-new")
    before = worker.config.read_text()
    worker.config.write_text(before.replace(topics.settings(consume=True, partitions=[0]), lost))
    assert worker.config.read_text() != before
    topics.send((b"h0", document("h0", 2), 0))
    ended = worker.once()
    assert ended.returncode == 1 and b"is not there" in ended.stderr and b"--restore" in ended.stderr, ended.stderr
    created = worker.command("kafka", "topics", "--create", "--replication", "1")
    assert b'"verdict":"problem"' not in created.stdout and b"verdicts: " in created.stdout, created.stdout
    ended = worker.once()
    assert ended.returncode == 1 and b"only up to 0" in ended.stderr, ended.stderr
    assert len(findings(topics)) == 20
    compared = worker.command("kafka", "verdicts")
    assert compared.returncode == 1 and json.loads(compared.stdout)["verdicts"] == 0
    restored = worker.command("kafka", "verdicts", "--restore")
    assert restored.returncode == 0 and json.loads(restored.stdout)["restored"] == 1, restored.stderr
    assert worker.once().returncode == 0
    assert {one["provenance"]["verdicts"]["seq"] for one in findings(topics)[20:]} == {1}
    assert [one["seq"] for one in told(topics)] == [1]


def test_without_the_topic_workers_go_on_and_say_so_and_a_reviewer_is_told_what_to_do(
    cluster: Cluster, tmp_path: Path
) -> None:
    topics = Topics(cluster).create()
    worker = Worker(tmp_path, topics, "a", partitions=[0], verdicts_topic=f"{topics.verdicts}-none")
    topics.send((b"h0", document("h0", 1), 0))
    ended = worker.once()
    assert ended.returncode == 0 and b"verdicts.no_topic" in ended.stderr
    given = worker.command("review", "false-positive", "--class", "*", "--reason", "r", "--yes")
    assert given.returncode == 1 and b"kafka topics --create" in given.stderr and b"nothing was decided" in given.stderr
    assert not (worker.state / FILE_NAME).exists() or VerdictLog.open(worker.state / FILE_NAME).head().seq == 0


def test_what_a_stranger_writes_into_the_topic_is_passed_over_and_named(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    worker = Worker(tmp_path, topics, "a", partitions=[0])
    topics.send((b"h0", document("h0", 1), 0))
    assert worker.once().returncode == 0
    plain = Topics(cluster, run=topics.run)
    vars(plain)["reports"] = topics.verdicts
    plain.send((b"1", b'{"seq": 1, "kind": "accept"}', 0))
    line = some_open(topics, "h0")
    assert worker.command("review", "false-positive", line["fingerprint"], "--reason", "r", "--yes").returncode == 0
    plain.send((b"2", b"rubbish", 0))
    try:
        worker.start()
        until(lambda: len(told(topics)) == 1, "the verdict is told of", worker)
        until(lambda: bool(worker.events("verdicts.not_followed")), "the rest is named", worker)
        assert "2 records from offset 0 on" in worker.events("verdicts.not_followed")[-1]["reason"]
        assert worker.stop() == 0
    finally:
        kill_all(worker)
    assert [row.seq for row in rows_of(topics)] == [1]
