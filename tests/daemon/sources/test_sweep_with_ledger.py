"""Sources and the real ledger together: what is found is emitted once."""

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.sweep import Sweeper
from pipeline.report.limits import Limits
from tests.daemon.sources.world import META, lines, stream

SCANS = Path(__file__).parents[2] / "data" / "scans"


class Watched:
    """A directory that is swept into a real ledger, which can be closed and opened again."""

    def __init__(self, path: Path) -> None:
        self.root = path / "in"
        self.root.mkdir()
        self.state = path / "state"
        self.now = 1000.0
        self.open()

    def open(self) -> None:
        self.ledger = Ledger.open(self.state, clock=lambda: 0.0)
        settings = WatchSettings(roots=(str(self.root),))
        self.sweeper = Sweeper(
            self.ledger.inputs, self.ledger.files, Limits(), settings, clock=lambda: self.now, wall_ns=lambda: 0
        )

    def crash(self) -> None:
        self.sweeper.close_files()
        self.ledger.close()
        self.open()

    def sweep(self, later: float = 0.0) -> None:
        self.now += later
        self.sweeper.sweep()

    def settle(self) -> None:
        for _ in range(3):
            self.sweep(70)

    def closed(self) -> list[tuple[str, list[str]]]:
        """Give source and finding ids of every scan, in the order of closing."""
        rows = self.ledger.database.connection.execute(
            "SELECT scan_no, source FROM scans WHERE scan_no IS NOT NULL ORDER BY scan_no"
        ).fetchall()
        return [
            (Path(os.fsdecode(source)).name, [finding.id for finding in self.ledger.work.findings(number)])
            for number, source in rows
        ]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_f33_copies_compressed_copies_and_rescans_are_redeliveries(watched: Watched) -> None:
    for name in ("micro-default.json", "micro-default.ndjson", "web01-base-default.sarif"):
        shutil.copy(SCANS / name, watched.root / name)
    watched.sweep()
    watched.settle()
    count = len(watched.closed())
    assert count == 3
    for name in ("micro-default.json", "micro-default.ndjson", "web01-base-default.sarif"):
        data = (SCANS / name).read_bytes()
        (watched.root / f"copy-{name}").write_bytes(data)
        (watched.root / f"{name}.1.gz").write_bytes(gzip.compress(data))
        os.utime(watched.root / name)
    watched.sweep()
    watched.settle()
    watched.crash()
    watched.settle()
    assert len(watched.closed()) == count


def test_f5_f25_a_burst_that_is_copied_truncated_and_compressed_in_its_middle_stays_one_scan(watched: Watched) -> None:
    names = [f"n{number}" for number in range(8)]
    whole = stream(*names)
    parts = [whole[: len(whole) // 4], whole[len(whole) // 4 : len(whole) // 2], whole[len(whole) // 2 :]]
    path = watched.root / "a.ndjson"
    path.write_bytes(parts[0])
    watched.sweep()
    with path.open("ab") as file:
        file.write(parts[1])
    shutil.copyfile(path, watched.root / "a.ndjson.1")
    os.truncate(path, 0)
    watched.sweep()
    watched.crash()
    with (watched.root / "a.ndjson.1").open("ab") as file:
        file.write(parts[2])
    (watched.root / "a.ndjson.1.gz").write_bytes(gzip.compress((watched.root / "a.ndjson.1").read_bytes()))
    (watched.root / "a.ndjson.1").unlink()
    watched.sweep()
    watched.settle()
    assert watched.closed() == [("a.ndjson", names)]


def test_a_scan_without_a_count_is_closed_by_the_deadline(watched: Watched) -> None:
    (watched.root / "a.ndjson").write_bytes(META + lines("1", "2"))
    watched.sweep()
    assert watched.closed() == []
    watched.settle()
    assert watched.closed() == [("a.ndjson", ["1", "2"])]


def test_a_quarantined_file_that_is_retried_is_read_again_and_emits_nothing_twice(watched: Watched) -> None:
    path = watched.root / "a.ndjson"
    path.write_bytes(stream("1", "2") + b"rubbish\n")
    watched.sweep()
    watched.settle()
    (row,) = watched.ledger.quarantine.rows()
    watched.ledger.quarantine.retry(row.id)
    watched.settle()
    (again,) = watched.ledger.quarantine.rows()
    assert (again.id, again.seen, again.state) == (row.id, 2, "open")
    assert watched.ledger.files.rereads() == []
    assert watched.closed() == [("a.ndjson", ["1", "2"])]


def test_a_run_that_waits_for_nothing_takes_and_refuses_everything_at_once(watched: Watched) -> None:
    (watched.root / "a.ndjson").write_bytes(META + lines("1", "2")[:-1])
    (watched.root / "b.json").write_bytes((SCANS / "micro-default.json").read_bytes()[:500])
    (watched.root / "c.json").write_bytes(b"<html>")
    watched.sweeper.finish()
    watched.sweeper.close()
    assert watched.closed() == [("a.ndjson", ["1", "2"])]
    assert sorted(row.reason for row in watched.ledger.quarantine.rows()) == ["not_a_report", "truncated"]


def test_what_is_never_opened_counts_as_quarantined_once(watched: Watched) -> None:
    os.mkfifo(watched.root / "fifo.json")
    counts = [watched.sweeper.sweep().admitted.quarantined for _ in range(2)]
    assert [entry.reason for entry in watched.ledger.quarantine.rows()] == ["not_regular"]
    assert counts == [1, 0]


def scan_of(state: str) -> bytes:
    return stream(f"{state}-1", f"{state}-2")


def states(watched: Watched) -> list[str]:
    return [ids[0].partition("-")[0] for _, ids in watched.closed()]


def test_a_host_that_changed_and_came_back_since_its_log_was_rotated(watched: Watched) -> None:
    live = watched.root / "a.ndjson"
    live.write_bytes(scan_of("bad"))
    watched.settle()
    live.rename(watched.root / "a.ndjson.1")
    live.write_bytes(scan_of("good") + scan_of("bad"))
    watched.settle()
    assert states(watched) == ["bad", "good", "bad"]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_host_that_changed_was_rotated_and_came_back_while_nobody_looked(watched: Watched, compressed: bool) -> None:
    live, old = watched.root / "a.ndjson", watched.root / "a.ndjson.1"
    live.write_bytes(scan_of("bad"))
    watched.settle()
    watched.crash()
    live.write_bytes(scan_of("bad") + scan_of("good"))
    live.rename(old)
    if compressed:
        old.with_name("a.ndjson.1.gz").write_bytes(gzip.compress(old.read_bytes()))
        old.unlink()
    live.write_bytes(scan_of("bad"))
    for _ in range(2):
        watched.settle()
        watched.crash()
    assert states(watched) == ["bad", "good", "bad"]


def test_a_live_file_whose_copy_is_rotated_already_is_no_return(watched: Watched) -> None:
    for name in ("a.ndjson.1", "a.ndjson"):  # between copy and truncation, before anybody looked
        (watched.root / name).write_bytes(scan_of("bad") + scan_of("good"))
    watched.settle()
    assert states(watched) == ["bad", "good"]


def test_a_report_that_is_written_anew_and_renamed_while_nobody_looked_is_news(watched: Watched) -> None:
    def write(state: str) -> None:
        findings = [{"id": f"{state}-1", "severity": "low"}]
        report = {"meta": {"hostname": "h"}, "results": [{"scanner": "s", "findings": findings}]}
        (watched.root / "a.json").write_text(json.dumps(report))

    for state in ("bad", "good"):
        write(state)
        watched.settle()
    watched.crash()
    write("bad")
    (watched.root / "a.json").rename(watched.root / "a.json.1")
    watched.settle()
    assert states(watched) == ["bad", "good", "bad"]


def test_a_new_stream_does_not_go_on_behind_a_deleted_copy_that_was_equal(watched: Watched) -> None:
    live, copy = watched.root / "a.ndjson", watched.root / "kept.ndjson"
    copy.write_bytes(scan_of("bad"))
    live.write_bytes(scan_of("bad"))
    watched.settle()
    live.write_bytes(scan_of("good"))
    watched.settle()
    copy.unlink()
    (watched.root / "new").write_bytes(scan_of("bad"))
    (watched.root / "new").rename(live)
    watched.settle()
    assert states(watched) == ["bad", "good", "bad"]


def test_a_mirror_that_is_replaced_goes_on_under_its_name_beside_a_copy(watched: Watched) -> None:
    (watched.root / "mirror").mkdir()
    live, mirror = watched.root / "a.ndjson", watched.root / "mirror" / "a.ndjson"
    content = b""
    for state in ("one", "two", "three"):
        content += scan_of(state)
        live.write_bytes(content)
        (watched.root / f"kept-{state}.ndjson").write_bytes(content)
        mirror.with_name("part").write_bytes(content)
        mirror.with_name("part").rename(mirror)
        watched.settle()
    assert states(watched) == ["one", "two", "three"]


def test_a_new_stream_is_no_copy_of_what_was_rotated_out_of_its_way(watched: Watched) -> None:
    live = watched.root / "a.ndjson"
    live.write_bytes(scan_of("bad"))
    watched.sweep()
    with live.open("ab") as file:
        file.write(scan_of("good"))
    watched.sweep()
    live.rename(watched.root / "a.ndjson.1")
    live.write_bytes(scan_of("bad"))
    watched.settle()
    assert states(watched) == ["bad", "good", "bad"]
