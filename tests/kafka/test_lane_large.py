"""Large and hostile documents as messages: read in a process beside the worker, whose death costs nobody anything."""

import gzip
import json
import os
import signal
from pathlib import Path

from benchmarks.common import descendants
from tests.kafka import places
from tests.kafka.broker import Cluster
from tests.kafka.lanes import SCANS, Topics, Worker, committed, delivered, document, in_parts, kill_all, until

FULL = gzip.decompress((SCANS / "web01-base-full.json.gz").read_bytes())
HOSTILE_BYTES = 12 << 20


def readers(worker: Worker) -> list[int]:
    """List the processes that read documents for a worker."""
    assert worker.process is not None
    found = []
    for pid in descendants(worker.process.pid):
        try:
            if b"pipeline.report.serve" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def most_memory(worker: Worker) -> int:
    """Give the most memory that a worker has held, in bytes."""
    assert worker.process is not None
    lines = Path(f"/proc/{worker.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def test_a_hostile_document_takes_no_memory_of_the_worker_and_is_sent_on(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    worker = Worker(tmp_path, topics, partitions=[0])
    try:
        worker.start()
        topics.send((b"quick", document("quick", 1), 0))
        until(lambda: committed(topics) == 1, "the first is delivered", worker)
        before = most_memory(worker)
        hostile = b"[" + b"[],[]," * (HOSTILE_BYTES // 6) + b"[]]"  # thirty times as much once it is parsed
        topics.send(*((b"bad", part, 0, headers) for part, headers in in_parts(hostile, 14)))
        topics.send((b"quick", document("quick", 2), 0))
        until(delivered(topics), "all is delivered", worker)
        assert most_memory(worker) - before < 8 * HOSTILE_BYTES, most_memory(worker) - before
        assert worker.stop() == 0
    finally:
        kill_all(worker)
    (letter,) = places.records(cluster, topics.dlq)
    reasons = dict(letter.headers)
    assert letter.key == b"bad" and reasons["dlq-reason"] in (b"not_a_report", b"too_costly"), reasons
    hosts = [json.loads(one.value)["host"] for one in places.records(cluster, topics.scans)]
    assert hosts == ["quick", "quick"]


def test_with_the_process_killed_that_reads_it_a_document_is_there_once(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    worker = Worker(tmp_path, topics, partitions=[0])
    killed = 0
    try:
        worker.start()
        for number in range(3):
            report = json.loads(FULL)
            report["summary"]["finished_at"] = f"2026-11-30T00:00:{number:02d}Z"
            host = report["meta"]["hostname"].encode()
            packed = gzip.compress(json.dumps(report).encode())
            topics.send((host, packed, 0))
            until(lambda: bool(readers(worker)) or delivered(topics)(), "a process reads it", worker)
            for pid in readers(worker):
                os.kill(pid, signal.SIGKILL)
                killed += 1
            until(delivered(topics), "it is delivered", worker)  # each is read twice at most
        assert worker.stop() == 0
    finally:
        kill_all(worker)
    assert killed >= 2
    scans = [json.loads(one.value) for one in places.records(cluster, topics.scans)]
    assert len(scans) == 3 and all(scan["complete"] for scan in scans)
    lines = [json.loads(one.value) for one in places.records(cluster, topics.findings)]
    keys = [line["dedupe_key"] for line in lines]
    assert len(keys) == len(set(keys)) == sum(scan["counts"]["lines"] for scan in scans) == 3 * 2_720
