"""Lanes on a cluster in memory: killed at any step, with their disks lost and older ones back.

The oracle is one agent that is never disturbed and reads the same records: readers must see the same bytes.
"""

import asyncio
import gc
import json
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.capacity import Capacity
from daemon.lane import transaction
from daemon.lane.lane import Lane, Unfinished
from daemon.lane.lanes import Lanes
from daemon.lane.mark import read_mark
from daemon.ledger.lane import LaneStore
from daemon.ledger.ledger import Ledger
from daemon.ledger.work import WorkStore
from daemon.settings import AnalysisSettings, OutputSettings, Settings
from daemon.sinks.kafka.settings import KafkaSettings
from tests.daemon.lane.memory_broker import Cluster, Killed, MemoryClient
from tests.pipeline.sessions import resources

SCANS = Path(__file__).parents[2] / "data" / "scans"
STREAM = (SCANS / "micro-default.ndjson").read_bytes()
DOCUMENT = (SCANS / "micro-default.json").read_bytes()
TOPICS = ("sysscan.findings", "sysscan.scans", "sysscan.dlq")
STEPS = ("init", "acquired", "states", "begin", "commit", "admit", "work", "finish", "note")


def settings(base: Path, **kafka: object) -> Settings:
    return Settings.model_validate(
        {
            "state_dir": str(base),
            "output": OutputSettings(enabled=False),
            "analysis": AnalysisSettings(batch_size=16),
            "kafka": KafkaSettings.model_validate(
                {"brokers": ("b:1",), "consume": True, "dlq_unlimited": True} | kafka
            ),
        }
    )


def run(base: Path, client: MemoryClient, **kafka: object) -> Lanes:
    lanes = Lanes(settings(base, **kafka), resources(), client, wall=lambda: 1_790_000_100.0)
    asyncio.run(lanes.run(asyncio.Event(), lambda: None, dry=True))
    return lanes


def run_until(base: Path, client: MemoryClient, condition: Callable[[], bool], **kafka: object) -> None:
    """Run as a service does, until something holds."""

    async def ran() -> None:
        stop = asyncio.Event()
        task = asyncio.ensure_future(Lanes(settings(base, **kafka), resources(), client).run(stop, lambda: None))
        deadline = time.monotonic() + 60
        while not condition():
            if task.done():
                task.result()
            assert not task.done() and time.monotonic() < deadline, task
            await asyncio.sleep(0.01)
        stop.set()
        await task

    asyncio.run(ran())


def named(text: bytes, host: str) -> bytes:
    return text.replace(b'"hostname":"vm"', b'"hostname":"%s"' % host.encode())


def stream(host: str, number: int) -> bytes:
    return named(STREAM, host).replace(b"3024", b"%d" % (310_000 + number))


def document(host: str, number: int) -> bytes:
    return named(DOCUMENT, host).replace(b"2026-11-23T15:27:02Z", b"2026-11-23T15:%02d:02Z" % (number % 60))


def fill(cluster: Cluster, choose: random.Random, reports: int) -> None:
    """Send reports of several hosts, those of streams line by line and interleaved, with some that are of no use."""
    waiting: list[tuple[int, bytes, list[bytes]]] = []
    for number in range(reports):
        host = f"h{choose.randrange(4)}"
        partition = int(host[1]) % cluster.partitions
        fate = choose.random()
        if fate < 0.5 and all(host.encode() != key for _, key, _ in waiting):
            waiting.append((partition, host.encode(), stream(host, number // 3).splitlines(keepends=True)))
        elif fate < 0.85:
            value = document(host, number // 2)  # some come twice
            cluster.produce(partition, host.encode(), value)
        else:
            cluster.produce(partition, host.encode(), b"rubbish %d" % number)
        for _ in range(choose.randrange(30)):
            if waiting:
                _one_line(cluster, choose.choice(waiting))
        waiting = [one for one in waiting if one[2]]
    for one in waiting:
        while one[2]:
            _one_line(cluster, one)


def _one_line(cluster: Cluster, waiting: tuple[int, bytes, list[bytes]]) -> None:
    partition, key, lines = waiting
    if lines:
        cluster.produce(partition, key, lines.pop(0))


def seen(cluster: Cluster) -> dict[tuple[str, int, bytes], list[bytes]]:
    """Give what was sent by topic, partition and key, in order."""
    found: dict[tuple[str, int, bytes], list[bytes]] = {}
    for partition, one in cluster.sent:
        if one.topic in TOPICS:
            found.setdefault((one.topic, partition, one.key or b""), []).append(one.value or b"")
    return found


@pytest.fixture
def killing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Let steps of the ledger end the process, too: [the step, how many times it is passed before]."""
    armed: list[object] = ["", 0]

    def reached(step: str) -> None:
        if step == armed[0]:
            left = armed[1]
            assert isinstance(left, int)
            armed[1] = left - 1
            if left <= 0:
                raise Killed(step)

    for owner, name, step in (
        (LaneStore, "admit", "admit"), (WorkStore, "commit_batch", "work"), (WorkStore, "finish_scan", "finish"),
        (LaneStore, "delivered", "note"),
    ):  # fmt: skip
        wrapped = getattr(owner, name)

        def called(*arguments: object, wrapped: object = wrapped, step: str = step, **options: object) -> object:
            assert callable(wrapped)
            reached(step)
            answer = wrapped(*arguments, **options)
            reached(step)
            return answer

        monkeypatch.setattr(owner, name, called)
    armed.append(reached)
    yield armed


def abandon(base: Path) -> None:
    """Let go of what a killed process had open."""
    gc.collect()
    for one in gc.get_objects():
        if isinstance(one, Ledger) and str(one.database.path).startswith(str(base)):
            one.close()


@pytest.mark.slow
@pytest.mark.parametrize("rows", [4000, 7], ids=["whole scans", "scans in pieces"])
@pytest.mark.parametrize("seed", range(2))
def test_whatever_it_is_killed_at_readers_see_what_an_undisturbed_one_gives(
    seed: int, rows: int, killing: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "ROWS", rows)
    choose = random.Random(seed)
    disturbed, quiet = Cluster(2), Cluster(2)
    kills: Counter[str] = Counter()
    backup = tmp_path / "backup"
    base = tmp_path / "a"
    for round_ in range(9):
        before = choose.getstate()
        fill(disturbed, choose, 4)
        after = choose.getstate()
        choose.setstate(before)
        fill(quiet, choose, 4)
        assert choose.getstate() == after
        fate = choose.random()
        if fate < 0.25:
            shutil.rmtree(base, ignore_errors=True)
            kills["disk lost"] += 1
        elif fate < 0.4 and backup.exists():
            shutil.rmtree(base, ignore_errors=True)
            shutil.copytree(backup, base)
            kills["disk restored"] += 1
        elif fate < 0.6 and base.exists():
            shutil.rmtree(backup, ignore_errors=True)
            shutil.copytree(base, backup)
        client = MemoryClient(disturbed)
        reached = killing[2]
        assert callable(reached)
        client.fail = reached
        client.lost = choose.choice((0, 0, 1))
        killing[0], killing[1] = STEPS[(round_ + seed) % len(STEPS)], choose.choice((0, 1, 3, 6))
        try:
            run(base, client)
            kills["none"] += 1
        except Unfinished:  # a run that is to end does not wait for a fault
            kills["none"] += 1
        except Killed as killed:
            kills[str(killed)] += 1
        killing[0] = ""
        abandon(base)
    run(base, MemoryClient(disturbed))
    run(tmp_path / "b", MemoryClient(quiet))
    expected = seen(quiet)
    assert sum(len(lines) for (topic, _, _), lines in expected.items() if topic == TOPICS[0]) > 100
    assert seen(disturbed) == expected
    assert sum(kills.values()) - kills["none"] - kills["disk lost"] - kills["disk restored"] >= 4, kills
    for partition in range(2):
        mark = read_mark(*disturbed.committed[partition])
        assert mark.offset == disturbed.end(partition) and not mark.cut
        with Ledger.open(base / "kafka" / f"sysscan.reports-{partition}", clock=time.time, read_only=True) as ledger:
            assert ledger.fsck() == []


def test_of_two_owners_the_later_one_goes_on_and_the_earlier_one_commits_nothing(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.produce(0, b"a", stream("a", 1))
    first, second = MemoryClient(cluster), MemoryClient(cluster)

    def taken(step: str) -> None:
        if step == "begin":
            first.fail = lambda step: None
            other = threading.Thread(target=run, args=(tmp_path / "b", second))
            other.start()  # everything is delivered by the other in the meantime
            other.join()

    first.fail = taken
    lost = cluster.epochs
    run_until(tmp_path / "a", first, lambda: lost.get(0) == 4 and cluster.committed[0][0] == cluster.end(0))
    assert (tmp_path / "a" / "kafka" / "sysscan.reports-0.stale").is_dir()
    lines = cluster.values("sysscan.findings")
    assert len(lines) == len(set(lines)) == 20
    assert [json.loads(one)["complete"] for one in cluster.values("sysscan.scans")] == [True]


def test_a_scan_without_a_key_is_compared_with_nothing(tmp_path: Path) -> None:
    cluster = Cluster()
    for number in range(2):
        cluster.produce(0, None, document("a", number))
    run(tmp_path, MemoryClient(cluster), require_key=False)
    scans = [json.loads(one) for one in cluster.values("sysscan.scans")]
    assert len(scans) == 2
    assert all("baseline" not in scan or scan["baseline"] is None for scan in scans), scans[1].keys()


def test_what_is_needed_is_never_passed(tmp_path: Path) -> None:
    """A scan that is open holds the offset back, whatever others are delivered after its beginning."""
    cluster = Cluster()
    lines = stream("slow", 1).splitlines(keepends=True)
    cluster.produce(0, b"slow", lines[0])
    for number in range(3):
        cluster.produce(0, b"quick", stream("quick", number))
    run(tmp_path, MemoryClient(cluster))
    assert cluster.committed[0][0] == 0
    shutil.rmtree(tmp_path / "kafka")
    for line in lines[1:]:
        cluster.produce(0, b"slow", line)
    run(tmp_path, MemoryClient(cluster))
    assert Counter(json.loads(one)["host"] for one in cluster.values("sysscan.findings")) == {"quick": 60, "slow": 20}
    assert cluster.committed[0][0] == cluster.end(0)


def test_a_stream_that_goes_silent_is_ended_and_what_follows_elsewhere_is_its_continuation(tmp_path: Path) -> None:
    cluster = Cluster()
    lines = stream("a", 1).splitlines(keepends=True)
    for line in lines[:10]:
        cluster.produce(0, b"a", line)
    run_until(
        tmp_path, MemoryClient(cluster), lambda: cluster.committed.get(0, (0, ""))[0] == 10, incomplete_after_s=0.05
    )
    shutil.rmtree(tmp_path / "kafka")
    for line in lines[10:]:
        cluster.produce(0, b"a", line)
    run_until(
        tmp_path, MemoryClient(cluster), lambda: cluster.committed[0][0] == cluster.end(0), incomplete_after_s=0.05
    )
    scans = [json.loads(one) for one in cluster.values("sysscan.scans")]
    found = [json.loads(one) for one in cluster.values("sysscan.findings")]
    assert [scan["complete"] for scan in scans] == [False, False]
    assert {scan["host"] for scan in scans} == {"a"}
    assert scans[0]["profile"] == scans[1]["profile"]  # its header came along
    assert len({one["dedupe_key"] for one in found}) == len(found) == 20


def test_a_gap_ends_what_is_open_and_is_told_once(tmp_path: Path) -> None:
    cluster = Cluster()
    for line in stream("a", 1).splitlines(keepends=True)[:10]:
        cluster.produce(0, b"a", line)
    run(tmp_path, MemoryClient(cluster))
    cluster.records[0], cluster.first[0] = [], 40
    cluster.produce(0, b"a", stream("a", 2))
    lanes = run(tmp_path, MemoryClient(cluster))
    assert lanes.problems() == []
    scans = [json.loads(one) for one in cluster.values("sysscan.scans")]
    assert [scan["complete"] for scan in scans] == [False, True]
    assert cluster.committed[0][0] == cluster.end(0) == 41
    with Ledger.open(tmp_path / "kafka" / "sysscan.reports-0", clock=time.time, read_only=True) as ledger:
        (row,) = ledger.quarantine.rows()
        assert "the records 10 to 39 were gone" in row.detail
        assert ledger.fsck() == []


def test_a_lane_says_how_far_behind_it_is(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.produce(0, b"a", stream("a", 1))
    lane = Lane(0, settings(tmp_path), resources(), MemoryClient(cluster), Capacity())
    assert lane.lag() is None
    assert lane.problems() == ["kafka sysscan.reports/0: not acquired yet"]
