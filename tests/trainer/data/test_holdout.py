"""The frozen holdouts are drawn evenly, the same each time, and hold nothing that is trained on."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from pipeline.analysis.prompt import render_prompt, render_response
from pipeline.errors import ConfigError
from pipeline.scorecard.cases import GoldCase
from pipeline.scorecard.holdouts import read_holdouts
from trainer.data.dataset import MANIFEST, TaughtCase, write_dataset
from trainer.data.holdout import draw, make_holdouts
from trainer.data.split import Split

FROZEN = read_holdouts()
SEEN, UNSEEN = list(FROZEN.cases["instance"]), list(FROZEN.cases["class"])


def taught(one: GoldCase, split: Split, wording: int = 0, **changes: str) -> TaughtCase:
    line = TaughtCase(
        prompt=render_prompt(one.case), response=render_response(one.answer), class_id=one.class_id,
        severity=one.severity, situation=one.situation, split=split, case=one.case, wording=wording,
    )  # fmt: skip
    return replace(line, **changes)  # type: ignore[arg-type]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    write_dataset(
        directory,
        [
            *(taught(one, "train") for one in SEEN[:100]),
            *(taught(one, "valid") for one in SEEN[90:200]),  # ten of which are trained on
            *(taught(one, "valid") for one in SEEN[150:200]),  # again
            *(taught(one, "valid", wording=1) for one in SEEN[200:300]),
            *(taught(one, "holdout") for one in UNSEEN[:30]),
        ],
        {"knowledge": "k", "prompt": "p", "seed": 1},
    )
    return directory


def test_only_what_was_never_trained_on_each_once_in_the_first_wording(data: Path, tmp_path: Path) -> None:
    made = make_holdouts(data, tmp_path / "out", 400, 1)
    assert {one.as_json() for one in made.cases["instance"]} == {one.as_json() for one in SEEN[100:200]}
    assert len(made.cases["instance"]) == 100
    assert {one.as_json() for one in made.cases["class"]} == {one.as_json() for one in UNSEEN[:30]}
    read = read_holdouts(tmp_path / "out")
    assert (read.cases, read.digest) == (made.cases, made.digest)
    assert read.facts["knowledge"] == "k"
    assert made.nearest is not None
    assert set(made.nearest.as_json()) == {one.class_id for one in SEEN[:100]}


def test_the_same_seed_gives_the_same_bytes_and_another_other_ones(data: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_holdouts(data, tmp_path / name, 20, seed)
    one, same, other = (
        {path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())} for name in "abc"
    )
    assert one == same
    assert one["instance.jsonl.gz"] != other["instance.jsonl.gz"]


def test_classes_take_turns() -> None:
    frequent = [replace(SEEN[0], case=replace(SEEN[0].case, features={"value": str(n)})) for n in range(20)]
    rare = [one for one in SEEN[1:] if one.class_id != SEEN[0].class_id][:4]
    classes = {one.class_id for one in (SEEN[0], *rare)}
    drawn = draw([*frequent, *rare], len(classes) + 2, seed=3)
    assert {one.class_id for one in drawn[: len(classes)]} == classes
    assert len(drawn) == len(classes) + 2


def test_a_response_that_answers_nothing_is_refused(data: Path, tmp_path: Path) -> None:
    write_dataset(data, [taught(SEEN[0], "valid", response="{}")], {"knowledge": "k", "prompt": "p"})
    with pytest.raises(ConfigError, match=f"a response of {SEEN[0].class_id} in valid: not an object with the keys"):
        make_holdouts(data, tmp_path / "out", 4, 1)
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_in_use_and_data_that_say_nothing_of_themselves_are_refused(
    data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="not empty"):
        make_holdouts(data, data, 4, 1)
    (data / MANIFEST).write_bytes(orjson.dumps({"prompt": "p"}))
    with pytest.raises(ConfigError, match="not the description of a data set"):
        make_holdouts(data, tmp_path / "out", 4, 1)
