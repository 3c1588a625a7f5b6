"""A scorecard says what was right, what was wrong and why, and is the same for the same answers."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.analysis.prompt import Case, render_prompt, render_response
from pipeline.engine.errors import Unfinished
from pipeline.scorecard.evaluate import digest_of, evaluate, respond_all, respond_with
from pipeline.scorecard.holdouts import read_holdouts
from tests.pipeline.scorecard.speakers import Speaker, Teacher, plainly

HOLDOUTS = read_holdouts().limited(60)
CASES = HOLDOUTS.cases["instance"]
RIGHT = {render_prompt(one.case): render_response(one.answer) for one in CASES}


def altered(change: Callable[[dict[str, object], Case], object]) -> Callable[[Case], str]:
    """Answer rightly but for what is changed in the body."""

    def respond(case: Case) -> str:
        body = json.loads(RIGHT[render_prompt(case)])
        change(body, case)
        return json.dumps(body)

    return respond


def test_the_teacher_makes_no_mistake() -> None:
    card = evaluate(respond_with(Teacher(CASES)), CASES, HOLDOUTS.nearest)
    assert (card.valid, card.grounded, card.errors) == (1, 1, {})
    agreement = card.agreement
    assert agreement.selection.f1 == agreement.controls.f1 == agreement.techniques.f1 == 1
    assert agreement.level_kappa == agreement.level == agreement.action == 1
    assert card.characters == sum(map(len, RIGHT.values())) / len(CASES)
    assert card.baseline is not None
    assert 0.5 < card.baseline.selection.f1 < 1


def test_a_model_that_selects_nothing_has_no_recall() -> None:
    agreement = evaluate(respond_with(Speaker(plainly)), CASES).agreement
    assert (agreement.selection.recall, agreement.selection.f1) == (0, 0)
    assert agreement.level == sum(one.answer.level == one.case.floor for one in CASES) / len(CASES)
    assert agreement.action == sum(one.answer.remediation is None for one in CASES) / len(CASES)


def test_a_model_that_takes_everything_has_all_the_recall() -> None:
    def everything(body: dict[str, object], case: Case) -> None:
        body["techniques"] = "".join(f" {one}" for one in case.techniques)

    agreement = evaluate(altered(everything), CASES).agreement
    assert agreement.techniques.recall == 1
    wanted = sum(len(one.answer.techniques) for one in CASES)
    assert agreement.techniques.precision == wanted / sum(len(one.case.techniques) for one in CASES)
    assert agreement.controls.f1 == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "no answer: not JSON"), ("{}", "no answer: not an object with the keys of an answer, in their order")],
)
def test_what_is_no_answer_counts_against_everything(text: str, reason: str) -> None:
    card = evaluate(lambda case: text, CASES)
    assert (card.valid, card.grounded, card.errors) == (0, 0, {reason: len(CASES)})
    assert (card.agreement.selection.f1, card.agreement.action) == (0, 0)
    assert card.agreement.level == sum(one.answer.level == one.case.floor for one in CASES) / len(CASES)


def test_an_engine_that_fails_is_one_more_reason() -> None:
    def fail(case: Case) -> str:
        raise Unfinished("the answer is not complete after 256 tokens")

    assert evaluate(fail, CASES).errors == {"no answer: Unfinished": len(CASES)}


def test_an_answer_that_critique_refuses_is_valid_and_not_grounded() -> None:
    def invent(body: dict[str, object], case: Case) -> None:
        body["impact"] = "As CVE-2024-12345 shows."

    card = evaluate(altered(invent), CASES)
    assert (card.valid, card.grounded) == (1, 0)
    assert card.errors == {"a number or an id that the case does not hold": len(CASES)}
    assert card.agreement.selection.f1 == 1


def test_reasons_that_differ_in_a_number_are_one() -> None:
    def long(body: dict[str, object], case: Case) -> None:
        body["impact"] = "a" * (200 + len(case.features)) + "."

    assert list(evaluate(altered(long), CASES).errors) == ["no answer: impact"]


def test_only_times_differ_between_two_runs() -> None:
    one, other = (evaluate(respond_with(Teacher(CASES)), CASES, HOLDOUTS.nearest) for _ in range(2))
    assert replace(one, ms_p50=0, ms_p95=0) == replace(other, ms_p50=0, ms_p95=0)
    body = json.loads(json.dumps(one.as_json()))
    assert body.pop("milliseconds").keys() == {"p50", "p95"}
    assert body["selection"] == {"precision": 1, "recall": 1, "f1": 1}


def test_the_digest_covers_texts_and_their_order() -> None:
    cases = [one.case for one in CASES]
    responses = respond_all(respond_with(Teacher(CASES)), cases)
    assert digest_of(responses) == digest_of([replace(one, milliseconds=0) for one in responses])
    assert digest_of(responses) != digest_of(responses[::-1])
    assert digest_of(responses) != digest_of([replace(responses[0], text="x"), *responses[1:]])
    assert digest_of([replace(responses[0], text=text) for text in ("ab", "c")]) != digest_of(
        [replace(responses[0], text=text) for text in ("a", "bc")]
    )


def test_how_far_it_is_is_told() -> None:
    told: list[int] = []
    evaluate(respond_with(Teacher(CASES)), CASES, advance=told.append)
    assert told == list(range(1, len(CASES) + 1))
