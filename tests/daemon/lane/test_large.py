"""Large records: taken a step at a time, with the same outcome as at once, whatever they are cut off at."""

import asyncio
import gzip
import hashlib
import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.lane import source
from daemon.lane.lanes import Lanes
from daemon.ledger.documents import StagedDocument
from daemon.ledger.lane import LaneStore
from daemon.ledger.ledger import Ledger
from daemon.parser import DocumentParser
from daemon.sources import documents
from daemon.sources.kafka.messages import PART_HEADER, REPORT_HEADER, Lines
from pipeline.report.limits import Limits
from tests.daemon.lane.memory_broker import Cluster, Killed, MemoryClient
from tests.daemon.lane.test_lanes import SCANS, abandon, document, run, seen, settings, stream
from tests.pipeline.sessions import resources


def full(host: str) -> bytes:
    """Give the report of a hardened host as a document: a megabyte."""
    found = json.loads(gzip.decompress((SCANS / "web01-base-full.json.gz").read_bytes()))
    found["meta"]["hostname"] = host
    return json.dumps(found).encode()


def many(host: str, count: int) -> bytes:
    """Give so many scans of a host line by line."""
    return b"".join(stream(host, number) for number in range(count))


def halves(value: bytes) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
    whole = hashlib.sha256(value).hexdigest().encode()
    middle = len(value) // 2
    return [
        (part, [(REPORT_HEADER, whole), (PART_HEADER, b"%d/2" % number)])
        for number, part in ((1, value[:middle]), (2, value[middle:]))
    ]


def fill(cluster: Cluster) -> None:
    """Send records that are larger than a step, of all kinds, with small ones between them."""
    cluster.produce(0, b"h1", b'{"results": []}')
    cluster.produce(0, b"big", document("big", 1))
    cluster.produce(0, b"lines", many("lines", 3))
    cluster.produce(0, b"packed", gzip.compress(document("packed", 1), mtime=0))
    cluster.produce(0, b"packed-lines", gzip.compress(many("packed-lines", 3), mtime=0))
    for part, headers in halves(document("parts", 1)):
        cluster.produce(0, b"parts", part, headers=headers)
    for part, headers in halves(many("part-lines", 3)):
        cluster.produce(0, b"part-lines", part, headers=headers)
    cluster.produce(0, b"other", document("somebody", 1))  # another host's
    cluster.produce(0, b"rubbish", b"{" * 9_000)
    cluster.produce(0, b"cut", gzip.compress(random.Random(1).randbytes(9_000), mtime=0)[:5_000])
    cluster.produce(0, b"blank", b" " * 9_000)
    cluster.produce(0, b"short", b"x\n" * 2_000)
    cluster.produce(0, b"junk", stream("junk", 1) + b"x\n" * 100)
    cluster.produce(0, b"lines", stream("lines", 9))


REFUSED = [b"other", b"rubbish", b"cut", b"blank", b"short", b"junk"]


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int, bytes], list[bytes]]:
    """What comes of them where each is taken in one step, in this process."""
    cluster = Cluster()
    fill(cluster)
    run(tmp_path_factory.mktemp("at-once"), MemoryClient(cluster))
    return seen(cluster)


@pytest.fixture
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let little be large, so that all of it has many steps."""
    monkeypatch.setattr(source, "_STEP_BYTES", 1_000)
    monkeypatch.setattr(source, "_STEP_LINES", 7)
    monkeypatch.setattr(documents, "_STORED_ROWS", 6)
    monkeypatch.setattr("pipeline.report.pieces._ROWS", 3)


def with_parser(base: Path, client: MemoryClient, **kafka: object) -> None:
    parser = DocumentParser(Limits())
    lanes = Lanes(settings(base, **kafka), resources(), client, wall=lambda: 1_790_000_100.0, parser=parser)
    try:
        asyncio.run(lanes.run(asyncio.Event(), lambda: None, dry=True))
    finally:
        parser.close()


@pytest.mark.usefixtures("_small_steps")
def test_what_comes_of_a_large_record_does_not_depend_on_how_it_was_taken(
    at_once: dict[tuple[str, int, bytes], list[bytes]], tmp_path: Path
) -> None:
    assert {len(at_once["sysscan.scans", 0, host]) for host in (b"big", b"packed", b"parts")} == {1}
    assert {len(at_once["sysscan.scans", 0, host]) for host in (b"packed-lines", b"part-lines")} == {3}
    cluster = Cluster()
    fill(cluster)
    with_parser(tmp_path, MemoryClient(cluster))
    assert seen(cluster) == at_once
    refused = [one.key for _, one in cluster.sent if one.topic == "sysscan.dlq"]
    assert refused == REFUSED
    with Ledger.open(tmp_path / "kafka" / "sysscan.reports-0", clock=lambda: 0.0, read_only=True) as ledger:
        assert ledger.fsck() == []
        assert ledger.parts.parts_from("kafka-documents") is None  # all parts are done with
    assert cluster.committed[0][0] == cluster.end(0)


@pytest.mark.usefixtures("_small_steps")
@pytest.mark.parametrize("lost", [False, True], ids=["disk kept", "disk lost"])
@pytest.mark.parametrize("seed", range(2))
def test_killed_within_a_large_record_it_goes_on(
    seed: int, lost: bool, at_once: dict[tuple[str, int, bytes], list[bytes]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Killed again and again, further on each time, at a slice, a stored piece or the end of a document."""
    cluster = Cluster()
    fill(cluster)
    left = [3 + seed]

    def around(owner: type, name: str) -> None:
        wrapped: Callable[..., Any] = getattr(owner, name)

        def call(*arguments: Any) -> Any:
            answer = wrapped(*arguments)
            left[0] -= 1
            if left[0] == 0:
                raise Killed(name)
            return answer

        monkeypatch.setattr(owner, name, call)

    around(LaneStore, "admit")
    around(LaneStore, "count_staged")
    around(StagedDocument, "add")
    kills = 0
    for _ in range(60):
        try:
            run(tmp_path / "a", MemoryClient(cluster))
            break
        except Killed:
            kills += 1
            left[0] = 8 + seed + (kills if lost else 0)  # a document has seven steps, and none of them is kept
            abandon(tmp_path)
            if lost and kills % 3 == 0 and cluster.committed:
                for path in sorted((tmp_path / "a").rglob("*"), reverse=True):
                    path.rmdir() if path.is_dir() else path.unlink()
    assert kills >= 4, kills
    assert seen(cluster) == at_once


def test_the_process_that_reads_it_may_be_killed(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.produce(0, b"big", full("big"))
    parser = DocumentParser(Limits())
    killed: list[int] = []

    async def ran() -> None:
        stop = asyncio.Event()
        lanes = Lanes(settings(tmp_path), resources(), MemoryClient(cluster), parser=parser)
        task = asyncio.ensure_future(lanes.run(stop, lambda: None))
        while not killed:
            assert not task.done()
            if parser.pid is not None:
                os.kill(parser.pid, signal.SIGKILL)
                killed.append(parser.pid)
            await asyncio.sleep(0.001)
        while not cluster.values("sysscan.scans"):
            assert not task.done()
            await asyncio.sleep(0.01)
        stop.set()
        await task

    try:
        asyncio.run(asyncio.wait_for(ran(), 120))
    finally:
        parser.close()
    assert parser.deaths >= 1
    (scan,) = map(json.loads, cluster.values("sysscan.scans"))
    assert scan["complete"] and len(cluster.values("sysscan.findings")) == scan["counts"]["lines"]


def test_slices_are_the_whole_and_end_with_lines() -> None:
    text = b"".join(b"%d\n" % number for number in range(5_000)) + b"end"
    pieces = list(Lines("h", text, Limits()).slices(100, 7))
    assert b"".join(one.text for one, _ in pieces) == text
    assert all(one.text.endswith(b"\n") and len(one.text) < 110 for one, _ in pieces[:-1])
    assert [upto for _, upto in pieces] == [*(one.base for one, _ in pieces[1:]), None]
    assert [one.text for one, _ in Lines("h", b"a\nb\n", Limits()).slices(1, 1)] == [b"a\n", b"b\n"]
    assert [one.text for one, _ in Lines("h", b"", Limits()).slices(1, 1)] == [b""]
