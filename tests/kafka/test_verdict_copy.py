"""The copy of the verdicts on a worker's disk: lost or damaged, it is read anew; what a person sees of it; Ctrl-C."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.review.log import FILE_NAME
from tests.crash.process import ROOT
from tests.kafka.broker import Cluster
from tests.kafka.forks import bare
from tests.kafka.lanes import PATIENCE_S, Topics, Worker, document, kill_all, until
from tests.kafka.test_lane_verdicts import all_read, findings, rows_of, told

INTERRUPTS = int(os.environ.get("SYSSCAN_INTERRUPTS", "6"))


def heeding() -> None:
    """Heed Ctrl-C in a process, whatever the shell that runs the tests in the background has set."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def decided(worker: Worker, line: dict[str, Any]) -> None:
    given = worker.command("review", "false-positive", line["fingerprint"], "--reason", "r", "--yes", "--json")
    assert given.returncode == 0, given.stderr.decode()
    assert b"Traceback" not in given.stderr


def history(worker: Worker) -> list[int]:
    done = worker.command("review", "history", "--json")
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line)["seq"] for line in done.stdout.splitlines()]


def begun(cluster: Cluster, base: Path) -> tuple[Topics, Worker, list[dict[str, Any]]]:
    topics = Topics(cluster).create()
    worker = Worker(base, topics, "a", partitions=[0])
    topics.send((b"h0", document("h0", 1), 0))
    worker.start()
    until(all_read(topics, 0), "the scan is delivered", worker)
    return topics, worker, [line for line in findings(topics) if line["status"] == "open"]


def test_a_copy_that_is_removed_or_damaged_under_a_worker_is_read_anew(cluster: Cluster, tmp_path: Path) -> None:
    topics, worker, lines = begun(cluster, tmp_path)
    copy = worker.state / FILE_NAME
    try:
        decided(worker, lines[0])
        until(lambda: len(told(topics)) == 1, "it is told of", worker)
        for each in worker.state.glob(f"{FILE_NAME}*"):
            each.unlink()
        until(lambda: copy.exists() and history(worker) == [1], "it is read anew", worker)
        with copy.open("r+b") as file:
            file.write(b"no database at all" * 200)
        until(lambda: len(worker.events("verdicts.read_anew")) == 2, "the damage is noticed", worker)
        until(lambda: copy.exists() and history(worker) == [1], "it is read anew once more", worker)
        decided(worker, lines[1])
        until(lambda: {one["seq"] for one in told(topics)} == {1, 2}, "the next is told of", worker)
        topics.send((b"h0", document("h0", 2), 0))
        until(all_read(topics, 0), "the second scan is delivered", worker)
        assert worker.stop() == 0
    finally:
        kill_all(worker)
    gone, damaged = worker.events("verdicts.read_anew")
    assert gone["reason"] == "it is gone" and gone["source"] == f"kafka {topics.verdicts}"
    assert "not a database" in damaged["reason"] and Path(damaged["moved_to"]).exists()
    assert [one["seq"] for one in told(topics)] == [1, 2], "each once, in order"
    assert {one["provenance"]["verdicts"]["seq"] for one in findings(topics)[20:]} == {2}
    assert not worker.events("verdicts.damaged"), "nothing was ever judged with less"


def test_without_a_worker_the_advice_is_right_and_the_next_decision_mends_it(cluster: Cluster, tmp_path: Path) -> None:
    topics, worker, lines = begun(cluster, tmp_path)
    try:
        decided(worker, lines[0])
        until(lambda: len(told(topics)) == 1, "it is told of", worker)
        assert worker.stop() == 0
    finally:
        kill_all(worker)
    copy = worker.state / FILE_NAME
    copy.write_bytes(b"no database at all" * 400)
    for words in (("review", "list"), ("review", "history"), ("audit", "verify"), ("kafka", "verdicts")):
        done = worker.command(*words)
        (said,) = [one for one in done.stderr.decode().splitlines() if FILE_NAME in one]
        assert done.returncode == 3 and f"copy of kafka {topics.verdicts}" in said, said
        assert "restore a backup" not in said
    checks = [json.loads(one) for one in worker.command("doctor").stdout.splitlines()]
    (check,) = [one for one in checks if one["check"] == "verdicts"]
    assert check["verdict"] == "problem" and f"copy of kafka {topics.verdicts}" in check["detail"], check
    assert "restore a backup" not in check["detail"] + check["advice"]
    copy.unlink()
    listed = worker.command("review", "history")
    assert "is missing" in listed.stderr.decode() and f"copy of kafka {topics.verdicts}" in listed.stderr.decode()
    assert "audit give-up" not in listed.stderr.decode()
    copy.write_bytes(b"no database at all" * 400)
    decided(worker, lines[1])
    assert history(worker) == [2, 1] and [row.seq for row in rows_of(topics)] == [1, 2]
    copy.write_bytes(b"no database at all" * 400)
    done = worker.once()
    assert done.returncode == 0 and b"verdicts.read_anew" in done.stderr, done.stderr.decode()
    assert [one["seq"] for one in told(topics)] == [1, 2] and history(worker) == [2, 1]


def test_the_line_of_a_finding_is_found_in_whichever_partition_is_here(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=3).create()
    hosts = {0: "h0", 2: "h2"}
    topics.send(*((host.encode(), document(host, 1), partition) for partition, host in hosts.items()))
    here, both = Worker(tmp_path, topics, "a", partitions=[0]), Worker(tmp_path, topics, "b", partitions=[0, 2])
    filed = Worker(tmp_path, topics, "c", partitions=[2], output=True)
    for one in (here, filed):
        assert one.once().returncode == 0
    keys = {host: findings(topics, host)[3]["dedupe_key"] for host in ("h0", "h2")}
    found = here.command("explain", keys["h0"], "--format", "json")
    assert found.returncode == 0, found.stderr.decode()
    said = json.loads(found.stdout)
    assert said["finding"]["host"] == "h0" and said["explained"]["trail"]["input"]["source"].startswith(topics.reports)
    gone = here.command("explain", keys["h2"])
    lines = gone.stderr.decode().splitlines()
    assert gone.returncode == 4 and len(lines) == 2, lines
    assert "2 of 3 partitions (1, 2) are not on this disk" in lines[0] and "(partitions: 0)" in lines[1]
    found = filed.command("explain", keys["h2"], "--format", "json")
    assert found.returncode == 0 and json.loads(found.stdout)["finding"]["host"] == "h2", found.stderr.decode()
    assert both.command("explain", keys["h0"]).returncode == 4, "a worker that has nothing yet says so"


def test_what_is_strange_in_the_topic_is_named_by_status_doctor_verdicts_and_metrics(
    cluster: Cluster, tmp_path: Path
) -> None:
    topics, worker, lines = begun(cluster, tmp_path)
    plain = Topics(cluster, run=topics.run)
    vars(plain)["reports"] = topics.verdicts

    def measured() -> str:
        lines = worker.metrics.read_text().splitlines()
        return next(one.split()[-1] for one in lines if one.startswith("sysscan_agent_kafka_strange_verdicts"))

    try:
        until(lambda: worker.metrics.exists() and measured() == "0", "nothing is strange yet", worker)
        assert b"no verdicts that follow" not in worker.command("kafka", "status").stderr
        plain.send((b"1", b"rubbish", 0))
        decided(worker, lines[0])
        until(lambda: measured() == "1", "it is counted", worker)
        said = "1 records from offset 0 on are no verdicts"
        assert said in worker.command("kafka", "status").stderr.decode()
        checks = [json.loads(one) for one in worker.command("kafka", "doctor").stdout.splitlines()]
        (check,) = [one for one in checks if one["check"] == "verdicts"]
        assert check["verdict"] == "warning" and said in check["detail"]
        assert said in json.loads(worker.command("kafka", "verdicts").stdout)["passed_over"]
        assert worker.stop() == 0
    finally:
        kill_all(worker)


def test_ctrl_c_says_whether_it_was_decided(cluster: Cluster, tmp_path: Path) -> None:
    """At any moment after the program has begun; what it says is held to what the topic has."""
    topics, worker, lines = begun(cluster, tmp_path)
    assert worker.stop() == 0
    choose, before = random.Random(11), 0
    fingerprints = [line["fingerprint"] for line in lines]
    for number in range(INTERRUPTS):
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon.cli", "review", "correct", fingerprints[number % len(fingerprints)],
             "--to-level", "high", "--reason", str(number), "--yes", "--json", "--config", str(worker.config)],
            cwd=ROOT, env=bare(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=heeding,
        )  # fmt: skip
        # Before it looks into a ledger it is Python itself that is interrupted, over its modules.
        until(partial(_has_begun, process), "it has begun")
        time.sleep(choose.random() * (0.2, 1.0, 2.5)[number % 3])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert b"Traceback" not in err, err.decode()
        now = len(rows_of(topics))
        assert now - before == len(out.splitlines()), (out, err.decode())
        if now == before:
            # CPython 3.11 ends by the signal itself where it came while a string was executed (as dataclasses do).
            assert process.returncode in (130, -signal.SIGINT) and b"stopped; nothing was decided" in err, err.decode()
        else:
            assert process.returncode in (0, 130)
        before = now


def _has_begun(process: "subprocess.Popen[bytes]") -> bool:
    """Say whether a command looks into a ledger already, or has ended."""
    if process.poll() is not None:
        return True
    try:
        return any("ledger.db" in str(one.readlink()) for one in Path(f"/proc/{process.pid}/fd").iterdir())
    except OSError:
        return False


def test_ctrl_c_while_the_brokers_do_not_answer_ends_at_once_and_nothing_is_decided(
    cluster: Cluster, tmp_path: Path
) -> None:
    topics, worker, lines = begun(cluster, tmp_path)
    assert worker.stop() == 0
    cluster.brokers[0].freeze()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon.cli", "review", "correct", lines[0]["fingerprint"], "--to-level", "high",
             "--reason", "r", "--yes", "--config", str(worker.config)],
            cwd=ROOT, env=bare(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=heeding,
        )  # fmt: skip
        until(partial(_has_begun, process), "it has begun")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        cluster.brokers[0].thaw()
    assert process.returncode in (130, -signal.SIGINT) and not out, err.decode()
    assert err.decode().splitlines()[-1] == "sysscan-agent: stopped; nothing was decided"
    assert rows_of(topics) == []


def test_the_first_verdict_on_an_empty_topic_does_not_wait_for_a_fetch(cluster: Cluster, tmp_path: Path) -> None:
    """A broker that waits for records on a connection answers nothing else there meanwhile."""
    topics = Topics(cluster).create()
    program = (
        "import asyncio\nfrom daemon.lane.kafka import verdict_topic as v\n"
        "from daemon.sinks.kafka.settings import KafkaSettings\n"
        f"s = KafkaSettings(brokers={tuple(cluster.plain)!r}, verdicts_topic={topics.verdicts!r}, consume=True)\n"
        "async def ask():\n"
        "    consumer, place = await v.open_consumer(s)\n"
        "    await asyncio.sleep(0.5)\n"
        "    sent = consumer._fetcher._in_flight\n"
        "    print(len(sent), (await consumer.end_offsets([place]))[place])\n"
        "    await v.stop(consumer)\n"
        "asyncio.run(ask())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=bare(), capture_output=True, timeout=PATIENCE_S, check=True
    )
    assert done.stdout.split() == [b"0", b"0"], done.stdout


@pytest.mark.parametrize("missing", ["state", "dlq", "scans"])
def test_a_topic_that_no_worker_can_do_without_is_named_with_its_setting_and_waited_for(
    missing: str, cluster: Cluster, tmp_path: Path
) -> None:
    topics = Topics(cluster).create()
    setting = f"{missing}_topic"
    name = f"{getattr(topics, missing)}-late"
    settings: dict[str, Any] = {setting: name}
    worker = Worker(tmp_path, topics, "a", **settings)
    ended = worker.once()
    (said,) = ended.stderr.decode().splitlines()[-1:]
    assert ended.returncode == 1 and f"kafka {name} (kafka.{setting}): is not there" in said, said
    assert "`sysscan-agent kafka topics --create`" in said
    try:
        worker.start()
        until(lambda: bool(worker.events("kafka.not_read")), "it is said", worker)
        assert len(worker.events("kafka.not_read")) == 1 and name in worker.events("kafka.not_read")[0]["error"]
        assert not worker.events("partition.not_acquired"), "no partition waits for the library's time-out"
        created = worker.command("kafka", "topics", "--create", "--replication", "1")
        assert name in created.stdout.decode()
        topics.send((b"h0", document("h0", 1), 0))
        until(all_read(topics, 0), "it goes on by itself", worker)
        assert worker.stop() == 0
    finally:
        kill_all(worker)
