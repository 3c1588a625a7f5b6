"""Deciding on condition that nobody has decided on the same: also when somebody does between looking and storing."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from daemon.ledger import Ledger
from daemon.ledger.retained import Filter
from daemon.review.deciding import Decision, Overtaken, Unfit, decided_since, give, undo
from daemon.review.queue import AT_STAKE, Ambiguous, NotFound, Queue
from pipeline.review.chain import Head
from pipeline.review.log import FILE_NAME, LogMoved, VerdictLog
from pipeline.review.verdict import MAX_TEXT, Correction, Draft, Target, Verdict
from tests.daemon.cli.invoke import REPORT, in_a_process

AT = "2026-11-29T12:00:00Z"


class Overtaking(VerdictLog):
    """A log that somebody else appends to just before we do."""

    theirs: Draft | None = None

    def append(self, drafts: Sequence[Draft], *, at: str, author: str, behind: Head | None = None) -> list[Verdict]:
        theirs, self.theirs = self.theirs, None
        if theirs is not None:
            with VerdictLog.open(self.path) as other:
                other.append([theirs], at=AT, author="bob")
        return super().append(drafts, at=at, author=author, behind=behind)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("scanned")
    (directory / "in").mkdir()
    shutil.copy(REPORT, directory / "in")
    ended = in_a_process(
        "run", "--once", "-w", str(directory / "in"), "--state-dir", str(directory / "state"),
        SYSSCAN_MODEL__ENABLED="false",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    return directory / "state"


@pytest.fixture
def desk(scanned: Path, tmp_path: Path) -> Iterator[tuple[Queue, Overtaking, list[Any]]]:
    """A queue, its log, and what is to be reviewed, the worst first."""
    with (
        Ledger.open(scanned, clock=lambda: 0.0, read_only=True, exclusive=False) as ledger,
        Overtaking.open(tmp_path / FILE_NAME) as log,
    ):
        assert isinstance(log, Overtaking)
        yield Queue(ledger, log, AT), log, ledger.reviews.findings(Filter(statuses=AT_STAKE))


def test_who_is_overtaken_between_looking_and_storing_is_told_and_nothing_is_stored(desk: Any) -> None:
    queue, log, rows = desk
    aim = queue.aim(rows[0], "host")
    log.theirs = Draft("false_positive", "ours", Target(rows[0].host, rows[0].fingerprint))
    with pytest.raises(Overtaken) as told:
        give(queue, log, Decision("approve"), [aim], at=AT, author="alice", since=0)
    assert [(one.seq, one.author) for one in told.value.verdicts] == [(1, "bob")] and log.head().seq == 1
    assert [one.seq for one in give(queue, log, Decision("approve"), [aim], at=AT, author="alice", since=1)] == [2]


def test_who_is_overtaken_on_something_else_decides_all_the_same_in_one_step(desk: Any) -> None:
    queue, log, rows = desk
    other = next(row for row in rows if row.situation != rows[0].situation)
    log.theirs = Draft("false_positive", "ours", Target(other.host, other.fingerprint))
    (verdict,) = give(queue, log, Decision("approve"), [queue.aim(rows[0], "host")], at=AT, author="alice", since=0)
    assert verdict.seq == 2 and [one.author for one in queue.verdicts] == ["bob", "alice"]


def test_a_command_which_has_not_looked_is_not_held_up(desk: Any) -> None:
    queue, log, rows = desk
    log.theirs = Draft("false_positive", "ours", Target(rows[0].host, rows[0].fingerprint))
    (verdict,) = give(queue, log, Decision("correct", "r", Correction("low")), [queue.aim(rows[0], "host")], at=AT,
                      author="alice")  # fmt: skip
    assert verdict.seq == 2


def test_to_approve_looks_at_what_counts_when_it_is_stored(desk: Any) -> None:
    """Not at what counted when it was drawn: it would open what somebody has settled."""
    queue, log, rows = desk
    log.theirs = Draft("false_positive", "ours", Target(rows[0].host, rows[0].fingerprint))
    with pytest.raises(Ambiguous, match="verdict 1 has settled it"):
        give(queue, log, Decision("approve"), [queue.aim(rows[0], "finding")], at=AT, author="alice")
    assert log.head().seq == 1


def test_an_undo_of_an_undo_reaches_what_the_first_was_about(desk: Any) -> None:
    queue, log, rows = desk
    aim = queue.aim(rows[0], "everywhere")
    give(queue, log, Decision("approve"), [aim], at=AT, author="a")
    undo(queue, log, [1], reason="", at=AT, author="a")
    undo(queue, log, [2], reason="", at=AT, author="a")
    assert [one.seq for one in decided_since(queue, [queue.aim(rows[0], "finding")], 1)] == [2, 3]
    other = next(row for row in rows if row.class_id != rows[0].class_id)
    assert decided_since(queue, [queue.aim(other, "everywhere")], 0) == []
    with pytest.raises(Overtaken):
        undo(queue, log, [1], reason="", at=AT, author="b", since=1)
    with pytest.raises(NotFound, match="there is no verdict 9"):
        undo(queue, log, [9], reason="", at=AT, author="b")


def test_an_entry_is_taken_only_where_the_log_ends_as_it_was_read(desk: Any) -> None:
    _, log, rows = desk
    draft = Draft("approve", "", Target(rows[0].host, rows[0].fingerprint))
    log.append([draft], at=AT, author="a", behind=Head())
    with pytest.raises(LogMoved):
        log.append([draft], at=AT, author="a", behind=Head())
    with pytest.raises(LogMoved):
        log.append([draft], at=AT, author="a", behind=Head(1, "0" * 64))  # a log that was written anew
    assert log.head().seq == 1


@pytest.mark.parametrize(
    ("decision", "field"),
    [
        (Decision("false_positive", "  "), "reason"),
        (Decision("approve", "x" * (MAX_TEXT + 1)), "reason"),
        (Decision("approve", "\udcff"), "reason"),
        (Decision("accept", "r", until=""), "until"),
        (Decision("accept", "r", until="2026-11-28"), "until"),
        (Decision("accept", "r", until="2026-13-01"), "until"),
        (Decision("accept", "r", owner="\udcff", until="2030-01-01"), "owner"),
        (Decision("correct", "r"), "to-level"),
    ],
)
def test_what_makes_no_verdict_is_named(decision: Decision, field: str) -> None:
    with pytest.raises(Unfit) as told:
        decision.checked(AT)
    assert told.value.field == field


def test_what_makes_one_is_stored_in_one_form() -> None:
    said = Decision("accept", " a \n b ", owner=" ops ", until="20300101").checked(AT)
    assert (said.reason, said.owner, said.until) == ("a b", "ops", "2030-01-01")
    assert Decision("accept", "r", until="2026-11-29", owner=" ").checked(AT).owner is None  # today still counts
