"""Scans that are damaged, or that processes end over: set aside, said, and taken back by a person."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.ledger.aside import MAX_ATTEMPTS
from pipeline.errors import LedgerError, ScanDamaged
from tests.daemon.ledger.reports import START, Stream, admit, finding, meta, open_ledger, report, scan, work_off


@pytest.fixture
def two(ledger: Ledger) -> Ledger:
    """A ledger with a scan of two findings, and one of another host behind it."""
    admit(ledger, report("a", "b"))
    admit(ledger, report("c", host="victim", digest="e"), path="/w/b.json")
    return ledger


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Ledger]:
    """The same, to be damaged; in the end `fsck` says so, too."""
    with open_ledger(tmp_path) as opened:
        admit(opened, report("a", "b"))
        admit(opened, report("c", host="victim", digest="e"), path="/w/b.json")
        yield opened
        assert any("scan row 1:" in problem for problem in opened.fsck())


def execute(ledger: Ledger, statement: str) -> None:
    ledger.database.connection.execute(statement)


# Processes that end over a scan


def test_a_scan_that_ended_two_processes_is_set_aside_and_the_next_one_is_worked_on(two: Ledger) -> None:
    assert not two.work.count_attempt(1, "killed")
    assert two.work.count_attempt(1, "killed")
    (entry,) = two.aside.rows()
    assert (entry.scan_no, entry.host, entry.source, entry.findings, entry.attempt) == (1, "web01", "/w/a.json", 2, 2)
    assert entry.reason.startswith("killed; 2 times")
    assert [closed.host for closed in work_off(two)] == ["victim"]
    assert two.status()["scans_set_aside"] == 1 and two.status()["scans_waiting"] == 0
    assert two.waiting().findings == 0  # so it does not hold the inputs back either
    assert two.fsck() == []
    assert two.status()["findings_in_inbox"] == 2  # nothing of it is lost


def test_the_count_outlives_the_process_and_a_batch_in_between_sets_it_back(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        admit(ledger, report("a", "b"))
        ledger.work.count_attempt(1, "killed")
    with open_ledger(tmp_path) as ledger:
        closed = ledger.work.next_scan()
        assert closed is not None
        first, _ = ledger.work.plan(closed.scan_no, 1)
        ledger.work.commit_batch(first, [("k", "low", True, b"1")])
        assert not ledger.work.count_attempt(1, "killed")  # the first one since something came of it
    with open_ledger(tmp_path) as ledger:
        assert ledger.work.count_attempt(1, "killed")


def test_taken_back_it_is_worked_on_with_all_attempts_before_it(two: Ledger) -> None:
    for _ in range(MAX_ATTEMPTS):
        two.work.count_attempt(1, "killed")
    two.aside.retry(1)
    assert not two.work.count_attempt(1, "killed")
    assert [closed.host for closed in work_off(two)] == ["web01", "victim"]
    for number in (1, 99):  # done, and never there
        with pytest.raises(LedgerError, match="not set aside"):
            two.aside.retry(number)


def test_a_scan_that_is_done_or_unknown_is_not_counted(two: Ledger) -> None:
    work_off(two)
    for number in (1, 77):
        assert not any(two.work.count_attempt(number, "killed") for _ in range(3))
    assert two.aside.rows() == []


def test_a_copy_of_it_is_a_redelivery(two: Ledger) -> None:
    for _ in range(MAX_ATTEMPTS):
        two.work.count_attempt(1, "killed")
    assert admit(two, report("a", "b"), path="/w/copy.json").redelivered_scans == 1


def test_behind_a_later_scan_of_its_host_it_is_late_and_behind_those_of_others_it_is_not(two: Ledger) -> None:
    for _ in range(MAX_ATTEMPTS):
        two.work.count_attempt(1, "killed")
    work_off(two)
    two.aside.retry(1)
    closed = two.work.next_scan()
    assert closed is not None and not closed.late
    two.work.set_aside(1, "again")
    admit(two, report("x", digest="f"), path="/w/c.json")
    work_off(two)
    two.aside.retry(1)
    closed = two.work.next_scan()
    assert closed is not None and closed.late


# Damage


DAMAGE: dict[str, str] = {
    "a header that is cut": "UPDATE scans SET header = x'7b' WHERE scan_no = 1",
    "a header that is something else": "UPDATE scans SET header = CAST('[1]' AS BLOB) WHERE scan_no = 1",
    "a header without a field": "UPDATE scans SET header = CAST('{}' AS BLOB) WHERE scan_no = 1",
    "no header": "UPDATE scans SET header = NULL WHERE scan_no = 1",
    "a finding that is cut": "UPDATE inbox SET finding = x'5b22' WHERE scan = 1 AND seq = 1",
    "a finding that is something else": "UPDATE inbox SET finding = CAST('7' AS BLOB) WHERE scan = 1 AND seq = 0",
    "a finding that is gone": "DELETE FROM inbox WHERE scan = 1 AND seq = 0",
    "the last finding that is gone": "DELETE FROM inbox WHERE scan = 1 AND seq = 1",
    "a count that is too high": "UPDATE scans SET findings = 3 WHERE scan_no = 1",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_names_the_scan_and_its_report(broken: Ledger, damage: str) -> None:
    execute(broken, DAMAGE[damage])
    with pytest.raises(ScanDamaged, match=r"scan 1 of /w/a\.json: damaged in the ledger") as caught:
        broken.work.next_scan()
        broken.work.findings(1)
    assert "\n" not in str(caught.value) and caught.value.scan_no == 1
    broken.work.set_aside(1, str(caught.value))
    assert [closed.host for closed in work_off(broken)] == ["victim"]
    assert broken.aside.rows()[0].reason == str(caught.value)


def test_batches_that_are_not_those_that_were_planned_are_damage(broken: Ledger) -> None:
    closed = broken.work.next_scan()
    assert closed is not None
    one, other = broken.work.plan(1, 1)
    broken.work.commit_batch(one, [("k", "low", True, b"1")])
    execute(broken, f"DELETE FROM batches WHERE batch_id = {other.batch_id}")
    with pytest.raises(ScanDamaged, match="batch"):
        broken.work.commit_batch(other, [("l", "low", True, b"2")])
    with pytest.raises(ScanDamaged, match="1 of 2 findings are committed"):
        broken.work.finish_scan(closed, b"r", [], [], "p")


def test_a_time_that_is_damaged_keeps_nobody_from_counting_what_waits(two: Ledger) -> None:
    execute(two, "UPDATE scans SET opened_at = 'yesterday'")
    assert (two.waiting().findings, two.waiting().age_s) == (3, 0.0)


@pytest.mark.parametrize("context", ["x'7b'", "CAST('[]' AS BLOB)", 'CAST(\'{"meta":7,"headers":[]}\' AS BLOB)'])
@pytest.mark.parametrize("then", ["append", "close", "drop"])
def test_a_stream_whose_header_is_damaged_goes_on_under_its_host(ledger: Ledger, context: str, then: str) -> None:
    stream = Stream(ledger, "/w/a")
    stream.append(*scan("a", "b", emitted=4))
    execute(ledger, f"UPDATE inputs SET context = {context}")
    calls: dict[str, Callable[[], object]] = {
        "append": lambda: stream.read_from(length),
        "close": stream.close,
        "drop": lambda: ledger.inputs.drop(stream.state.input_id),
    }
    length = len(stream.content)
    stream.content += finding("c") + b"\n"
    with pytest.raises(LedgerError, match="/w/a: the header of its scan is damaged") as caught:
        calls[then]()
    assert caught.value.transient  # the caller tries again, and goes on
    calls[then]()
    if then == "append":
        stream.close()
    (closed,) = work_off(ledger)
    assert (closed.host, closed.complete) == ("web01", False)
    assert closed.findings == (3 if then == "append" else 2)
    assert ledger.fsck() == []


def test_what_a_name_has_shown_may_be_damaged(ledger: Ledger) -> None:
    admit(ledger, report("a", started_at=None))
    execute(ledger, "UPDATE places SET marks = '{', before = 'x'")
    admit(ledger, report("b", started_at=None, digest="e"))
    assert len(work_off(ledger)) == 2
    assert ledger.fsck() == []


# What a scan may take


def test_a_scan_of_a_stream_ends_where_it_has_enough_bytes_and_a_copy_is_cut_alike(tmp_path: Path) -> None:
    large = [f"/{number}/" + "x" * 1000 for number in range(10)]
    with open_ledger(tmp_path, max_scan_bytes=4000) as ledger:
        stream = Stream(ledger, "/w/a")
        for line in scan(*large):  # one transaction each: the count goes on in the next one
            stream.append(line)
        stream.close()
        copy = Stream(ledger, "/w/copy")
        copy.append(*scan(*large))
        copy.close()
        done = work_off(ledger)
        assert [closed.findings for closed in done] == [4, 4, 2]
        assert [closed.complete for closed in done] == [False, False, False]
        assert all(4000 <= closed.bytes < 5200 for closed in done[:2])
        assert ledger.fsck() == []


def test_text_that_is_not_ascii_counts_as_it_is_held(tmp_path: Path) -> None:
    wide = [f"/{number}/" + "é" * 500 for number in range(10)]  # a thousand bytes
    with open_ledger(tmp_path, max_scan_bytes=4000) as ledger:
        stream = Stream(ledger, "/w/a")
        stream.append(*scan(*wide))
        stream.close()
        assert [closed.findings for closed in work_off(ledger)] == [1] * 10


def test_header_lines_have_a_bound_for_their_sum(ledger: Ledger) -> None:
    stream = Stream(ledger, "/w/a")
    stream.append(meta())
    for number in range(12):
        stream.append(b'{"type":"summary_extension","note":"%d%s"}' % (number, b"x" * 500_000))
    stream.append(finding("a"))
    stream.close()
    reasons = [row.detail for row in ledger.quarantine.rows(reason="too_large")]
    assert reasons and all("bytes of header lines" in reason for reason in reasons)
    assert [closed.findings for closed in work_off(ledger)] == [1]


def test_batches_of_large_findings_are_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.ledger.work.BATCH_BYTES", 3000)
    with open_ledger(tmp_path) as ledger:
        admit(ledger, report(*("x" * 1000 + str(number) for number in range(10))))
        admit(ledger, report(*map(str, range(10)), digest="e"), path="/w/b.json")
        assert {batch.last - batch.first for batch in ledger.work.plan(1, 5)} == {2}
        assert {batch.last - batch.first for batch in ledger.work.plan(2, 5)} == {5}


def test_rows_for_a_sink_are_handed_out_by_bytes_too(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.ledger.outbox.PENDING_BYTES", 5)
    ledger.outbox.register("one")
    admit(ledger, report("aaa", "bbb", "c" * 50, "d"))
    work_off(ledger)
    sizes = []
    while rows := ledger.outbox.pending("one", 1000):
        sizes.append(len(rows))
        ledger.outbox.delivered("one", rows[-1].position)
    assert sizes == [2, 1, 2]


def test_what_is_kept_of_a_scan_from_before_is_counted_when_the_ledger_is_migrated(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        admit(ledger, report("a", "b"))
        counted = ledger.database.connection.execute("SELECT bytes FROM scans").fetchone()
        for column in ("bytes", "attempt", "aside", "verdicts", "verdicts_head"):
            execute(ledger, f"ALTER TABLE scans DROP COLUMN {column}")
        later = (
            "staging",
            "parts",
            "part_sets",
            "told",
            "situations",
            "retained",
            "retained_lines",
            "covered",
            "given_up",
            "retained_words",
            "situation_words",
        )
        for table in later:
            execute(ledger, f"DROP TABLE {table}")
        execute(ledger, "PRAGMA user_version = 3")
    with open_ledger(tmp_path, clock=lambda: START) as ledger:
        assert ledger.database.connection.execute("SELECT bytes FROM scans").fetchone() == counted
        assert work_off(ledger)[0].bytes > 0
