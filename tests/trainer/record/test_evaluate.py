"""`sysscan-train evaluate`: checkpoints and model directories alike, and what a manifest keeps of it."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.engine.manifest import read_manifest, verify
from pipeline.errors import ConfigError
from tests.pipeline.engine.conftest import model_directory  # noqa: F401  (a fixture)
from tests.pipeline.engine.directories import lay_out
from trainer.cli.app import app


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def model(model_directory: Path, tmp_path: Path) -> Path:  # noqa: F811
    return Path(shutil.copytree(model_directory, tmp_path / "model"))


def test_scorecards_of_a_checkpoint_and_of_its_export_stand_side_by_side(model: Path, tmp_path: Path) -> None:
    before = read_manifest(model)
    checkpoint = Path(shutil.copytree(model / "float", tmp_path / "checkpoint"))
    shutil.copy(model / "tokenizer.json", checkpoint)
    shown = run("evaluate", "--base", checkpoint, "--limit", "1", "--into", model, "--threads", "1")
    assert "checkpoint: float on torch, cpu" in shown
    run("evaluate", "--base", model, "--limit", "1", "--into", model, "--output", tmp_path / "scores.json")
    run("card", "--model", model)

    after = verify(model)
    assert set(after.record["scorecards"]) == {"float", "onnx"}
    assert json.loads((tmp_path / "scores.json").read_bytes()) == after.record["scorecards"]["onnx"]
    assert {name: value for name, value in after.record.items() if name != "scorecards"} == dict(before.record)
    assert [after.part_digest(part) for part in after.parts] == [before.part_digest(part) for part in before.parts]
    for one in after.record["scorecards"].values():
        assert one["repeated"] == {"asked": 2, "same": 2}
        assert one["holdouts"]["class"]["valid"] == 1  # random weights, held by the grammar
    assert "loss of onnx" in (model / "README.md").read_text()


@pytest.mark.parametrize("option", ["--base", "--into"])
def test_what_is_no_model_is_refused_before_anything_is_loaded(tmp_path: Path, option: str) -> None:
    lay_out(tmp_path / "model")
    arguments = {"--base": str(tmp_path / "model"), "--into": str(tmp_path / "model"), option: "/nowhere/at-all"}
    with pytest.raises(ConfigError, match=r"/nowhere/at-all/manifest\.json: no such file"):
        run("evaluate", *(part for pair in arguments.items() for part in pair))


def test_a_checkpoint_is_not_for_onnx_and_an_output_needs_its_directory(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="a checkpoint, which the torch runtime reads"):
        run("evaluate", "--base", tmp_path, "--runtime", "onnx")
    with pytest.raises(ConfigError, match="there is no such directory"):
        run("evaluate", "--base", tmp_path, "--output", "/nowhere/at-all/x.json")


def test_a_model_that_cannot_be_run_leaves_the_manifest_alone(tmp_path: Path) -> None:
    lay_out(tmp_path / "model")
    before = (tmp_path / "model" / "manifest.json").read_bytes()
    with pytest.raises(ConfigError):
        run("evaluate", "--base", tmp_path / "model", "--into", tmp_path / "model")
    assert (tmp_path / "model" / "manifest.json").read_bytes() == before
