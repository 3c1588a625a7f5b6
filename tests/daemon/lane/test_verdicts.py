"""Verdicts on lanes, on a cluster in memory: told of once among all partitions, and never judged with less than before.

The log lies in the state directory, as whoever follows the topic puts it there.
"""

import json
import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from daemon.lane import transaction
from daemon.lane.mark import Cut, Mark, read_mark
from daemon.ledger.work import WorkStore
from daemon.ports.work import Batch
from pipeline.errors import LedgerError, SinkError
from pipeline.review.chain import Head
from pipeline.review.log import FILE_NAME, VerdictLog
from pipeline.review.verdict import Draft, Situation, Target
from tests.daemon.lane.memory_broker import Cluster, Killed, MemoryClient
from tests.daemon.lane.test_lanes import abandon, document, run, run_until, stream

AT = "2026-11-29T12:00:00Z"


def decide(state: Path, *drafts: Draft) -> list[Head]:
    with VerdictLog.open(state / FILE_NAME) as log:
        log.append(drafts, at=AT, author="alice")
        return [head for _, head in log.verdicts()]


def findings(cluster: Cluster) -> list[dict[str, Any]]:
    lines = [json.loads(one) for one in cluster.values("sysscan.findings")]
    return [line for line in lines if line["schema"] == "sysscan.enriched/1"]


def told(cluster: Cluster) -> list[dict[str, Any]]:
    lines = [json.loads(one) for one in cluster.values("sysscan.findings")]
    return [line for line in lines if line["schema"] == "sysscan.verdict/1"]


def of_host(cluster: Cluster, host: str) -> dict[str, Any]:
    return next(line for line in findings(cluster) if line["host"] == host and line["status"] == "open")


def accept(line: dict[str, Any]) -> Draft:
    return Draft("accept", "known", Target(line["host"], line["fingerprint"]), owner="ops", until="2030-01-01")


def everywhere(line: dict[str, Any]) -> Draft:
    said = Situation(line["class"], line["status"], line["features"], tuple(line["class_candidates"]))
    return Draft("false_positive", "checked", Target(None, None, said))


def started(tmp_path: Path, partitions: int = 2) -> Cluster:
    """Give a cluster in which one scan of one host was delivered from each partition: h0 from 0, h1 from 1."""
    cluster = Cluster(partitions)
    for partition in range(partitions):
        cluster.produce(partition, b"h%d" % partition, document(f"h{partition}", 1))
    run(tmp_path / "a", MemoryClient(cluster))
    assert {line["host"] for line in findings(cluster)} == {f"h{number}" for number in range(partitions)}
    return cluster


def test_each_verdict_is_told_of_once_and_later_scans_are_judged_with_it(tmp_path: Path) -> None:
    cluster = started(tmp_path)
    (head,) = decide(tmp_path / "a", accept(of_host(cluster, "h1")))
    run(tmp_path / "a", MemoryClient(cluster))
    (record,) = told(cluster)
    assert (record["seq"], record["head"], record["host"]) == (1, head.hash, "h1")
    assert [one["status"] for one in record["findings"]] == ["accepted"]
    assert [partition for partition, one in cluster.sent if b"sysscan.verdict/1" in (one.value or b"")] == [1]
    assert {read_mark(*cluster.committed[partition]).told for partition in range(2)} == {head}
    before = len(findings(cluster))
    cluster.produce(1, b"h1", document("h1", 2))
    run(tmp_path / "a", MemoryClient(cluster))
    later = findings(cluster)[before:]
    assert {line["provenance"]["verdicts"]["seq"] for line in later} == {1}
    assert {line["status"] for line in later if line["fingerprint"] == record["fingerprint"]} == {"accepted"}
    assert len(told(cluster)) == 1


def test_one_about_all_hosts_says_of_each_finding_once_what_becomes_of_it(tmp_path: Path) -> None:
    cluster = started(tmp_path, 3)
    line = of_host(cluster, "h1")
    same = {one["host"] for one in findings(cluster) if one["analysis"]["situation"] == line["analysis"]["situation"]}
    assert same == {"h0", "h1", "h2"}
    decide(tmp_path / "a", everywhere(line))
    run(tmp_path / "a", MemoryClient(cluster))
    records = told(cluster)
    named = [(one["host"], one["fingerprint"]) for record in records for one in record["findings"]]
    assert len(named) == len(set(named)) and {host for host, _ in named} == same
    assert len({record["dedupe_key"] for record in records}) == len(records) == 3
    assert {record["seq"] for record in records} == {1}


def test_one_that_reaches_nothing_is_told_of_all_the_same(tmp_path: Path) -> None:
    cluster = started(tmp_path)
    decide(
        tmp_path / "a",
        Draft("false_positive", "r", Target("h7", "ab" * 16)),
        Draft("false_positive", "r", Target(None, None, Situation("suid_sgid.unexpected", "open", {"place": "moon"}))),
    )
    run(tmp_path / "a", MemoryClient(cluster))
    assert sorted((record["seq"], record["affected"]) for record in told(cluster)) == [(1, 0), (2, 0)]


@pytest.mark.parametrize("step", ["begin", "commit"])
def test_killed_over_it_it_is_told_of_once(step: str, tmp_path: Path) -> None:
    cluster = started(tmp_path)
    decide(tmp_path / "a", accept(of_host(cluster, "h0")), accept(of_host(cluster, "h1")))
    client = MemoryClient(cluster)

    def die(reached: str) -> None:
        if reached == step:
            raise Killed(step)

    client.fail = die
    with pytest.raises(Killed):
        run(tmp_path / "a", client)
    abandon(tmp_path)
    run(tmp_path / "a", MemoryClient(cluster))
    assert Counter(record["seq"] for record in told(cluster)) == {1: 1, 2: 1}


def test_with_its_disk_lost_it_is_not_told_of_again_and_no_scan_is_judged_with_less(tmp_path: Path) -> None:
    cluster = started(tmp_path)
    decide(tmp_path / "a", accept(of_host(cluster, "h0")), accept(of_host(cluster, "h1")))
    run(tmp_path / "a", MemoryClient(cluster))
    log = (tmp_path / "a" / FILE_NAME).read_bytes()
    shutil.rmtree(tmp_path / "a")
    for partition in range(2):
        cluster.produce(partition, b"h%d" % partition, document(f"h{partition}", 2))
    before = len(findings(cluster))
    client = MemoryClient(cluster)
    with pytest.raises(SinkError, match=r"judged with the verdicts up to 2, which .*review\.db does not have yet"):
        run(tmp_path / "b", client)
    assert len(findings(cluster)) == before
    (tmp_path / "b").mkdir(exist_ok=True)
    (tmp_path / "b" / FILE_NAME).write_bytes(log)
    run(tmp_path / "b", MemoryClient(cluster))
    assert {line["provenance"]["verdicts"]["seq"] for line in findings(cluster)[before:]} == {2}
    assert len(told(cluster)) == 2


def test_another_log_under_the_same_name_holds_the_partition(tmp_path: Path) -> None:
    cluster = started(tmp_path)
    decide(tmp_path / "a", accept(of_host(cluster, "h0")))
    run(tmp_path / "a", MemoryClient(cluster))
    for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"):
        (tmp_path / "a" / name).unlink(missing_ok=True)
    decide(tmp_path / "a", everywhere(of_host(cluster, "h1")))
    with pytest.raises(SinkError, match="judged with the verdicts up to 1"):
        run(tmp_path / "a", MemoryClient(cluster))


@pytest.mark.parametrize("rows", [4000, 7], ids=["whole scans", "scans in pieces"])
def test_given_in_the_middle_of_a_scan_each_line_is_there_once(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict stands between the lines of the scan; with the disk lost, the rest of a piece is as its beginning."""
    monkeypatch.setattr(transaction, "ROWS", rows)
    cluster = started(tmp_path)
    worst = of_host(cluster, "h0")
    cluster.produce(0, b"h0", stream("h0", 1))
    committed = WorkStore.commit_batch
    batches: list[int] = []

    def commit(self: WorkStore, batch: Batch, *arguments: Any) -> None:
        if batch.first and not batches[1:]:
            with sqlite3.connect(self._database.path) as other:
                (seq,) = other.execute("SELECT seq FROM told").fetchone()
            if not seq or (rows == 7 and not _mark(cluster, 0).cut):
                raise LedgerError("not yet", transient=True)  # the shard waits, and everything else goes on
            if rows == 7:
                batches.append(batch.first)
                raise Killed
        committed(self, batch, *arguments)
        batches.append(batch.first)
        if batches == [0]:
            decide(tmp_path / "a", accept(worst))

    monkeypatch.setattr(WorkStore, "commit_batch", commit)
    if rows == 7:
        with pytest.raises(Killed):
            run_until(tmp_path / "a", MemoryClient(cluster), lambda: False)
        abandon(tmp_path)
        (cut,) = _mark(cluster, 0).cut.values()
        assert cut == Cut(16, 16, Head())
        shutil.rmtree(tmp_path / "a" / "kafka")
    run_until(tmp_path / "a", MemoryClient(cluster), lambda: cluster.committed[0][0] == cluster.end(0))
    assert batches[:2] == [0, 16]
    keys = Counter(line["dedupe_key"] for line in findings(cluster) if line["host"] == "h0")
    assert set(keys.values()) == {1}
    scan = json.loads(cluster.values("sysscan.scans")[-1])["scan_id"]
    lines = [line for line in findings(cluster) if line["scan_id"] == scan]
    assert len(lines) == 20 and {"verdicts" in line["provenance"] for line in lines} == {False}
    assert [record["seq"] for record in told(cluster)] == [1]


def test_a_mark_says_what_was_told() -> None:
    head = Head(3, "ab" * 32)
    mark = Mark(5, "l", told=head, cut={"s": Cut(1, 2, Head(2, "cd" * 32)), "t": Cut(1, 1)})
    assert read_mark(5, mark.metadata()) == mark
    assert read_mark(5, Mark(5, "l").metadata()).told == Head()


def _mark(cluster: Cluster, partition: int) -> Mark:
    return read_mark(*cluster.committed[partition])
