"""Tables that say the same as the numbers: on a terminal, in Markdown, as bars."""

import copy
import io
import json
import re
from typing import Any

import pytest
from rich.console import Console

from pipeline.scorecard.evaluate import evaluate, respond_with
from pipeline.scorecard.holdouts import read_holdouts
from pipeline.scorecard.render import MEASURES, bars, markdown, remarks, show
from tests.pipeline.scorecard.speakers import Teacher

HOLDOUTS = read_holdouts().limited(30)


@pytest.fixture
def evaluation() -> dict[str, Any]:
    cards = {
        name: evaluate(respond_with(Teacher(cases)), cases, HOLDOUTS.nearest).as_json()
        for name, cases in HOLDOUTS.cases.items()
    }
    body = {
        "model": {"name": "small", "form": "onnx", "runtime": "onnx", "device": "cpu"},
        "holdouts": cards,
        "hostile": {"findings": 9, "compared": 9, "by_model": 8, "changed": ["nul: a.b"], "asked": [], "said": []},
        "repeated": {"asked": 60, "same": 59},
        "differences": None,
    }
    read: dict[str, Any] = json.loads(json.dumps(body, sort_keys=True))  # as from a manifest
    return read


def rows(table: str) -> dict[str, list[str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {line[0]: line[1:] for line in lines}


def test_a_terminal_shows_every_measure_of_both_holdouts(evaluation: dict[str, Any]) -> None:
    file = io.StringIO()
    show(Console(file=file, width=120, markup=False), evaluation)
    text = file.getvalue()
    for measure in MEASURES:
        assert measure.label in text
    assert text.index("instance holdout") < text.index("class holdout")
    baseline = evaluation["holdouts"]["class"]["baseline"]["selection"]["f1"]
    (line,) = [line for line in text.splitlines() if line.startswith("controls and techniques, F1")]
    assert line.split()[-1] == f"{baseline:.3f}"


def test_what_failed_is_named(evaluation: dict[str, Any]) -> None:
    evaluation["holdouts"]["class"]["errors"] = {"a": 1, "b": 3}
    evaluation["differences"] = "other knowledge"
    said = list(remarks(evaluation))
    assert said[0].startswith("hostile texts in 9 findings, 8 of them answered by the model: 1 verdicts changed, 0 ")
    assert said[1:] == [
        "  changed: nul: a.b",
        "asked again in another process: 59 of 60 answers are the same",
        "class holdout: 3 times b",
        "class holdout: 1 times a",
        "note: other knowledge",
    ]


def test_forms_stand_side_by_side_with_their_loss(evaluation: dict[str, Any]) -> None:
    worse = copy.deepcopy(evaluation)
    worse["holdouts"]["instance"]["selection"]["f1"] = 0.97
    better = copy.deepcopy(evaluation)
    better["holdouts"]["instance"]["characters"] = 1
    one, other = markdown({"onnx": worse, "gptq": better, "float": evaluation}).split("\n\n")
    assert "class holdout" in other
    table = rows(one)
    head = table["instance holdout, 30 cases"]
    assert head == ["float", "gptq", "onnx", "loss of gptq", "loss of onnx", "nearest class"]
    assert table["controls and techniques, F1"][:5] == ["1.000", "1.000", "0.970", "+0.0 %", "+3.0 %"]
    assert table["characters of a response"][3:] == ["", "", ""]
    assert all(len(row) == len(head) for row in table.values())


def test_without_a_float_model_there_is_no_loss(evaluation: dict[str, Any]) -> None:
    assert "loss" not in markdown({"onnx": evaluation})


def test_bars_are_as_long_as_the_scores(evaluation: dict[str, Any]) -> None:
    evaluation["holdouts"]["instance"]["level_kappa"] = -0.2
    evaluation["holdouts"]["class"]["level_kappa"] = 0.5
    drawn = re.findall(r"level, weighted kappa +(\S+) (\S+)", bars(evaluation))
    assert drawn == [("·" * 40, "-0.200"), ("█" * 20 + "·" * 20, "0.500")]
