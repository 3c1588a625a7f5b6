"""More partitions: hosts move with all that is known of them, and what would lose something is refused."""

import asyncio
import base64
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions
from aiokafka.partitioner import murmur2

from tests.crash.process import ROOT
from tests.kafka import places
from tests.kafka.broker import Cluster
from tests.kafka.forks import bare
from tests.kafka.lanes import Topics, Worker, check, delivered, report, until

HOSTS = [f"host-{number}" for number in range(8)]


def place(host: str, count: int) -> int:
    return int(murmur2(host.encode()) & 0x7FFFFFFF) % count


def send(topics: Topics, number: int, count: int, hosts: list[str] = HOSTS) -> None:
    topics.send(*((host.encode(), report(host, number), place(host, count)) for host in hosts))


def raise_to(topics: Topics, count: int) -> None:
    names = (topics.reports, topics.findings, topics.scans, topics.state, topics.dlq)

    async def ask() -> None:
        async with topics.cluster.admin() as admin:
            await admin.create_partitions({name: NewPartitions(count) for name in names})

    asyncio.run(ask())


def adopt(worker: Worker, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "daemon.cli", "kafka", "adopt-partitions", "--config", str(worker.config), *arguments],
        cwd=ROOT, env=bare(), capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


def states(topics: Topics, number: int) -> Mapping[str, Any]:
    """Give, by host, what each finding of its scan number such is against the baseline."""
    lines: dict[str, list[dict[str, Any]]] = {}
    # In the order of writing: by partition, what a host had before it moved could come behind what it had after.
    for record in sorted(places.records(topics.cluster, topics.findings), key=lambda one: one.timestamp):
        line = json.loads(record.value)
        lines.setdefault(line["host"], []).append(line)
    found = {}
    for host, all_lines in lines.items():
        scans = list(dict.fromkeys(line["scan_id"] for line in all_lines))
        ours = [line["baseline"] for line in all_lines if line["scan_id"] == scans[number]]
        found[host] = [None if one is None else (one["state"], one["count"]) for one in ours]
    return found


def test_hosts_move_with_all_that_is_known_of_them(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=2).create()
    for number in (0, 1):
        send(topics, number, 2)
    worker = Worker(tmp_path, topics, partitions=[0, 1])
    assert worker.once().returncode == 0
    raise_to(topics, 5)

    wide = Worker(tmp_path, topics, partitions=[0, 1, 2, 3, 4])  # the same state directory
    refused = wide.once()
    assert refused.returncode != 0 and b"adopt-partitions" in refused.stderr

    done = adopt(wide)
    assert done.returncode == 0, done.stderr
    moving = sum(place(host, 2) != place(host, 5) for host in HOSTS)
    assert json.loads(done.stdout) == {"partitions": 5, "hosts": 8, "moved": moving} and 0 < moving < 8

    send(topics, 2, 5)
    assert wide.once().returncode == 0
    check(topics, {host: [0, 1, 2] for host in HOSTS})
    before, after = states(topics, 1), states(topics, 2)
    for host in HOSTS:
        assert before[host] and [count + 1 for _, count in before[host]] == [count for _, count in after[host]]
        assert {state for state, _ in after[host]} == {"recurring"}
    again = adopt(wide)
    assert again.returncode == 2 and "there is nothing to adopt" in again.stderr

    raise_to(topics, 7)  # and once more, by then with numbers of scans that were spread before
    assert adopt(wide).returncode == 0
    other = Worker(tmp_path, topics, name="b", partitions=list(range(7)))  # without any ledger
    send(topics, 3, 7)
    assert other.once().returncode == 0
    check(topics, {host: [0, 1, 2, 3] for host in HOSTS})
    last = states(topics, 3)
    assert all([count + 1 for _, count in after[host]] == [count for _, count in last[host]] for host in HOSTS)


_DYING = """
import os, signal, sys
from aiokafka import AIOKafkaProducer
name, when = sys.argv.pop(1), sys.argv.pop(1)
do = getattr(AIOKafkaProducer, name)
async def dying(self, *arguments, **others):
    if when == "after":
        await do(self, *arguments, **others)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(AIOKafkaProducer, name, dying)
from daemon.cli.app import main
main()
"""
STEPS = (
    ("begin_transaction", "after"), ("send_offsets_to_transaction", "before"), ("send_offsets_to_transaction", "after"),
    ("commit_transaction", "before"), ("commit_transaction", "after"),
)  # fmt: skip


def test_killed_at_any_step_nothing_has_moved_or_everything(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=2).create()
    send(topics, 0, 2)
    worker = Worker(tmp_path, topics, partitions=[0, 1])
    assert worker.once().returncode == 0
    raise_to(topics, 4)
    wide = Worker(tmp_path, topics, partitions=[0, 1, 2, 3])
    for name, when in STEPS:
        refused = wide.once()
        assert refused.returncode != 0 and b"adopt-partitions" in refused.stderr, (name, when)
        killed = subprocess.run(
            [sys.executable, "-c", _DYING, name, when, "kafka", "adopt-partitions", "--config", str(wide.config)],
            cwd=ROOT, env=bare(), capture_output=True, timeout=180, check=False,
        )  # fmt: skip
        assert killed.returncode == -9, killed.stderr
    again = adopt(wide)  # the last one was killed when all was done
    assert again.returncode == 2 and "there is nothing to adopt" in again.stderr
    send(topics, 1, 4)
    assert wide.once().returncode == 0
    check(topics, {host: [0, 1] for host in HOSTS})
    assert all({one for one, _ in found} == {"recurring"} for found in states(topics, 1).values())


def test_what_would_lose_something_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=2).create()
    worker = Worker(tmp_path, topics, partitions=[0, 1])
    nothing = adopt(worker)
    assert nothing.returncode == 4 and "nothing was ever delivered" in nothing.stderr

    send(topics, 0, 2)
    assert worker.once().returncode == 0
    same = adopt(worker)
    assert same.returncode == 2 and "there is nothing to adopt" in same.stderr

    stays = [host for host in HOSTS if place(host, 2) == place(host, 3)]
    moves = [host for host in HOSTS if place(host, 2) != place(host, 3)]
    assert stays and moves
    send(topics, 1, 2, moves[:1])
    raise_to(topics, 3)
    waiting = adopt(worker)
    assert waiting.returncode == 2 and "1 of them of hosts that move" in waiting.stderr, waiting.stderr
    assert waiting.stderr.count("\n") == 1

    forced = adopt(worker, "--force")
    assert forced.returncode == 0, forced.stderr
    wide = Worker(tmp_path, topics, partitions=[0, 1, 2])
    assert wide.once().returncode == 0
    check(topics, {host: [0, 1] if host == moves[0] else [0] for host in HOSTS})


def test_a_host_that_another_partitioner_has_put_is_named(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=2).create()
    topics.send((b"stray", report("stray", 0), 1 - place("stray", 2)))
    worker = Worker(tmp_path, topics, partitions=[0, 1])
    assert worker.once().returncode == 0
    raise_to(topics, 3)
    refused = adopt(worker)
    assert refused.returncode == 2 and "stray" in refused.stderr and "murmur2" in refused.stderr


def test_a_worker_that_is_in_the_group_is_named(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=2).create()
    worker = Worker(tmp_path, topics, name="w", instance_id="busy").start()
    try:
        send(topics, 0, 2)
        until(delivered(topics), "all delivered", worker)
        refused = adopt(worker)
        assert refused.returncode == 2 and "1 workers (busy)" in refused.stderr
        status = subprocess.run(
            [sys.executable, "-m", "daemon.cli", "kafka", "status", "--config", str(worker.config)],
            cwd=ROOT, env=bare(), capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert {json.loads(line)["worker"] for line in status.stdout.splitlines()} == {"busy"}
    finally:
        worker.stop()


_MEASURED = """
import resource, sys
from daemon.cli.app import main
try:
    main()
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10, file=sys.stderr)
"""
_MANY, _PIECE_BYTES = 3_000, 16_000


def state_of(host: str) -> list[tuple[str, bytes]]:
    """Give the state of a host and its baseline, of a size that real ones have, which nothing compresses."""
    rows = [[base64.b64encode(os.urandom(_PIECE_BYTES)).decode(), "class", "open", "c", "t", 7, 1, "l"]]
    state = {"through": 0, "history": [], "pieces": [[host, "p", 1]], "context": None}
    names = (["host", host], state), (["baseline", host, "p", 0], {"rows": rows})
    return [
        (json.dumps(name, separators=(",", ":")), zlib.compress(json.dumps(value).encode())) for name, value in names
    ]


@pytest.mark.slow
def test_of_thousands_of_hosts_those_of_one_partition_are_held_at_a_time(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=12).create()
    worker = Worker(tmp_path, topics, partitions=list(range(12)))
    assert worker.once().returncode == 0  # which leaves its marks
    hosts = [f"host-{number}" for number in range(_MANY)]

    async def fill() -> None:
        async with AIOKafkaProducer(bootstrap_servers=cluster.plain) as producer:
            for start in range(0, _MANY, 100):
                sent = [
                    await producer.send(topics.state, value, key=key.encode(), partition=place(host, 12))
                    for host in hosts[start : start + 100]
                    for key, value in state_of(host)
                ]
                await asyncio.gather(*sent)

    def peak(*arguments: str) -> tuple[int, "subprocess.CompletedProcess[str]"]:
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, "kafka", *arguments, "--config", str(worker.config)],
            cwd=ROOT, env=bare(), capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        return int(done.stderr.split("peak ")[1]), done

    before, _ = peak("adopt-partitions")  # it refuses, having loaded all that it is made of
    asyncio.run(fill())
    raise_to(topics, 24)
    most, adopted = peak("adopt-partitions")
    assert adopted.returncode == 0, adopted.stderr
    said = json.loads(adopted.stdout)
    assert said["hosts"] == _MANY and said["moved"] == sum(place(host, 12) != place(host, 24) for host in hosts)
    assert "12 of 12 partitions looked at, 3,000 hosts" in adopted.stderr
    assert "12 of 12 partitions written" in adopted.stderr
    assert most - before < _MANY * _PIECE_BYTES, f"{(most - before) >> 20} MB"  # all of it, once
    latest: dict[tuple[int, str], bytes | None] = {}
    for record in places.records(cluster, topics.state):
        latest[record.partition, record.key.decode()] = record.value
    kept = {key: partition for (partition, key), value in latest.items() if value is not None and key != "mark"}
    assert kept == {key: place(host, 24) for host in hosts for key in names_of(host)}
    assert len(kept) == sum(value is not None and key != "mark" for (_, key), value in latest.items())


def names_of(host: str) -> tuple[str, str]:
    return f'["host","{host}"]', f'["baseline","{host}","p",0]'
