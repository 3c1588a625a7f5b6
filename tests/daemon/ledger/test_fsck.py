"""fsck finds every kind of damage that its rules speak of."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.ledger.fsck import RULES
from daemon.ports.work import BaselineRow
from tests.daemon.ledger.reports import SINK, Stream, admit, finding, open_ledger, reject, report, scan

OPEN, CLOSED, STREAMED, DONE = 1, 2, 3, 4  # rows of `scans`, as `fill` makes them


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed ledger in which every table has rows."""
    directory = tmp_path_factory.mktemp("template")
    with open_ledger(directory) as ledger:
        fill(ledger)
        assert ledger.fsck() == []
    return directory


@pytest.fixture
def ledger_in_work(template: Path, tmp_path: Path) -> Iterator[Ledger]:
    with copy_of(template, tmp_path / "copy") as ledger:
        yield ledger


def copy_of(template: Path, directory: Path) -> Ledger:
    shutil.copytree(template, directory)
    ledger = open_ledger(directory)
    ledger.database.connection.execute("PRAGMA foreign_keys = OFF")
    ledger.database.connection.execute("PRAGMA synchronous = OFF")
    return ledger


def fill(ledger: Ledger) -> None:
    ledger.outbox.register(SINK)
    stream = Stream(ledger, "/w/open")
    stream.append(*scan("a", "b", emitted=9))
    admit(ledger, report("c", "d", "e", digest="1"), rejects=(reject(),))
    Stream(ledger, "/w/streamed").append(*scan("f", "g"))
    admit(ledger, report(digest="2"), path="/w/done")
    first_scan = ledger.work.next_scan()
    assert first_scan is not None
    first, _ = ledger.work.plan(first_scan.scan_no, 2)
    ledger.work.commit_batch(first, [("k1", "low", True, b"1"), ("k2", "low", True, b"2")])
    (scan_no, scan_id) = ledger.database.connection.execute(
        "SELECT scan_no, scan_id FROM scans WHERE scan = ?", (DONE,)
    ).fetchone()
    done = replace(first_scan, scan_no=scan_no, scan_id=scan_id)
    ledger.work.finish_scan(done, b"r", [BaselineRow("f", "c", "open", "x", "t", scan_no, 1)], [], "p")
    ledger.outbox.delivered(SINK, 1)
    ledger.outbox.prune()


DAMAGE = {
    "a finding is missing": (f"DELETE FROM inbox WHERE scan = {CLOSED} AND seq = 1", "3 findings counted, 2 in"),
    "findings are misnumbered": (f"UPDATE inbox SET seq = 7 WHERE scan = {CLOSED} AND seq = 2", "not numbered 0 to 2"),
    "a finding is garbage": (
        f"UPDATE inbox SET finding = x'ff' WHERE scan = {CLOSED} AND seq = 0",
        "cannot be decoded",
    ),
    "a finding was altered": (
        f"UPDATE inbox SET finding = (SELECT finding FROM inbox WHERE scan = {CLOSED} AND seq = 0)"
        f" WHERE scan = {STREAMED} AND seq = 0",
        "do not hash",
    ),
    "an id was altered": (f"UPDATE scans SET scan_id = 'x' WHERE scan = {CLOSED}", "is not that of its content"),
    "a host was altered": (f"UPDATE scans SET host = 'x' WHERE scan = {STREAMED}", "is not that of its content"),
    "a header is lost": (f"UPDATE scans SET header = NULL WHERE scan = {CLOSED}", "without a header"),
    "a header was altered": (
        f"UPDATE scans SET header = (SELECT header FROM scans WHERE scan = {CLOSED}), emitted = NULL"
        f" WHERE scan = {STREAMED}",
        "header does not hash",
    ),
    "an announcement was altered": (f"UPDATE scans SET emitted = 5 WHERE scan = {CLOSED}", "5 findings announced"),
    "a scan calls itself complete": (
        f"UPDATE scans SET rejected = 1 WHERE scan = {STREAMED}",
        "called complete with 2 of 2 findings and 1",
    ),
    "an orphan in the inbox": (f"INSERT INTO inbox VALUES ({DONE}, 0, x'')", f"findings of scan row {DONE}"),
    "an orphan of nothing": ("INSERT INTO inbox VALUES (99, 0, x'')", "not there"),
    "an open scan is forgotten": ("UPDATE inputs SET open_scan = NULL", "no input of its own has it open"),
    "a file holds a closed scan open": (
        f"UPDATE inputs SET open_scan = {CLOSED} WHERE open_scan IS NULL AND input_id = 3",
        f"open scan {CLOSED} is closed",
    ),
    "a batch is missing": ("DELETE FROM batches WHERE first = 2", "batches cover 2 of 3"),
    "batches overlap": ("UPDATE batches SET first = 1, last = 2 WHERE first = 2", "does not begin where"),
    "a key is missing": ("DELETE FROM keys WHERE key = 'k1'", "2 findings in done batches, 1 keys"),
    "a batch was never done": ("UPDATE batches SET done = 0", "0 findings in done batches, 2 keys"),
    "batches of a done scan": (f"INSERT INTO batches (scan, first, last) VALUES ({DONE}, 0, 1)", "done, open or gone"),
    "keys of an open scan": (f"INSERT INTO keys VALUES ({OPEN}, 'k')", "keys: of scan row 1"),
    "staged rows of an open scan": (
        f"INSERT INTO staged VALUES ({OPEN}, 0, 'f', 'c', 'open', 'x', 't', 1, 1, '')",
        "staged baseline: of scan row 1",
    ),
    "a scan to be put in order is not done": (f"INSERT INTO settling VALUES ({CLOSED}, 0)", "but not done"),
    "a scan number is missing": (f"UPDATE scans SET scan_no = 9 WHERE scan = {DONE}", "scan numbers: 3 of 9"),
    "a done scan lost its profile": (f"UPDATE scans SET profile = NULL WHERE scan = {DONE}", "has no profile"),
    "two scans have one number": (
        f"UPDATE scans SET host = 'h', header_hash = 'x', n = 0, complete = 0 WHERE scan IN ({CLOSED}, {DONE})",
        "two have header x and number 0",
    ),
    "a gap in the outbox": (
        "INSERT INTO outbox VALUES (9, 'finding', 'k', 'low', 1, x'')",
        "3 rows from position 2 to 9",
    ),
    "the end of the outbox is lost": ("DELETE FROM outbox WHERE kind = 'scan'", "outbox: ends at 2, 3 positions"),
    "a mark past the end": ("UPDATE sinks SET delivered = 4", "mark 4 is past the end"),
    "rows that a sink needs are gone": ("UPDATE sinks SET delivered = 0", "rows after its mark 0 are missing"),
    "a fingerprint never seen": ("UPDATE baseline SET count = 0", "was seen 0 times"),
    "a fingerprint seen before the first scan": ("UPDATE baseline SET last_scan_no = -1", "last in scan -1"),
    "an open scan was shown": (f"INSERT INTO claims (input_id, scan) VALUES (1, {OPEN})", "still open"),
    "a file is known by nothing": ("DELETE FROM files WHERE input_id = 1", "has no file"),
    "a place is damaged": (
        "INSERT INTO places VALUES ('directory', x'2f61', 1, '[', '{}', '{}')",
        "what it has shown cannot be read",
    ),
    "a scan is judged with more than was told": (
        f"UPDATE scans SET verdicts = 3, verdicts_head = 'x' WHERE scan = {DONE}",
        "judged with 3 verdicts, but only 0",
    ),
    "a kept finding lost its line": (
        "INSERT INTO retained VALUES (1, 'h', 'f', 's', 'c', 'x', 'open', 'low', 1, 1, 1, 'p', 't', 1, 'k')",
        "kept finding 1: its line",
    ),
    "a kept line is nobody's": ("INSERT INTO retained_lines VALUES (9, x'')", "kept line 9: of a finding"),
    "a reason nobody knows": ("UPDATE quarantine SET reason = 'dunno'", "no such reason"),
    "a reject never met": ("UPDATE quarantine SET seen = 0", "met 0 times"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_seeded_damage_is_found(ledger_in_work: Ledger, damage: str) -> None:
    statement, expected = DAMAGE[damage]
    assert ledger_in_work.database.connection.execute(statement).rowcount > 0
    problems = ledger_in_work.fsck()
    assert any(expected in problem for problem in problems), problems


def test_every_rule_finds_something(template: Path, tmp_path: Path) -> None:
    """A rule without seeded damage could be a query that finds nothing."""
    patterns = {re.escape(message).replace(r"\{\}", ".*") for message, _ in RULES}
    found: set[str] = set()
    for number, (statement, _) in enumerate(DAMAGE.values()):
        with copy_of(template, tmp_path / str(number)) as ledger:
            ledger.database.connection.execute(statement)
            problems = ledger.fsck()
        found |= {pattern for pattern in patterns if any(re.fullmatch(pattern, line) for line in problems)}
    assert found == patterns


def test_fsck_changes_nothing(ledger_in_work: Ledger) -> None:
    before = list(ledger_in_work.database.connection.iterdump())
    assert ledger_in_work.fsck() == []
    assert list(ledger_in_work.database.connection.iterdump()) == before


def test_a_scan_goes_on_after_fsck(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        stream = Stream(ledger, "/w/a")
        stream.append(*scan("a", emitted=2))
        assert ledger.fsck() == []
        assert stream.append(finding("b")).scans == 1
