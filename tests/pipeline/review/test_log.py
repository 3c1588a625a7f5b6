"""The log of verdicts: any history comes back, any tampering is named, and no writer loses another's."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import LedgerError, UnknownSchema
from pipeline.review.chain import Anchor, Head, Row, check, link
from pipeline.review.log import FILE_NAME, SCHEMA_VERSION, VerdictLog
from pipeline.review.verdict import Correction, Draft, Situation, Target, Verdict, decode, encode
from tests.depth import examples

AT = "2026-11-29T12:00:00Z"
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
situations = st.builds(
    Situation,
    class_id=st.sampled_from(["ioc.a", "mounts.b"]),
    status=st.sampled_from(["open", "passed"]),
    features=st.dictionaries(text, text, max_size=2),
    candidates=st.lists(text, max_size=2).map(tuple),
)
targets = st.one_of(
    st.builds(Target, host=text, fingerprint=text, situation=st.none()),
    st.builds(Target, host=st.none() | text, fingerprint=st.none(), situation=situations),
)
corrections = st.builds(
    Correction,
    level=st.none() | st.sampled_from(["info", "high"]),
    class_id=st.none() | text,
    controls=st.none() | st.lists(text, max_size=2).map(tuple),
    assessment=st.none() | text,
)
drafts = st.builds(
    Draft,
    kind=st.sampled_from(["approve", "correct", "accept", "false_positive"]),
    reason=text,
    target=targets,
    correction=st.none() | corrections,
    owner=st.none() | text,
    until=st.none() | st.just("2030-01-01"),
    case=st.dictionaries(text, text | st.integers(0, 9), max_size=2),
)


def a_draft(number: int = 0) -> Draft:
    return Draft("accept", f"reason {number}", Target("h", f"{number:032x}"), owner="ops", until="2030-01-01")


def rows(path: Path) -> list[Row]:
    with VerdictLog.open(path, read_only=True) as log:
        return list(log.rows())


def tamper(path: Path, change: Callable[[sqlite3.Connection], object]) -> None:
    """Change rows as somebody does who has the file and knows SQLite."""
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER only_added")
    connection.execute("DROP TRIGGER none_removed")
    change(connection)
    connection.commit()
    connection.close()


@given(drafts)
def test_a_verdict_comes_back_from_its_bytes(draft: Draft) -> None:
    verdict = Verdict(**{name: getattr(draft, name) for name in Draft.__slots__}, seq=3, at=AT, author="alice")
    assert decode(encode(verdict)) == verdict


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(25), deadline=None)
@given(history=st.lists(drafts, min_size=1, max_size=6), cut=st.integers(0, 6))
def test_any_history_comes_back_in_any_prefix_and_goes_on_from_any_place(
    tmp_path: Path, history: list[Draft], cut: int
) -> None:
    path = tmp_path / FILE_NAME
    path.unlink(missing_ok=True)
    with VerdictLog.open(path) as log:
        given_ = [verdict for draft in history for verdict in log.append([draft], at=AT, author="alice")]
        whole = list(log.verdicts())
        assert [verdict for verdict, _ in whole] == given_
        assert [verdict.seq for verdict in given_] == list(range(1, len(history) + 1))
        upto = min(cut, len(history))
        assert list(log.verdicts(upto=upto)) == whole[:upto]
        after = whole[upto - 1][1] if upto else Head()
        assert list(log.verdicts(after)) == whole[upto:]
        assert log.head() == whole[-1][1]
        assert list(check(log.rows(), [Anchor(head, "a scan") for _, head in whole])) == []
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


TAMPERING = ["body", "hash", "both", "delete", "swap", "cut", "rewrite"]


@pytest.mark.parametrize("kind", TAMPERING)
@pytest.mark.parametrize("at", [1, 3, 5])
def test_any_row_that_is_changed_removed_or_reordered_is_found_and_named(tmp_path: Path, kind: str, at: int) -> None:
    path = tmp_path / FILE_NAME
    with VerdictLog.open(path) as log:
        for number in range(5):
            log.append([a_draft(number)], at=AT, author="alice")
        heads = [head for _, head in log.verdicts()]
    anchors = [Anchor(heads[2], "scan 7"), Anchor(heads[4], "the ledger")]
    before = {row.seq: row for row in rows(path)}
    forged = before[at].body.replace(b'"ops"', b'"eve"')

    def change(connection: sqlite3.Connection) -> None:
        if kind == "body":
            connection.execute("UPDATE verdicts SET body = ? WHERE seq = ?", (forged, at))
        elif kind == "hash":
            connection.execute("UPDATE verdicts SET hash = ? WHERE seq = ?", ("f" * 64, at))
        elif kind == "both":  # a row that fits its own hash
            hashed = link(before[at - 1].hash if at > 1 else Head().hash, at, forged)
            connection.execute("UPDATE verdicts SET body = ?, hash = ? WHERE seq = ?", (forged, hashed, at))
        elif kind == "delete":
            connection.execute("DELETE FROM verdicts WHERE seq = ?", (at,))
        elif kind == "swap":
            other = at % 5 + 1
            for seq, row in ((at, before[other]), (other, before[at])):
                connection.execute("UPDATE verdicts SET body = ?, hash = ? WHERE seq = ?", (row.body, row.hash, seq))
        elif kind == "cut":
            connection.execute("DELETE FROM verdicts WHERE seq >= ?", (at,))
        else:  # the whole chain anew from there on, by somebody who knows how
            behind = before[at - 1].hash if at > 1 else Head().hash
            for seq in range(at, 6):
                body = forged if seq == at else before[seq].body
                behind = link(behind, seq, body)
                connection.execute("UPDATE verdicts SET body = ?, hash = ? WHERE seq = ?", (body, behind, seq))

    assert list(check(rows(path), anchors)) == []
    tamper(path, change)
    problems = list(check(rows(path), anchors))
    named = {at, at + 1} if kind in ("both", "hash") else {at}
    if kind == "rewrite":  # only what was noted elsewhere shows it, at the next note behind the row
        named = {3, 5} if at <= 3 else {5}
    assert any(f"row {row}:" in one or f"rows {row} to" in one for one in problems for row in named), problems
    with VerdictLog.open(path, read_only=True) as log:
        if kind in ("cut", "rewrite") or (kind in ("delete", "both") and at == 5):
            list(log.verdicts())  # a chain in itself; the ledger's notes are what shows it
        else:
            with pytest.raises(LedgerError, match="audit verify"):
                list(log.verdicts())


def test_rows_are_only_added(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with VerdictLog.open(path) as log:
        log.append([a_draft()], at=AT, author="alice")
    connection = sqlite3.connect(path)
    for statement in ("UPDATE verdicts SET hash = 'x'", "DELETE FROM verdicts"):
        with pytest.raises(sqlite3.IntegrityError, match="only added"):
            connection.execute(statement)
    connection.close()


def test_several_verdicts_are_all_there_or_none(tmp_path: Path) -> None:
    with VerdictLog.open(tmp_path / FILE_NAME) as log:
        with pytest.raises(LedgerError, match="no verdict 7"):
            log.append([a_draft(), Draft("undo", "", undoes=7)], at=AT, author="alice")
        assert log.head() == Head()


def test_what_is_no_log_of_ours_or_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with pytest.raises(LedgerError, match="no verdicts yet"):
        VerdictLog.open(path, read_only=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.commit()
    with pytest.raises(LedgerError, match="not a log of verdicts"):
        VerdictLog.open(path)
    connection.close()
    path.write_bytes(b"rubbish" * 500)
    with pytest.raises(LedgerError, match="damaged"):
        VerdictLog.open(path)
    path.unlink()
    VerdictLog.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.commit()
    connection.close()
    with pytest.raises(UnknownSchema, match="newer version"):
        VerdictLog.open(path)


WRITER = """
import sys
from pathlib import Path
from typing import Any
from pipeline.review.log import VerdictLog
from pipeline.review.verdict import Draft, Target
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(count):
    with VerdictLog.open(path) as log:
        log.append([Draft("approve", f"{name} {number}", Target("h", "0" * 32))] * 2, at="2026-11-29T12:00:00Z",
                   author=name)
    print(number, flush=True)
"""


def writer(path: Path, name: str, count: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_several_processes_write_side_by_side_from_the_first_moment_on(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    writers = [writer(path, name, 15) for name in ("a", "b", "c")]
    for one in writers:
        _, said = one.communicate(timeout=60)
        assert one.returncode == 0, said.decode()
    with VerdictLog.open(path, read_only=True) as log:
        verdicts = [verdict for verdict, _ in log.verdicts()]
        assert list(check(log.rows())) == []
    assert len(verdicts) == 90
    for name in ("a", "b", "c"):
        own = [verdict.reason for verdict in verdicts if verdict.author == name]
        assert own == [f"{name} {number // 2}" for number in range(30)]


@pytest.mark.parametrize("statements", range(6))  # then it has begun to make it itself
def test_a_log_that_another_process_makes_meanwhile_is_no_stranger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: int
) -> None:
    """It is made between two statements of the one that opens it, wherever that is."""
    path, plain = tmp_path / FILE_NAME, sqlite3.connect
    left = statements

    class Between(sqlite3.Connection):
        def execute(self, statement: str, /, *values: Any) -> sqlite3.Cursor:
            nonlocal left
            if left == 0:
                VerdictLog.open(path).close()
            left -= 1
            return super().execute(statement, *values)

    def connect(*place: Any, **options: Any) -> sqlite3.Connection:
        monkeypatch.setattr(sqlite3, "connect", plain)
        return plain(*place, **options, factory=Between)

    monkeypatch.setattr(sqlite3, "connect", connect)
    with VerdictLog.open(path) as log:
        assert left < 0
        assert list(log.verdicts()) == []


def test_a_writer_that_is_killed_at_any_moment_leaves_the_chain_intact_and_what_it_was_told_is_stored(
    tmp_path: Path,
) -> None:
    path = tmp_path / FILE_NAME
    confirmed = 0
    for attempt in range(12):
        one = writer(path, f"w{attempt}", 10_000)
        assert one.stdout is not None
        first = one.stdout.readline()  # it writes: killed from here on, each time a little later
        time.sleep(0.004 * attempt)
        os.kill(one.pid, signal.SIGKILL)
        said = [first, *one.stdout.read().splitlines()]
        one.wait()
        confirmed += 2 * len(said)
        with VerdictLog.open(path, read_only=True) as log:
            assert list(check(log.rows())) == []
            count = log.head().seq
        assert count >= confirmed and count % 2 == 0
        confirmed = count
    with VerdictLog.open(path) as log:
        assert log.append([a_draft()], at=AT, author="z")[0].seq == confirmed + 1
