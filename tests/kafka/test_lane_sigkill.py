"""A worker is killed at every step of a lane, loses its disk, and gets old ones back; readers see everything once.

What must hold: whoever reads what is committed sees, of each host, the bytes that an agent writes which watches a
directory with the same reports in it and is never disturbed: so nothing is lost, nothing comes twice, nothing is torn
or out of order, and each scan was compared with the one before it.

`SYSSCAN_LANE_KILLS` says how many kills.
"""

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.launcher import PINNED
from tests.crash.process import ROOT
from tests.daemon.lane.made import untimed
from tests.kafka import places
from tests.kafka.broker import Cluster
from tests.kafka.forks import Launcher, bare
from tests.kafka.lane_launcher import REBUILDING, STEPS
from tests.kafka.lanes import PATIENCE_S, Sent, Topics, Worker, check, document, in_parts, report

KILLS = int(os.environ.get("SYSSCAN_LANE_KILLS", "54"))
DOCUMENTS = ("host-3", "host-4")  # whose reports are whole documents; those of the others are streams
SEED = int(os.environ.get("SYSSCAN_LANE_SEED", "1"))


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    one = Launcher("tests.kafka.lane_launcher")
    yield one
    one.close()


def pieces_of(host: str, number: int, choose: random.Random) -> list[Sent]:
    """Give a report of a host as records: whole, or line by line, or in parts."""
    key, partition = host.encode(), int(host[-1]) % 2
    if host in DOCUMENTS:
        value = document(host, number)
        if choose.random() < 0.5:
            return [(key, part, partition, headers) for part, headers in in_parts(value, choose.choice((2, 3)))]
        return [(key, choose.choice((value, gzip.compress(value))), partition)]
    value = report(host, number)
    if choose.random() < 0.4:
        return [(key, line, partition) for line in value.splitlines(keepends=True)]
    return [(key, value, partition)]


def undisturbed(base: Path, sent: dict[str, list[int]]) -> dict[str, list[bytes]]:
    """Give the lines of each host as an agent writes them that watches a directory."""
    root = base / "in"
    root.mkdir()
    for host, numbers in sent.items():
        kind, make = ("json", document) if host in DOCUMENTS else ("ndjson", report)
        (root / f"{host}.{kind}").write_bytes(b"".join(make(host, number) for number in numbers))
    (base / "plain.toml").write_text(
        f'state_dir = "{base / "plain"}"\n[watch]\nroots = ["{root}"]\n[output]\npath = "{base / "plain.ndjson"}"\n'
        "[model]\nenabled = false\n"
    )
    program = [sys.executable, str(ROOT / "tests" / "crash" / "launcher.py")]
    done = subprocess.run(
        [*program, "run", "--once", "--config", str(base / "plain.toml")],
        cwd=ROOT, env={**bare(), "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=2 * PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    lines: dict[str, list[bytes]] = defaultdict(list)
    for line in (base / "plain.ndjson").read_bytes().splitlines():
        said = json.loads(line)
        if "finding" in said:
            lines[said["host"]].append(line)
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("rows", ["", "7/"], ids=["whole scans", "scans in pieces"])
def test_killed_at_every_step_with_disks_lost_a_reader_sees_what_a_directory_would_have_given(
    rows: str, cluster: Cluster, launcher: Launcher, tmp_path: Path
) -> None:
    topics = Topics(cluster, partitions=2).create(message_timestamp_after_max_ms=str(1 << 62))
    worker = Worker(tmp_path, topics, partitions=[0, 1])
    kafka, backup = worker.state / "kafka", tmp_path / "backup"
    choose = random.Random(SEED)
    sent: dict[str, list[int]] = defaultdict(list)
    kills: Counter[str] = Counter()
    disks: Counter[str] = Counter()
    for number in range(KILLS):
        records: list[Sent] = []
        for more in range(choose.choice((1, 2, 3))):
            host = f"host-{choose.randrange(5)}"
            said = number // 2 * 10 + more  # some are what the host said before
            records += pieces_of(host, said, choose)
            if host not in DOCUMENTS or said not in sent[host]:  # with its time in it, it is the same once more
                sent[host].append(said)
        topics.send(*records, timestamp_ms=round(PINNED * 1000))
        fate = choose.random()
        step = (STEPS + REBUILDING)[number % (len(STEPS) + len(REBUILDING))]
        if step in REBUILDING or fate < 0.2:
            shutil.rmtree(kafka, ignore_errors=True)
            disks["lost"] += 1
        elif fate < 0.35 and backup.exists():
            shutil.rmtree(kafka, ignore_errors=True)
            shutil.copytree(backup, kafka)
            disks["restored"] += 1
        elif fate < 0.5 and kafka.exists():
            shutil.rmtree(backup, ignore_errors=True)
            shutil.copytree(kafka, backup)
        after = choose.choice((1, 1, 2, 3))
        pid = launcher.start(rows + step, after, worker.log, worker.arguments)
        deadline = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < deadline, f"{step} {after}: never; {worker.tail()}"
            if time.monotonic() > deadline - PATIENCE_S + 10:  # it comes to the step less often than asked for
                os.kill(pid, 9)
                step = "anywhere"
            time.sleep(0.005)
        kills[step] += 1
    done = worker.once()
    assert done.returncode == 0, done.stderr.decode()
    seen = check(topics, sent)
    uncommitted = places.records(cluster, topics.findings, isolation="read_uncommitted")
    print(f"kills: {dict(kills)}; disks: {dict(disks)}; findings: {len(seen)}; aborted: {len(uncommitted) - len(seen)}")
    expected = undisturbed(tmp_path, sent)
    for host in sent:
        assert [one.value for one in seen if one.key.decode() == host] == expected[host], host
    assert sum(kills.values()) == KILLS
    assert kills["anywhere"] < KILLS / 3


def test_a_disk_lost_between_two_scans_of_one_report_doubles_none(
    cluster: Cluster, launcher: Launcher, tmp_path: Path
) -> None:
    """Reports that carry no times: read again, a scan is told from news by its place in the topic alone."""
    host, count = "web01", 4
    seen: dict[str, list[bytes]] = {}
    for name in ("quiet", "disturbed"):
        topics = Topics(cluster).create(message_timestamp_after_max_ms=str(1 << 62))
        worker = Worker(tmp_path, topics, name=name, partitions=[0])
        lines = b"".join(report("lines", number) for number in range(count))
        parts: list[Sent] = [(b"lines", part, 0, headers) for part, headers in in_parts(lines, 3)]
        topics.send((host.encode(), untimed(host, count), 0), *parts, timestamp_ms=round(PINNED * 1000))
        between = 0
        for _ in range(2 * count + 2 if name == "disturbed" else 0):
            pid = launcher.start("delivered", 1, worker.log, worker.arguments)
            deadline = time.monotonic() + PATIENCE_S
            while Path(f"/proc/{pid}").exists():
                assert time.monotonic() < deadline, worker.tail()
                time.sleep(0.02)
            shutil.rmtree(worker.state / "kafka")
            done = Counter(one.key for one in places.records(cluster, topics.scans))
            between += any(0 < scans < count for scans in done.values())
            if done[b"lines"] == count:
                break
        last = worker.once()
        assert last.returncode == 0, last.stderr.decode()
        seen[name] = [one.value for one in places.records(cluster, topics.findings)]
        assert between >= (2 if name == "disturbed" else 0)
    assert len({json.loads(line)["scan_id"] for line in seen["quiet"]}) == 2 * count
    assert seen["disturbed"] == seen["quiet"]
