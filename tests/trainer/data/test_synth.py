"""The data set: reproducible, divided without leaks, and readable again."""

import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.analysis.prompt import parse_response, render_prompt
from pipeline.errors import ConfigError
from tests.trainer.data.test_world import knowledge
from trainer.cli.app import app
from trainer.data.dataset import MANIFEST, SPLITS, TaughtCase, dataset_digest, read_cases
from trainer.data.split import CLASS_HOLDOUT, split_situations
from trainer.data.synth import synthesise

SIZE = 1500


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory: Path = tmp_path_factory.mktemp("data")
    synthesise(directory, knowledge(), seed=3, size=SIZE)
    return directory


@pytest.fixture(scope="module")
def cases(made: Path) -> list[TaughtCase]:
    return [case for split in SPLITS for case in read_cases(made, split)]


def test_the_same_seed_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    again = synthesise(tmp_path, knowledge(), seed=3, size=SIZE)
    assert again.digest == dataset_digest(made)
    names = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    for name in names:
        assert (made / name).read_bytes() == (tmp_path / name).read_bytes()


def test_the_manifest_says_what_was_made(made: Path, cases: list[TaughtCase]) -> None:
    manifest = json.loads((made / MANIFEST).read_text())
    assert manifest["digest"] == dataset_digest(made)
    assert manifest["cases"] == Counter(case.split for case in cases)
    assert manifest["size"] == len(cases)
    assert manifest["knowledge"] == knowledge().digest


def test_every_line_is_a_prompt_with_a_response_that_answers_it(cases: list[TaughtCase]) -> None:
    for case in cases:
        assert case.prompt == render_prompt(case.case)
        parse_response(case.response, case.case)


def test_no_situation_is_in_two_splits(cases: list[TaughtCase]) -> None:
    splits: dict[str, set[str]] = {}
    for case in cases:
        splits.setdefault(case.situation, set()).add(case.split)
    assert all(len(found) == 1 for found in splits.values())


def test_held_out_classes_are_in_no_other_split(cases: list[TaughtCase]) -> None:
    assert set(CLASS_HOLDOUT) <= set(knowledge().classes)
    assert {case.class_id for case in cases if case.split == "holdout"} == set(CLASS_HOLDOUT)
    assert not {case.class_id for case in cases if case.split != "holdout"} & set(CLASS_HOLDOUT)


def test_every_other_class_is_trained_on(cases: list[TaughtCase]) -> None:
    trained = {case.class_id for case in cases if case.split == "train"}
    assert trained == {*knowledge().classes, "ambiguous", "unknown"} - set(CLASS_HOLDOUT)


def test_situations_are_divided_80_to_20_within_each_class() -> None:
    made_up = [(f"s{number}", "a.x", "low" if number % 3 else "high") for number in range(200)]
    found = split_situations([*made_up, ("one", "b.y", "low"), ("held", "auditd.chown", "low")], seed=1)
    counts = Counter(found[situation] for situation, _, _ in made_up)
    assert counts["valid"] == pytest.approx(40, abs=1)
    by_level = Counter((severity, found[situation]) for situation, _, severity in made_up)
    assert by_level["high", "valid"] == pytest.approx(67 * 0.2, abs=2)
    assert found["one"] == "train"
    assert found["held"] == "holdout"
    assert found != split_situations(made_up, seed=2)


def test_a_damaged_line_is_named(made: Path, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match=r"train\.jsonl:1: not a case"):
        list(read_cases(tmp_path, "train"))
    with pytest.raises(ConfigError, match=r"valid\.jsonl: No such file"):
        list(read_cases(tmp_path, "valid"))


def test_the_command_makes_a_data_set_and_does_not_write_over_one(tmp_path: Path) -> None:
    runner, out = CliRunner(), tmp_path / "set"
    result = runner.invoke(app, ["synth", "--out", str(out), "--seed", "5", "--size", "200"])
    assert result.exit_code == 0, result.output
    assert dataset_digest(out) in result.output
    again = runner.invoke(app, ["synth", "--out", str(out)])
    assert isinstance(again.exception, ConfigError)
    assert str(again.exception) == f"{out}: not empty; name another output"
