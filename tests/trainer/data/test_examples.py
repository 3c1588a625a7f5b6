"""What is trained on: the train split, or all classes but what the frozen holdouts measure with."""

from collections import Counter
from pathlib import Path

import pytest

from pipeline.analysis.prompt import render_prompt, render_response
from pipeline.scorecard.holdouts import read_holdouts
from tests.trainer.small import make_dataset, taught_cases
from trainer.data.dataset import TaughtCase, write_dataset
from trainer.data.examples import read_training


def test_the_train_split_alone_is_the_default(tmp_path: Path) -> None:
    cases = read_training(make_dataset(tmp_path / "data"), "train")
    assert {case.split for case in cases} == {"train"}
    assert len(cases) == 96


def test_with_all_classes_the_held_out_ones_come_several_times(tmp_path: Path) -> None:
    cases = Counter(case.situation for case in read_training(make_dataset(tmp_path / "data"), "all"))
    assert {count for name, count in cases.items() if name.startswith("train")} == {1}
    late = {count for name, count in cases.items() if name.startswith("holdout")}
    assert len(late) == 1 and min(late) > 1


@pytest.mark.parametrize("same", ["situation", "prompt"])
def test_nothing_that_the_frozen_holdouts_measure_with_is_trained_on(same: str, tmp_path: Path) -> None:
    frozen = read_holdouts().cases["class"][0]
    taken = TaughtCase(
        prompt=render_prompt(frozen.case) if same == "prompt" else "another prompt",
        response=render_response(frozen.answer),
        class_id=frozen.class_id,
        severity=frozen.severity,
        situation=frozen.situation if same == "situation" else "another situation",
        split="holdout",
        case=frozen.case,
    )
    (tmp_path / "data").mkdir()
    write_dataset(tmp_path / "data", [*taught_cases(8, "train"), *taught_cases(2, "holdout"), taken], {"seed": 0})
    assert taken.situation not in {case.situation for case in read_training(tmp_path / "data", "all")}
