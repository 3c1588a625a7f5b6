"""The ledger's side of analysis."""

from pathlib import Path

import pytest

from daemon.ledger import Ledger, schema, settling, work
from daemon.ledger.baseline import KEEP_PROFILES
from daemon.ledger.records import KEEP_RECORDS
from daemon.ports.work import BaselineRow, ClosedScan
from pipeline.errors import LedgerError
from tests.daemon.ledger.reports import SINK, admit, open_ledger, report, work_off


def row(fingerprint: str, scan_no: int = 1) -> BaselineRow:
    return BaselineRow(fingerprint, "modules.module", "open", "content", "2026-01-01T00:00:00Z", scan_no, 1)


def closed_scan(ledger: Ledger, *ids: str) -> ClosedScan:
    admit(ledger, report(*ids))
    closed = ledger.work.next_scan()
    assert closed is not None
    return closed


def test_the_first_plan_stays_whatever_size_is_asked_for_later(ledger: Ledger) -> None:
    scan = closed_scan(ledger, "a", "b", "c", "d", "e")
    batches = ledger.work.plan(scan.scan_no, 2)
    assert [(batch.first, batch.last) for batch in batches] == [(0, 2), (2, 4), (4, 5)]
    assert ledger.work.plan(scan.scan_no, 100) == batches


def test_a_done_batch_is_not_planned_again_and_committing_it_again_does_nothing(ledger: Ledger) -> None:
    scan = closed_scan(ledger, "a", "b")
    one, two = ledger.work.plan(scan.scan_no, 1)
    ledger.work.commit_batch(one, [("k1", "low", True, b"1")])
    ledger.work.commit_batch(one, [("k1", "low", True, b"1")])
    assert ledger.work.plan(scan.scan_no, 1) == [two]
    assert [(out.position, out.key, out.line) for out in ledger.outbox.pending(SINK, 9)] == [(1, "k1", b"1")]


def test_a_key_that_was_emitted_in_the_scan_is_refused_and_nothing_is_stored(ledger: Ledger) -> None:
    scan = closed_scan(ledger, "a", "b")
    one, two = ledger.work.plan(scan.scan_no, 1)
    ledger.work.commit_batch(one, [("same", "low", True, b"1")])
    with pytest.raises(LedgerError, match="twice"):
        ledger.work.commit_batch(two, [("same", "low", True, b"2")])
    assert len(ledger.outbox.pending(SINK, 9)) == 1
    assert ledger.work.plan(scan.scan_no, 1) == [two]


def test_a_batch_needs_a_line_for_each_finding(ledger: Ledger) -> None:
    scan = closed_scan(ledger, "a", "b")
    (batch,) = ledger.work.plan(scan.scan_no, 2)
    with pytest.raises(ValueError, match="1 lines for 2 findings"):
        ledger.work.commit_batch(batch, [("k", "low", True, b"")])


def test_a_scan_cannot_be_finished_before_all_its_findings_are_committed(ledger: Ledger) -> None:
    scan = closed_scan(ledger, "a", "b")
    one, _ = ledger.work.plan(scan.scan_no, 1)
    ledger.work.commit_batch(one, [("k", "low", True, b"")])
    with pytest.raises(LedgerError, match="1 of 2 findings"):
        ledger.work.finish_scan(scan, b"", [row("f")], [], "p")
    assert ledger.baseline.rows("web01", "p") == {}


def test_a_finished_scan_leaves_its_row_and_its_record_comes_last(ledger: Ledger) -> None:
    admit(ledger, report("a", "b"))
    (scan,) = work_off(ledger)
    assert ledger.work.next_scan() is None
    assert ledger.work.findings(scan.scan_no) == [] and ledger.work.plan(scan.scan_no, 1) == []
    assert [(out.kind, out.key) for out in ledger.outbox.pending(SINK, 9)] == [
        ("finding", "1/0"),
        ("finding", "1/1"),
        ("scan", scan.scan_id),
    ]
    status = ledger.status()
    assert (status["scans_done"], status["findings_in_inbox"], status["batches_waiting"]) == (1, 0, 0)


def test_finishing_again_does_nothing(ledger: Ledger) -> None:
    scan = closed_scan(ledger)
    ledger.work.finish_scan(scan, b"r", [row("f")], [], "p")
    ledger.work.finish_scan(scan, b"other", [row("g")], ["f"], "p")
    assert list(ledger.baseline.rows("web01", "p")) == ["f"]
    assert len(ledger.outbox.pending(SINK, 9)) == 1


def test_the_baseline_is_kept_for_each_host_and_profile(ledger: Ledger) -> None:
    scan = closed_scan(ledger)
    ledger.work.finish_scan(scan, b"r", [row("f"), row("g")], [], "p")
    assert ledger.baseline.rows("web01", "p") == {"f": row("f"), "g": row("g")}
    assert ledger.baseline.rows("web01", "q") == ledger.baseline.rows("db02", "p") == {}
    ledger.baseline.update("web01", "p", [row("h")], ["f", "never seen"])
    assert list(ledger.baseline.rows("web01", "p")) == ["g", "h"]


def test_a_new_coverage_each_time_does_not_fill_the_ledger(ledger: Ledger) -> None:
    for number in range(KEEP_PROFILES + 14):
        admit(ledger, report("a", digest=str(number)))
        scan = ledger.work.next_scan()
        assert scan is not None
        (batch,) = ledger.work.plan(scan.scan_no, 9)
        ledger.work.commit_batch(batch, [(str(number), "low", True, b"{}")])
        known = row("f", scan.scan_no)
        ledger.work.finish_scan(scan, b"r", [known], [], "always" if number % 5 == 0 else f"p{number}")
    assert scan is not None
    ledger.baseline.update("web01", "recorded", [row("f", scan.scan_no + 1)], [])
    profiles = ["always", "recorded", *(f"p{number}" for number in range(KEEP_PROFILES + 14))]
    kept = [profile for profile in profiles if ledger.baseline.rows("web01", profile)]
    assert len(kept) == KEEP_PROFILES
    assert {"always", "recorded", "p43"} <= {*kept} and not {"p1", "p2"} & {*kept}
    assert not [one for one in ledger.records.rows(limit=99) if one.record is not None and one.profile not in kept]


def test_the_oldest_scan_comes_first(ledger: Ledger) -> None:
    for name in ("1", "2", "3"):
        admit(ledger, report(name, digest=name))
    assert [scan.scan_no for scan in work_off(ledger)] == [1, 2, 3]


def test_an_attempt_is_counted_durably(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        scan = closed_scan(ledger, "a")
        (batch,) = ledger.work.plan(scan.scan_no, 1)
        assert ledger.work.retry_batch(batch).attempt == 1
    with open_ledger(tmp_path) as ledger:
        assert ledger.work.plan(scan.scan_no, 1)[0].attempt == 1


def test_scan_records_are_found_by_host_and_id_and_old_ones_lose_their_record(ledger: Ledger) -> None:
    for number in range(KEEP_RECORDS + 2):
        admit(ledger, report("a", digest=str(number)))
    admit(ledger, report("a", host="db02"))
    scans = work_off(ledger)
    latest = ledger.records.find()
    assert latest is not None and (latest.host, latest.record) == ("db02", b"record %d" % scans[-1].scan_no)
    of_web = ledger.records.find(host="web01")
    assert of_web is not None and of_web.scan_id == scans[-2].scan_id
    third = ledger.records.find(scan_id=scans[2].scan_id[:12])
    assert third is not None and third.record == b"record 3"
    second = ledger.records.find(scan_id=scans[1].scan_id)
    assert second is not None and second.record is None and second.findings == 1
    assert ledger.records.find(host="nobody") is None
    assert len(ledger.records.rows(host="web01", limit=5)) == 5


def test_analyses_are_given_back_in_the_order_asked_for(ledger: Ledger) -> None:
    stored = {f"key{number}": b"%d" % number for number in range(1200)}
    ledger.analyses.store_analyses(stored)
    ledger.analyses.store_analyses({"key7": b"new"})
    asked = ["missing", *reversed(stored)]
    found = ledger.analyses.cached_analyses(asked)
    assert list(found) == asked[1:]
    assert found["key7"] == b"new" and found["key1199"] == b"1199"
    assert ledger.analyses.cached_analyses([]) == {}


# The end of a large scan


def finish_staged(ledger: Ledger, names: str, gone: str = "", *, start: int = 0) -> None:
    scan = ledger.work.next_scan()
    assert scan is not None
    rows = [row(name) for name in names] + [BaselineRow(name, "", "", "", "", 0, 0) for name in gone]
    ledger.work.stage_baseline(scan.scan_no, start, rows)
    emit(ledger, scan)
    ledger.work.finish_scan(scan, b"r", [], [], "p", len(rows))


def emit(ledger: Ledger, scan: ClosedScan) -> None:
    for batch in ledger.work.plan(scan.scan_no, 2):
        keys = [f"{scan.scan_no}.{seq}" for seq in range(batch.first, batch.last)]
        ledger.work.commit_batch(batch, [(key, "low", True, b"line") for key in keys])


def test_staged_rows_count_when_the_scan_is_done_and_in_order(ledger: Ledger) -> None:
    admit(ledger, report("a", "b", digest="1"))
    scan = ledger.work.next_scan()
    assert scan is not None
    ledger.work.stage_baseline(scan.scan_no, 0, [row(name) for name in "xyz"])
    assert ledger.work.baseline("web01", "p") == {} and not ledger.work.settle() and ledger.fsck() == []
    finish_staged(ledger, "fg")  # as after a crash: fewer rows than were staged before it
    assert ledger.fsck() == []
    while ledger.work.settle():
        assert ledger.fsck() == []
    assert list(ledger.work.baseline("web01", "p")) == ["f", "g"]
    admit(ledger, report("a", "b", digest="2"))
    finish_staged(ledger, "h", gone="f")
    while ledger.work.settle():
        pass
    assert list(ledger.work.baseline("web01", "p")) == ["g", "h"]
    for table in ("inbox", "keys", "batches", "staged", "settling"):
        assert ledger.database.connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_what_a_finished_scan_left_is_put_in_order_in_bounded_pieces(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "AT_ONCE", 3)
    admit(ledger, report(*"abcdefgh", digest="1"))
    finish_staged(ledger, "klmnopq")
    connection, before = ledger.database.connection, 0
    assert ledger.waiting().findings == 0
    while True:
        total = sum(
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("inbox", "keys", "staged")
        )
        assert not before or before - total <= 3
        before = total
        if not ledger.work.settle():
            break
    assert total == 0 and list(ledger.work.baseline("web01", "p")) == list("klmnopq")


def test_findings_and_baseline_can_be_read_in_ranges(ledger: Ledger) -> None:
    admit(ledger, report(*"abcde", digest="1"))
    scan = ledger.work.next_scan()
    assert scan is not None
    whole = ledger.work.findings(scan.scan_no)
    assert [ledger.work.findings(scan.scan_no, first, 2) for first in (0, 2, 4)] == [whole[:2], whole[2:4], whole[4:]]
    ledger.baseline.update("web01", "p", [row(name) for name in "fgh"], [])
    assert list(ledger.work.baseline("web01", "p", "f", 1)) == ["g"]
    assert list(ledger.work.baseline("web01", "p", "g")) == ["h"]


def test_a_plan_has_a_bound(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "MAX_BATCHES", 3)
    admit(ledger, report(*"abcdefgh", digest="1"))
    assert [(batch.first, batch.last) for batch in ledger.work.plan(1, 1)] == [(0, 3), (3, 6), (6, 8)]


def test_a_ledger_from_before_scans_were_settled_gets_the_tables(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as made:
        admit(made, report("a", "b", digest="1"))
        connection = made.database.connection
        connection.executescript("DROP TABLE staged; DROP TABLE settling")
        connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION - 1}")
    with open_ledger(tmp_path, migrations={schema.SCHEMA_VERSION - 1: settling.make_tables}) as migrated:
        finish_staged(migrated, "fg")
        while migrated.work.settle():
            pass
        assert list(migrated.work.baseline("web01", "p")) == ["f", "g"]
        assert migrated.fsck() == []
