"""The log becomes lessons: the latest verdict that stands, one a situation, and what teaches nothing is counted."""

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.analysis.prompt import render_prompt
from pipeline.errors import LedgerError
from pipeline.output.records import EnrichedFinding
from pipeline.review.log import FILE_NAME, VerdictLog
from pipeline.review.verdict import Correction, Draft, Situation, Target
from pipeline.scorecard.holdouts import read_holdouts
from tests.trainer.retrain.reviewers import AT, drafts, knowledge, reviewed, write_log
from trainer.retrain.data import compose, preview
from trainer.retrain.gather import Gathered, Pool, gather, head_of, read_log
from trainer.retrain.retained import Said, Vocabulary
from trainer.settings import RetrainSettings

HIGH = Correction(level="high")


def approve(record: EnrichedFinding, situation: Situation) -> Draft:
    return Draft("approve", "so it is")


def correct(record: EnrichedFinding, situation: Situation) -> Draft:
    return Draft("correct", "worse than that", correction=HIGH)


def gathered(state: Path, pool: Pool | None = None) -> Gathered:
    words = Vocabulary(knowledge(), [one.case for cases in read_holdouts().cases.values() for one in cases])
    head = head_of(state)
    return gather(read_log(state, head.seq), head, words, lambda: pool or {})


def test_an_empty_or_missing_log_has_no_verdicts(tmp_path: Path) -> None:
    assert head_of(tmp_path).seq == 0
    write_log(tmp_path, [])
    assert gathered(tmp_path).lessons == ()


def test_of_two_reviewers_who_disagree_the_latest_counts_and_it_is_said(tmp_path: Path) -> None:
    some = reviewed()[:6]
    write_log(tmp_path, drafts(some, approve), "ada")
    write_log(tmp_path, drafts(some[:2], correct), "ben")
    found = gathered(tmp_path)
    assert found.contradicted == 2
    assert sum(one.corrects for one in found.lessons) == 2
    assert {one.author for one in found.lessons if one.corrects} == {"ben"}


def test_verdicts_of_two_hosts_on_one_situation_make_one_lesson(tmp_path: Path) -> None:
    given = drafts(reviewed()[:3], approve)
    elsewhere = [replace(one, target=Target("db02", None, one.target.situation)) for one in given]
    write_log(tmp_path, [*given, *elsewhere])
    found = gathered(tmp_path)
    assert (len(found.lessons), found.replaced, found.contradicted) == (3, 3, 0)
    assert min(one.seq for one in found.lessons) > 3


def test_a_verdict_that_was_undone_teaches_nothing(tmp_path: Path) -> None:
    write_log(tmp_path, drafts(reviewed()[:3], correct))
    with VerdictLog.open(tmp_path / FILE_NAME) as log:
        log.append([Draft("undo", "a mistake", undoes=2)], at=AT, author="ada")
    assert len(gathered(tmp_path).lessons) == 2


def test_what_teaches_nothing_is_counted_by_reason(tmp_path: Path) -> None:
    write_log(tmp_path / "all", drafts(reviewed(), approve))
    known = {one.question.situation for one in gathered(tmp_path / "all").lessons}  # whose words are in the lists
    some = drafts([one for one in reviewed() if one[2].situation in known][:5], approve)
    accepted = replace(some[0], kind="accept", owner="ada")
    mistaken = replace(some[1], kind="false_positive")
    of_one = replace(some[2], target=Target("web01", "f" * 32))
    write_log(tmp_path, [accepted, mistaken, of_one, replace(some[3], case={}), some[4]])
    found = gathered(tmp_path)
    reasons = {"acceptance": 1, "nothing_raised": 1, "one_finding": 1, "not_retained": 1}
    assert (dict(found.untaught), len(found.lessons)) == (reasons, 1)


def test_a_correction_without_its_question_takes_that_of_a_made_up_host(tmp_path: Path) -> None:
    record, situation, asked = reviewed()[0]
    write_log(tmp_path, drafts([(record, situation, asked)], correct, keep_case=False))
    assert gathered(tmp_path).untaught == {"not_retained": 1}
    said = Said(asked.floor, None, (), ())
    found = gathered(tmp_path, {asked.situation: (asked, said)})
    assert (found.rebuilt, len(found.lessons)) == (1, 1)
    assert found.lessons[0].right.level == "high"


def test_a_log_that_was_tampered_with_teaches_nothing(tmp_path: Path) -> None:
    write_log(tmp_path, drafts(reviewed()[:3], approve))
    path = tmp_path / FILE_NAME
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER only_added")
        connection.execute("UPDATE verdicts SET body = CAST(replace(body, 'approve', 'correct') AS BLOB) WHERE seq = 2")
    with pytest.raises(LedgerError, match="tampered"):
        read_log(tmp_path, 3)


def test_no_situation_and_no_prompt_is_on_both_sides(tmp_path: Path) -> None:
    write_log(tmp_path, drafts(reviewed(), correct))
    settings = RetrainSettings()
    made = compose(gathered(tmp_path), (), {}, knowledge(), settings)
    assert len(made.measured) * 3 >= len(made.measured) + len(made.taught)
    trained = [*made.train, *made.valid]
    held = {one.situation for one in made.measured}
    assert held and not held & {one.situation for one in trained}
    prompts = {case.prompt for case in trained}
    assert made.counts["trained"] == len(made.taught) > 5
    frozen = [one for cases in read_holdouts().cases.values() for one in cases]
    assert not {one.situation for one in frozen} & {one.situation for one in trained}
    assert not prompts & {render_prompt(one.case) for one in made.measured}
    assert compose(gathered(tmp_path), (), {}, knowledge(), settings) == made


def test_what_is_replayed_is_silent_where_reviewers_have_spoken(tmp_path: Path) -> None:
    write_log(tmp_path, drafts(reviewed(), correct))
    found = gathered(tmp_path)
    settings = RetrainSettings()
    taught = compose(found, (), {}, knowledge(), settings).taught
    spoken = next(one for one, _ in taught if one.question.features)
    like = next(case for one, case in taught if one is spoken)
    scanner = like.class_id.partition(".")[0]
    sister = replace(like, situation="of another class", class_id=f"{scanner}.sister", prompt="a sister's")
    sister = replace(sister, case=replace(like.case, class_id=f"{scanner}.sister"))
    other = replace(sister, situation="of another scanner", prompt="another's")
    other = replace(other, class_id="else.where", case=replace(like.case, class_id="else.where"))
    more = [replace(other, situation=f"more {number}", prompt=f"more {number}") for number in range(80)]
    made = compose(found, [sister, other, *more], {}, knowledge(), settings)
    names = {one.situation for one in (*made.train, *made.valid)}
    assert "of another class" not in names
    assert {"of another scanner", "more 79"} <= names


def test_a_correction_is_carried_to_made_up_situations_but_to_none_that_is_measured(tmp_path: Path) -> None:
    write_log(tmp_path, drafts(reviewed(), correct))
    found = gathered(tmp_path)
    settings = RetrainSettings()
    alone = compose(found, (), {}, knowledge(), settings)
    lesson = next(one for one, _ in alone.taught if one.question.features and one.corrects)
    held = next(one for one in alone.measured)
    sister = replace(
        lesson.question, situation="nobody has seen it", features={**lesson.question.features, "more": "x"}
    )
    measured = replace(lesson.question, situation=held.situation)
    made = compose(found, (), {one.situation: (one, lesson.shown) for one in (sister, measured)}, knowledge(), settings)
    assert {one.situation for one, _ in made.carried} == {"nobody has seen it"}
    assert {one.right for one, _ in made.carried} == {lesson.right}
    assert "nobody has seen it" in {one.situation for one in made.train}
    assert made.counts["carried"] == 1 and made.measured == alone.measured


def test_the_outlook_needs_no_synthetic_data(tmp_path: Path) -> None:
    given = write_log(tmp_path, drafts(reviewed(), correct))
    counts = preview(given, head_of(tmp_path), knowledge(), RetrainSettings())
    assert counts["standing"] == len(given)
    assert counts["trained_corrections"] > 5


def test_of_a_class_that_is_hardly_replayed_more_is_replayed_in_other_words(tmp_path: Path) -> None:
    write_log(tmp_path, drafts(reviewed(), approve))
    found = gathered(tmp_path)
    settings = RetrainSettings(most_repeats=1)
    one, case = compose(found, (), {}, knowledge(), settings).taught[0]
    asked = replace(one.question, situation="of a made-up host")
    pool = {asked.situation: (asked, one.shown)}
    made = compose(found, (), pool, knowledge(), settings)
    again = [case for case in made.train if case.situation == "of a made-up host"]
    assert len(again) == made.counts["rare"] > 5
    assert {other.class_id for other in again} == {case.class_id}
    assert len({other.response for other in again} | {other.prompt for other in again}) > 2
    # Not where the replay sample has enough of it, and not against what a reviewer has corrected.
    more = [replace(case, situation=f"more {number}", prompt=f"more {number}") for number in range(200)]
    assert compose(found, more, pool, knowledge(), settings).counts["rare"] == 0
    corrected = tmp_path / "corrected"
    write_log(corrected, drafts(reviewed(), correct))
    assert compose(gathered(corrected), (), pool, knowledge(), settings).counts["rare"] == 0
