"""Saved lines are brought up to date by the records of verdicts beside them, as the daemon's next scan would say it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline.errors import RecordError
from pipeline.output.latest import ToldVerdicts
from pipeline.output.read import read_finding
from pipeline.output.records import EnrichedFinding, VerdictRecord, VerdictsInUse
from pipeline.output.superseding import OutAlready, Reach, verdict_record
from pipeline.review.chain import Head
from pipeline.review.standing import Standing, situation_of
from pipeline.review.verdict import Correction, Draft, Situation, Target, Verdict
from pipeline.rules.policy import Policy
from tests.pipeline.sessions import lines_of, report, session_of, shared

AT = "2026-11-20T12:00:00Z"
SCAN = "web01-ioc.json"


def verdicts(*drafts: Draft) -> list[Verdict]:
    return [
        Verdict(**{name: getattr(draft, name) for name in Draft.__slots__}, seq=number, at=AT, author="eve")
        for number, draft in enumerate(drafts, 1)
    ]


def judged(given: Sequence[Verdict] = ()) -> dict[str, EnrichedFinding]:
    """The findings of a scan as they are judged with verdicts, by dedupe key."""
    standing = Standing(given, Head(given[-1].seq, f"{given[-1].seq:064x}") if given else Head())
    session = session_of(report(SCAN), shared(), {}, standing=standing)
    return {one.dedupe_key: one for one in (read_finding(line.line) for line in lines_of(session))}


def situations() -> dict[str, Situation]:
    members = session_of(report(SCAN), shared(), {}).index.members
    return {member.dedupe_key: situation_of(member.classified) for member in members}


def told(given: Sequence[Verdict], named: int = 100) -> list[VerdictRecord]:
    """The records of verdicts as the daemon writes them, naming at most so many findings each."""
    before, spelt = judged(), situations()
    records = []
    for verdict in given:
        about = verdict if verdict.undoes is None else given[verdict.undoes - 1]
        target = about.target
        reached = [
            OutAlready(line, spelt[key], (key,))
            for key, line in before.items()
            if line.fingerprint == target.fingerprint
            or (target.situation is not None and target.situation.covers(spelt[key]))
        ]
        digests = tuple({one.line.analysis.situation for one in reached})
        earlier, standing = Standing(given[: verdict.seq - 1]), Standing(given[: verdict.seq])
        head = Head(verdict.seq, f"{verdict.seq:064x}")
        reach = Reach(len(reached), len(reached), 1, digests if target.fingerprint is None else ())
        records.append(verdict_record(verdict, about, head, earlier, standing, reached[:named], reach, Policy()))
    return records


def an(status: str = "open", **features: str) -> tuple[EnrichedFinding, Situation]:
    """A finding of the scan in this status, and its situation."""
    spelt = situations()
    line = next(one for one in judged().values() if one.status == status and one.remediation and one.compliance)
    return line, spelt[line.dedupe_key]


def drafts() -> dict[str, list[Draft]]:
    line, situation = an()
    one = Target(host=line.host, fingerprint=line.fingerprint)
    alike = Target(host=line.host, situation=situation)
    everywhere = Target(situation=situation)
    accept = Draft("accept", "replaced soon", one, owner="ops", until="2027-01-31")
    lower = Draft("correct", "seen before", alike, Correction(level="low", assessment="It is ours.", impact="None."))
    return {
        "approve": [Draft("approve", "right", one)],
        "accept": [accept],
        "accept a situation": [replace(accept, target=alike)],
        "false positive everywhere": [Draft("false_positive", "a test", everywhere)],
        "correct": [lower],
        "correct, then accept": [lower, accept],
        "accept, then undo": [accept, Draft("undo", "no", undoes=1)],
        "correct, accept, undo the acceptance": [lower, accept, Draft("undo", "no", undoes=2)],
    }


@pytest.mark.parametrize("named", [100, 0])
@pytest.mark.parametrize("case", list(drafts()))
def test_a_line_from_before_a_verdict_says_what_one_from_after_it_says(case: str, named: int) -> None:
    """Whether the record has room to name the finding or not."""
    given = verdicts(*drafts()[case])
    after, book = judged(given), ToldVerdicts(told(given, named))
    changed = 0
    for key, line in judged().items():
        now, wanted = book.latest(line), after[key]
        assert (now.status, now.risk.level, now.risk.score) == (wanted.status, wanted.risk.level, wanted.risk.score)
        assert (now.suppression, now.review, now.class_) == (wanted.suppression, wanted.review, wanted.class_)
        assert (now.compliance, now.remediation) == (wanted.compliance, wanted.remediation)
        assert (now.analysis.origin, now.analysis.assessment) == (wanted.analysis.origin, wanted.analysis.assessment)
        changed += now is not line
    assert changed


@pytest.mark.parametrize("case", list(drafts()))
def test_a_line_that_was_judged_with_them_stays_as_it_is(case: str) -> None:
    given = verdicts(*drafts()[case])
    book = ToldVerdicts(told(given))
    assert all(book.latest(line) is line for line in judged(given).values())


def test_what_was_brought_up_to_date_is_not_brought_up_to_date_again() -> None:
    given = verdicts(*drafts()["correct, then accept"])
    book = ToldVerdicts(told(given))
    now = [book.latest(line) for line in judged().values()]
    assert [book.latest(line) for line in now] == now


def test_a_later_line_of_the_situation_is_superseded_although_no_record_names_it() -> None:
    line, situation = an()
    given = verdicts(Draft("false_positive", "a test", Target(situation=situation)))
    later = replace(line, host="db09", fingerprint="0" * 32, dedupe_key="1" * 32)
    now = ToldVerdicts(told(given)).latest(later)
    assert (now.status, now.risk.level) == ("false_positive", "info")
    assert {control.evidence for control in now.compliance} == {"none"}


def test_an_acceptance_that_was_taken_back_leaves_the_finding_open() -> None:
    line, _ = an()
    given = verdicts(*drafts()["accept, then undo"])
    accepted = ToldVerdicts(told(given)[:1]).latest(line)
    assert accepted.status == "accepted"
    back = ToldVerdicts(told(given)).latest(accepted)
    assert (back.status, back.risk.level, back.suppression, back.review) == ("open", line.risk.level, None, None)
    assert back.compliance == line.compliance


def test_an_acceptance_that_had_ended_before_the_scan_settles_nothing() -> None:
    line, _ = an()
    given = verdicts(replace(drafts()["accept"][0], until="2026-11-21"))
    record = replace(told(given)[0], findings=())
    late = replace(line, as_of="2026-11-22T00:00:00Z")
    assert ToldVerdicts([record]).latest(line).status == "accepted"
    assert ToldVerdicts([record]).latest(late).status == "open"


def test_each_of_several_workers_tells_of_the_findings_of_its_own() -> None:
    """Only the record of a worker knows what the policy made of the verdict for its findings."""
    line, situation = an()
    elsewhere = replace(line, host="db09", fingerprint="0" * 32, dedupe_key="1" * 32)
    (here,) = told(verdicts(Draft("false_positive", "a test", Target(situation=situation))))
    named = next(one for one in here.findings if one.fingerprint == line.fingerprint)
    held = replace(
        named, host="db09", fingerprint=elsewhere.fingerprint, status="open", level="high", overruled="policy"
    )
    there = replace(here, dedupe_key="2" * 32, findings=(held,))
    for records in ([here, there], [there, here, there]):
        book = ToldVerdicts(records)
        assert book.latest(line).status == "false_positive"
        now = book.latest(elsewhere)
        assert (now.status, now.risk.level) == ("open", "high") and now.review is not None
        assert now.review.overruled == "policy"
        assert sorted(record.dedupe_key for record in book.records) == sorted([here.dedupe_key, there.dedupe_key])


def test_records_of_two_logs_are_refused() -> None:
    (record,) = told(verdicts(*drafts()["accept"]))
    other = replace(record, head="f" * 64)
    with pytest.raises(RecordError, match=r"verdict 1 stands there in two ways: .* put back to an older copy"):
        ToldVerdicts([record, other])
    ToldVerdicts([record, record])  # delivered twice
    with pytest.raises(RecordError, match="different logs"):
        ToldVerdicts([record]).check(VerdictsInUse(1, "f" * 64))
    ToldVerdicts([record]).check(VerdictsInUse(1, record.head))
