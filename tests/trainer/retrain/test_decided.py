"""Which frozen cases are left out of the comparison: those that a verdict contradicts, and never many of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.analysis.prompt import Case
from pipeline.analysis.question import Answer, Question
from pipeline.output.records import EnrichedFinding
from pipeline.review.chain import Head
from pipeline.review.verdict import Correction, Draft, Situation
from pipeline.scorecard.cases import GoldCase
from pipeline.scorecard.holdouts import read_holdouts
from tests.trainer.retrain.reviewers import drafts, knowledge, reviewed, write_log
from trainer.retrain.data import preview
from trainer.retrain.decided import decided, right_of, too_many
from trainer.retrain.lessons import Lesson
from trainer.retrain.retained import Said
from trainer.settings import RetrainSettings

FROZEN = read_holdouts().cases


def frozen_case(holds: Callable[[Case], bool]) -> GoldCase:
    return next(one for one in FROZEN["instance"] if holds(one.case))


GOLD = frozen_case(lambda case: len(case.features) > 0 and case.status == "open" and case.floor == "low")


def lesson(gold: GoldCase, right: Said, shown: Said, situation: str = "another", seq: int = 1) -> Lesson:
    """Have a reviewer look at a sister of a frozen case: same scanner, status and features, another class."""
    case = gold.case
    asked = Question(
        key="", situation=situation, class_id=case.class_id.partition(".")[0] + ".sister", candidates=(),
        status="open", floor="low", features=dict(case.features), context=(), representative=0,
        controls=case.controls, techniques=case.techniques, evidence=True, actions=case.actions,
    )  # fmt: skip
    return Lesson(asked, "low", shown, right, right != shown, False, seq, "ada")


def places(trained: list[Lesson], others: list[Lesson], *gold: GoldCase) -> tuple[int, ...]:
    return decided(trained, [*trained, *others], {"instance": gold})["instance"]


KEY = right_of(GOLD)
RAISED = replace(KEY, level="critical")


def test_a_case_like_a_carried_correction_that_changes_its_key_is_decided_otherwise() -> None:
    assert places([lesson(GOLD, RAISED, KEY)], [], GOLD) == (0,)


def test_a_case_whose_key_says_what_the_reviewer_wants_is_compared() -> None:
    answer: Answer = replace(GOLD.answer, level="critical")
    assert places([lesson(GOLD, RAISED, KEY)], [], replace(GOLD, answer=answer)) == ()


def test_an_approval_decides_nothing() -> None:
    assert places([lesson(GOLD, KEY, KEY)], [], GOLD) == ()


def test_a_correction_that_is_not_trained_on_decides_nothing_but_its_own_situation() -> None:
    held_out = lesson(GOLD, RAISED, KEY)
    assert places([], [held_out], GOLD) == ()
    own = lesson(GOLD, RAISED, KEY, situation=GOLD.situation)
    assert places([], [own], GOLD, replace(GOLD, situation="a sister of it")) == (0,)


def test_a_disputed_correction_decides_nothing() -> None:
    against = lesson(GOLD, KEY, KEY, situation="third", seq=2)
    assert places([lesson(GOLD, RAISED, KEY), against], [], GOLD) == ()


def test_another_kind_of_case_is_compared() -> None:
    case = replace(GOLD.case, features={**GOLD.case.features, next(iter(GOLD.case.features)): "else"})
    assert places([lesson(GOLD, RAISED, KEY)], [], replace(GOLD, case=case)) == ()


def test_what_a_case_does_not_offer_makes_no_difference() -> None:
    case = replace(GOLD.case, techniques=())
    gold = replace(GOLD, case=case, answer=replace(GOLD.answer, techniques=()))
    more = replace(KEY, techniques=(*KEY.techniques, "T1005"))
    assert places([], [lesson(GOLD, more, KEY, situation=GOLD.situation)], gold) == ()


@pytest.mark.parametrize(("number", "refused"), [(32, False), (33, True)])
def test_more_than_a_small_share_of_a_holdout_is_too_many(number: int, refused: bool) -> None:
    said = too_many({"class": 0, "instance": number}, {"class": 400, "instance": 400})
    assert (said is not None) == refused
    if said is not None:
        assert f"{number} of the 400 cases of the instance holdout" in said and "\n" not in said


def test_a_reviewer_who_contradicts_everything_cannot_empty_the_comparison() -> None:
    """Of every open frozen case with features there is a verdict on a like one, so nothing is trained."""
    trained = [
        lesson(one, replace(right_of(one), level="critical", techniques=()), right_of(one), f"s{number}", number)
        for number, one in enumerate(FROZEN["instance"])
        if one.case.features
    ]
    found = decided(trained, trained, FROZEN)
    counts = {holdout: len(found[holdout]) for holdout in found}
    assert counts["instance"] > 100
    assert too_many(counts, {holdout: len(cases) for holdout, cases in FROZEN.items()}) is not None


def test_the_outlook_counts_them(tmp_path: Path) -> None:
    def severe(record: EnrichedFinding, situation: Situation) -> Draft:
        return Draft("correct", "worse than that", correction=Correction(level="high"))

    given = write_log(tmp_path, drafts(reviewed(), severe))
    counts = preview(given, Head(len(given), "h"), knowledge(), RetrainSettings())
    assert counts["frozen"] == {"instance": 400, "class": 400}
    assert 0 < counts["decided_otherwise"]["instance"] < 33
