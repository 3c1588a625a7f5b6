"""Documents that come in pieces: what counts, what is left behind, and what a crash at any border makes of it."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.ledger.settling import AT_ONCE
from daemon.ports.files import KIND, FileIdentity
from daemon.ports.inputs import Admitted, Input, Staging
from pipeline.errors import LedgerError
from pipeline.finding import ParsedReport, Reject
from pipeline.report.encode import encode_finding
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from tests.daemon.ledger.reports import (
    Stream,
    admit,
    finding,
    meta,
    ndjson_report,
    open_ledger,
    reject,
    report,
    scan,
    work_off,
)


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Feeder:
    """Hands documents over in pieces, and dies at a border if it is told to.

    Attributes:
        borders: how many transactions it may make.
    """

    ledger: Ledger
    piece: int = 2
    borders: int = 1 << 30

    def add(self, path: str) -> Input:
        number = len(self.ledger.files.known()) + 1
        return self.ledger.files.add(path, FileIdentity(1, number), "document").source

    def feed(
        self,
        *reports: ParsedReport,
        path: str = "/w/a.json",
        rejects: tuple[Reject, ...] = (),
        source: Input | None = None,
        host_key: str | None = None,
        as_of: str | None = None,
    ) -> Admitted:
        source = source or self.add(path)
        staging = self.ledger.inputs.stage(source, host_key, as_of)
        self.pieces(staging, reports, rejects)
        self._border()
        admitted = staging.finish(replace(source, position="behind"), "digest of all")
        self._border()
        return admitted

    def pieces(self, staging: Staging, reports: Sequence[ParsedReport], rejects: Sequence[Reject] = ()) -> None:
        for one in reports:
            self._border()
            staging.begin(one.header, one.digest)
            rows = [encode_finding(found) for found in one.findings]
            for start in range(0, len(rows), self.piece):
                self._border()
                staging.add(rows[start : start + self.piece])
            staging.reject(one.rejects)
            staging.end(one.complete)
        staging.reject(rejects)

    def _border(self) -> None:
        if not self.borders:
            raise Killed
        self.borders -= 1


def settle(ledger: Ledger) -> int:
    rounds = 0
    while ledger.work.settle():
        rounds += 1
    return rounds


def worked(ledger: Ledger) -> list[tuple[object, ...]]:
    """Work everything off; returns what each scan was."""
    found: list[tuple[object, ...]] = []
    while (closed := ledger.work.next_scan()) is not None:
        ids = [one.id for one in ledger.work.findings(closed.scan_no)]
        found.append((closed.scan_no, closed.scan_id, closed.host, closed.complete, closed.rejected, closed.as_of, ids))
        for batch in ledger.work.plan(closed.scan_no, 3):
            keys = range(batch.first, batch.last)
            ledger.work.commit_batch(batch, [(f"{closed.scan_no}/{n}", "low", True, b"") for n in keys])
        ledger.work.finish_scan(closed, b"", [], [], "profile")
    return found


def rows_left(ledger: Ledger) -> tuple[int, ...]:
    connection = ledger.database.connection
    tables = ("staging", "inbox", "scans WHERE state = 'open'")
    return tuple(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)


DOCUMENTS: dict[str, list[ParsedReport]] = {
    "timed": [report("a", "b", "c", "a", "b")],
    "timeless": [report("a", "b", "c", started_at=None)],
    "without findings": [report()],
    "several": [report("a", "b", digest="1"), report("c", digest="2", host="db02"), report("a", "b", digest="1")],
    "several equal ones without times": [report("a", digest="1", started_at=None)] * 2,
    "of a stream": ndjson_report([*scan("a", "b", "c"), *scan("a", "b", "c"), *scan("d")]),
    "with rejects": [report("a", "b", rejects=(reject(path="results[0]"),), complete=False)],
    "bad lines first": ndjson_report([b"[INFO ] starting", *scan("x")]),
    "cut stream": ndjson_report(scan("a", "b", emitted=9)),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_in_pieces_it_becomes_what_it_becomes_at_once(tmp_path: Path, name: str) -> None:
    """The same counts, scans, ids, quarantine and inputs, whatever was there before, and delivered twice."""
    seen = []
    for way in ("at once", "in pieces"):
        with open_ledger(tmp_path / way) as ledger:
            admit(ledger, report("z", digest="0", started_at=None), path="/w/0.json")
            counts: list[object] = []
            for path in ("/w/a.json", "/w/a.json", "/w/b.json"):
                loose = (reject(detail="loose"),)
                source = Feeder(ledger).add(path)
                if way == "at once":
                    behind = replace(source, position="behind")
                    counts.append(ledger.inputs.admit_document(behind, "digest of all", DOCUMENTS[name], loose))
                else:
                    counts.append(Feeder(ledger).feed(*DOCUMENTS[name], source=source, rejects=loose))
            settle(ledger)
            assert ledger.fsck() == []
            assert rows_left(ledger)[0] == rows_left(ledger)[2] == 0
            counts.append(worked(ledger))
            counts.append([(row.reason, row.detail, row.digest, row.seen) for row in ledger.quarantine.rows()])
            counts.append([known.position for known in ledger.inputs.known(KIND)])
            seen.append(counts)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_killed_at_every_border_nothing_is_lost_doubled_or_left(tmp_path: Path, name: str) -> None:
    with open_ledger(tmp_path / "undisturbed") as ledger:
        Feeder(ledger).feed(*DOCUMENTS[name])
        expected = worked(ledger)
    for border in range(40):
        state = tmp_path / str(border)
        with open_ledger(state) as ledger:
            source = Feeder(ledger).add("/w/a.json")
            try:
                Feeder(ledger, borders=border).feed(*DOCUMENTS[name], source=source)
                done = True
            except Killed:
                done = False
        with open_ledger(state) as ledger:  # the next process
            assert ledger.fsck() == []
            (source,) = ledger.inputs.known(KIND)
            if not source.position:  # as a source sees it: nothing of the document is known
                assert ledger.work.next_scan() is None
                Feeder(ledger).feed(*DOCUMENTS[name], source=source)
            settle(ledger)
            assert ledger.fsck() == []
            found = worked(ledger)
            settle(ledger)
            assert found == expected
            assert rows_left(ledger) == (0, 0, 0)
        if done:
            break
    assert border >= 3


def test_what_is_under_way_counts_for_nothing_and_is_not_taken_for_a_remainder(ledger: Ledger) -> None:
    feeder = Feeder(ledger)
    source = feeder.add("/w/a.json")
    staging = ledger.inputs.stage(source)
    staging.begin(report().header, "d")
    staging.add([encode_finding(found) for found in report("a", "b").findings])
    assert settle(ledger) == 0
    assert (ledger.waiting().findings, ledger.work.next_scan(), ledger.status()["scans_open"]) == (0, None, 0)
    assert ledger.fsck() == []
    admit(ledger, report("x", digest="other"), path="/w/b.json")  # closes first, so it is the first scan
    staging.end(True)
    assert staging.finish(replace(source, position="p"), "d") == Admitted(scans=1, findings=2)
    assert [(closed.scan_no, closed.findings) for closed in work_off(ledger)] == [(1, 1), (2, 2)]
    assert ledger.fsck() == []


def test_two_documents_and_a_stream_come_in_side_by_side(ledger: Ledger) -> None:
    feeder = Feeder(ledger)
    sources = [feeder.add(f"/w/{name}.json") for name in "ab"]
    stagings = [ledger.inputs.stage(source) for source in sources]
    stream = Stream(ledger, "/w/s")
    stream.append(*scan("s1", "s2", "s3", emitted=4, host="db03"))
    for number, staging in enumerate(stagings):
        staging.begin(report(host=f"h{number}").header, f"d{number}")
    for name in "xy":
        for number, staging in enumerate(stagings):
            staging.add([encode_finding(found) for found in report(f"{name}{number}").findings])
    for number in (1, 0):
        stagings[number].end(True)
        stagings[number].finish(replace(sources[number], position="p"), "d")
    stream.append(finding("s4"))
    found = [(host, ids) for _, _, host, *_, ids in worked(ledger)]
    assert found == [("h1", ["x1", "y1"]), ("h0", ["x0", "y0"]), ("db03", ["s1", "s2", "s3", "s4"])]
    assert ledger.fsck() == []


def test_a_redelivery_is_found_before_it_is_stored(ledger: Ledger) -> None:
    for one in (report("a", "b"), report("a", "b", started_at=None, digest="e")):
        admit(ledger, one)
        before = ledger.database.connection.total_changes
        source = Feeder(ledger).add("/w/copy.json")
        staging = ledger.inputs.stage(source)
        assert not staging.begin(one.header, one.digest)
        stored = ledger.database.connection.execute("SELECT count(*) FROM staging").fetchone()
        assert stored == (0,)
        staging.add([b"never looked at", b"nor this"])
        staging.end(True)
        assert staging.finish(replace(source, position="p"), "d") == Admitted(
            redelivered_scans=1, redelivered_findings=2
        )
        assert ledger.database.connection.total_changes - before < 40
    assert [closed.findings for closed in work_off(ledger)] == [2, 2]


def test_a_host_that_is_again_as_it_was_is_news_in_pieces_too(ledger: Ledger) -> None:
    """The rule of places: the same under one name, after another state."""
    source = Feeder(ledger).add("/w/a.json")
    feed = Feeder(ledger).feed
    assert feed(report("a", started_at=None, digest="1"), source=source).scans == 1
    assert feed(report("b", started_at=None, digest="2"), source=source).scans == 1
    assert feed(report("a", started_at=None, digest="1"), source=source).scans == 1
    assert feed(report("a", started_at=None, digest="1"), source=source).redelivered_scans == 1
    assert len({closed.scan_id for closed in work_off(ledger)}) == 3
    assert ledger.fsck() == []


def test_a_scan_that_is_shown_again_until_it_is_not_is_read_again(ledger: Ledger) -> None:
    """Between the look and the end somebody else may have shown a later state under the same name."""
    shown = report("a", started_at=None, digest="1")
    source = Feeder(ledger).add("/w/a.json")
    Feeder(ledger).feed(shown, source=source)
    staging = ledger.inputs.stage(source)
    assert not staging.begin(shown.header, shown.digest)
    for digest in ("2", "3"):
        Feeder(ledger).feed(report("b", started_at=None, digest=digest), source=source)
    staging.end(True)
    with pytest.raises(LedgerError) as raised:
        staging.finish(replace(source, position="p"), "d")
    assert raised.value.transient
    staging.drop()
    assert Feeder(ledger).feed(shown, source=source).scans == 1
    assert ledger.fsck() == []


def test_what_is_dropped_goes_in_pieces(ledger: Ledger) -> None:
    source = Feeder(ledger).add("/w/a.json")
    staging = ledger.inputs.stage(source)
    staging.begin(report().header, "d")
    rows = [encode_finding(found) for found in report("a").findings] * (AT_ONCE + 1)
    for _ in range(2):
        staging.add(rows)
    staging.drop()
    assert ledger.fsck() == []
    assert settle(ledger) == 3
    assert rows_left(ledger) == (0, 0, 0)
    staging.drop()  # once more does nothing


def test_an_input_that_goes_meanwhile_takes_nothing_along(ledger: Ledger) -> None:
    source = Feeder(ledger).add("/w/a.json")
    staging = ledger.inputs.stage(source)
    staging.begin(report().header, "d")
    staging.add([encode_finding(found) for found in report("a").findings])
    ledger.inputs.drop(source.input_id)
    staging.end(True)
    with pytest.raises(LedgerError):
        staging.finish(source, "d")
    staging.drop()
    assert ledger.fsck() == []
    settle(ledger)
    assert rows_left(ledger) == (0, 0, 0)


def test_the_time_that_is_given_counts_where_the_report_has_none(ledger: Ledger) -> None:
    given = "2020-02-02T02:02:02Z"
    feed = Feeder(ledger).feed
    feed(report("a", started_at=None, digest="1"), as_of=given)
    feed(report("b", digest="2"), as_of=given, path="/w/b.json")
    feed(*ndjson_report(scan("c")), as_of=given, path="/w/c.json")
    source = Feeder(ledger).add("/w/d.json")
    ledger.inputs.admit_document(source, "d", [report("d", started_at=None, digest="3")], [], None, given)
    assert [closed.as_of for closed in work_off(ledger)] == [given, "2026-01-01T00:00:00Z", given, given]


def test_the_place_binds_a_document_that_comes_in_pieces(ledger: Ledger) -> None:
    Feeder(ledger).feed(report("a", host="liar"), host_key="web01")
    assert [(closed.host, closed.host_source) for closed in work_off(ledger)] == [("web01", "key")]


class Failing:
    """A connection on which the statement number `left` fails, as on a failing disk."""

    def __init__(self, connection: sqlite3.Connection, left: int) -> None:
        self._connection = connection
        self.left = left

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        self._count(statement)
        return self._connection.execute(statement, *values)  # type: ignore[arg-type]

    def executemany(self, statement: str, *values: object) -> sqlite3.Cursor:
        self._count(statement)
        return self._connection.executemany(statement, *values)  # type: ignore[arg-type]

    def _count(self, statement: str) -> None:
        if statement == "ROLLBACK":
            return
        self.left -= 1
        if self.left == 0:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
            raise error


@pytest.mark.parametrize("name", ["timeless", "several", "of a stream"])
def test_whatever_statement_fails_the_next_attempt_gives_what_an_undisturbed_one_does(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_ledger(tmp_path / "undisturbed") as ledger:
        Feeder(ledger).feed(*DOCUMENTS[name])
        expected = worked(ledger)
    for failing in range(1, 300):
        with open_ledger(tmp_path / str(failing)) as ledger:
            source = Feeder(ledger).add("/w/a.json")
            real = ledger.database.connection
            connection = Failing(real, failing)
            monkeypatch.setattr(ledger.database, "connection", connection)
            staging = ledger.inputs.stage(source)
            failed = False
            try:
                Feeder(ledger).pieces(staging, DOCUMENTS[name])
                staging.finish(replace(source, position="behind"), "d")
            except LedgerError as error:
                assert error.transient
                failed = True
                staging.drop()
            monkeypatch.setattr(ledger.database, "connection", real)
            assert not real.in_transaction
            if failed:
                assert ledger.work.next_scan() is None
                Feeder(ledger).feed(*DOCUMENTS[name], source=source)
            settle(ledger)
            assert ledger.fsck() == []
            assert worked(ledger) == expected
        if not failed:
            break
    assert failing > 20


def test_a_report_read_by_the_parser_hashes_as_fsck_hashes_it(ledger: Ledger) -> None:
    lines = b"".join(line + b"\n" for line in [meta(), *scan("a", "b", "c")[1:]])
    reports = read_document(lines, Limits(), final=True).reports
    Feeder(ledger, piece=1).feed(*reports)
    assert ledger.fsck() == []
