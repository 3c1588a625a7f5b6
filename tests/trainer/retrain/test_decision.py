"""Who may answer: a gain that chance does not give, and no frozen score that falls."""

import copy
import json
import random
from dataclasses import replace
from typing import Any

import pytest

from pipeline.models.embedded import EMBEDDED_MODEL
from trainer.retrain.decision import Measured, decide, fallen, paired_gain

CARD: dict[str, Any] = json.loads((EMBEDDED_MODEL / "manifest.json").read_bytes())["record"]["scorecards"]["onnx"]


def agreed(right: int, total: int = 40, first: int = 0) -> dict[str, bool]:
    return {f"s{number}": first <= number < first + right for number in range(total)}


def measured(right: int, card: dict[str, Any] | None = None, total: int = 40) -> Measured:
    return of(agreed(right, total), card or CARD)


def of(answers: dict[str, bool], card: dict[str, Any] = CARD) -> Measured:
    return Measured("d", "m", answers, card, card["holdouts"])


def changed(path: tuple[str, ...], factor: float) -> dict[str, Any]:
    card = copy.deepcopy(CARD)
    place = card["holdouts"]["instance"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] *= factor
    return card


def test_a_candidate_that_agrees_far_more_often_is_promoted() -> None:
    decision = decide(measured(20), measured(34), least=8, seed=1)
    assert decision.promote
    assert "went from 50.0% to 85.0%" in decision.reason


def test_a_gain_that_chance_can_give_is_none() -> None:
    decision = decide(measured(20), measured(22), least=8, seed=1)
    assert not decision.promote
    assert "chance can give" in decision.reason


def test_as_many_gains_as_losses_are_no_gain() -> None:
    decision = decide(of(agreed(20)), of(agreed(20, first=20)), least=8, seed=1)
    assert not decision.promote and decision.gain.mean == 0
    assert (decision.gain.better, decision.gain.worse) == (20, 20)


def test_a_candidate_that_agrees_less_often_is_kept_out() -> None:
    assert not decide(measured(34), measured(20), least=8, seed=1).promote


@pytest.mark.parametrize("path", [("valid",), ("selection", "f1"), ("level_kappa",), ("action",), ("techniques", "f1")])
def test_a_frozen_score_may_fall_by_a_hundredth_and_no_more(path: tuple[str, ...]) -> None:
    assert decide(measured(20), measured(34, changed(path, 0.992)), least=8, seed=1).promote
    decision = decide(measured(20), measured(34, changed(path, 0.988)), least=8, seed=1)
    assert not decision.promote
    assert "fell from" in decision.reason and len(decision.falls) == 1


def test_speed_and_length_are_no_scores() -> None:
    card = changed(("milliseconds", "p50"), 0.1)
    card["holdouts"]["class"]["characters"] = 1
    assert fallen(CARD["holdouts"], card["holdouts"]) == {}


def test_only_the_scores_of_what_nobody_decided_otherwise_count() -> None:
    low = changed(("techniques", "f1"), 0.9)
    assert decide(measured(20), replace(measured(34), scorecard=low), least=8, seed=1).promote
    decision = decide(measured(20), replace(measured(34), compared=low["holdouts"]), least=8, seed=1)
    assert not decision.promote and "instance: techniques, F1" in decision.falls


def test_a_trace_of_a_hostile_text_keeps_a_candidate_out() -> None:
    card = copy.deepcopy(CARD)
    card["hostile"]["said"] = ["x: y"]
    decision = decide(measured(20), measured(34, card), least=8, seed=1)
    assert not decision.promote and "hostile" in decision.reason


def test_an_answer_that_does_not_repeat_keeps_a_candidate_out() -> None:
    card = copy.deepcopy(CARD)
    card["repeated"]["same"] -= 1
    assert not decide(measured(20), measured(34, card), least=8, seed=1).promote


def test_too_few_held_out_verdicts_decide_nothing() -> None:
    decision = decide(measured(0, total=7), measured(7, total=7), least=8, seed=1)
    assert not decision.promote and decision.reason.startswith("only 7 verdicts")


def test_models_that_were_asked_different_things_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different situations"):
        paired_gain(agreed(1, 3), agreed(1, 4), 1)
    card = copy.deepcopy(CARD)
    card["data"]["cases"] = "others"
    with pytest.raises(ValueError, match="different holdouts"):
        decide(measured(1), measured(2, card), least=1, seed=1)
    fewer = changed(("cases",), 0.5)["holdouts"]
    with pytest.raises(ValueError, match="different holdouts"):
        decide(measured(1), replace(measured(2), compared=fewer), least=1, seed=1)


@pytest.mark.parametrize(("better", "worse", "total"), [(6, 1, 24), (3, 0, 20), (10, 8, 60), (0, 5, 30), (40, 0, 40)])
def test_the_interval_is_that_of_drawing_situations_one_by_one(better: int, worse: int, total: int) -> None:
    before = {f"s{number}": better <= number < better + worse for number in range(total)}
    after = {f"s{number}": number < better for number in range(total)}
    gain = paired_gain(before, after, seed=3)
    rng = random.Random(5)
    differences = [after[name] - before[name] for name in before]
    means = sorted(sum(rng.choices(differences, k=total)) / total for _ in range(4000))
    # A step of the interval is one situation; two samples of resamples may differ by that.
    assert gain.low == pytest.approx(means[100], abs=1.5 / total)
    assert gain.high == pytest.approx(means[3899], abs=1.5 / total)
    assert gain.mean == pytest.approx((better - worse) / total)


def test_the_same_numbers_and_seed_give_the_same_interval() -> None:
    assert paired_gain(agreed(20), agreed(25), 7) == paired_gain(agreed(20), agreed(25), 7)
