"""Pretraining: from a data set to a checkpoint, and on from where it broke off."""
# ruff: noqa: E402  (what the guard below lets through)

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.skips import needs_trainer

needs_trainer("torch", "transformers", "accelerate", "matplotlib")


from pipeline.errors import ConfigError
from tests.trainer.small import lines, make_dataset
from trainer.recipes.checkpoint import inspect_checkpoint
from trainer.recipes.torch.pretrain import Pretrain
from trainer.settings import PretrainSettings, make_settings

SMALL: dict[str, Any] = {
    "hidden": 64,
    "layers": 1,
    "heads": 2,
    "kv_heads": 1,
    "intermediate": 128,
    "vocabulary": 384,
    "batch": 8,
    "max_steps": 8,
    "eval_every": 4,
    "log_every": 2,
    "threads": 1,
    "device": "cpu",
}


def settings(**changes: Any) -> PretrainSettings:
    return make_settings(PretrainSettings, SMALL | changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "run"
    Pretrain(data, output, settings()).run()
    return output


def test_a_run_leaves_a_checkpoint_a_record_metrics_and_a_curve(finished: Path) -> None:
    model = inspect_checkpoint(finished / "model")
    assert model.config["model_type"] == "llama"
    assert not list((finished / "model").glob("*.bin"))
    record = json.loads((finished / "run.json").read_text())
    assert record["settings"]["max_steps"] == 8
    assert record["outcome"]["steps"] == 8
    assert record["outcome"]["parameters"] == model.num_parameters
    assert {"torch", "transformers"} <= set(record["versions"])
    assert [line["step"] for line in lines(finished / "metrics.jsonl") if "loss" in line] == [1, 2, 4, 6, 8]
    assert (finished / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_the_loss_falls(finished: Path) -> None:
    losses = [line["eval_loss"] for line in lines(finished / "metrics.jsonl") if "eval_loss" in line]
    assert losses[-1] < losses[0] < 6.2  # a guess among 384 tokens costs 5.95


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    finished: Path, data: Path, tmp_path: Path
) -> None:
    weights = (finished / "model" / "model.safetensors").read_bytes()
    again = Pretrain(data, tmp_path / "again", settings()).run()
    assert (again / "model.safetensors").read_bytes() == weights
    other = Pretrain(data, tmp_path / "other", settings(seed=1)).run()
    assert (other / "model.safetensors").read_bytes() != weights


def test_a_run_that_broke_off_ends_with_the_same_weights(finished: Path, data: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(finished, broken)
    shutil.rmtree(broken / "model")
    (broken / "checkpoints" / "checkpoint-8" / "trainer_state.json").unlink()  # cut off while it was written
    record = json.loads((broken / "run.json").read_text())
    (broken / "run.json").write_text(json.dumps({**record, "outcome": None}))
    model = Pretrain(data, broken, settings(), resume=True).run()
    assert (model / "model.safetensors").read_bytes() == (finished / "model" / "model.safetensors").read_bytes()
    without_speed = [
        [{key: value for key, value in line.items() if not key.startswith("tokens")} for line in lines(path)]
        for path in (broken / "metrics.jsonl", finished / "metrics.jsonl")
    ]
    assert without_speed[0] == without_speed[1]


def test_training_ends_when_nothing_is_gained(data: Path, tmp_path: Path) -> None:
    # Without a step of any size no evaluation is better than the first.
    small = settings(learning_rate=1e-12, min_learning_rate=0, patience=1, max_steps=40, eval_every=2)
    Pretrain(data, tmp_path / "run", small).run()
    outcome = json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]
    assert outcome["stopped_early"]
    assert outcome["steps"] < 40


def test_data_without_findings_is_refused_before_anything_is_made(data: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    shutil.copytree(data, empty)
    (empty / "train.jsonl").write_text("")
    with pytest.raises(ConfigError, match="no findings in the train split"):
        Pretrain(empty, tmp_path / "run", settings()).run()
    with pytest.raises(ConfigError, match="make a data set with"):
        Pretrain(tmp_path / "nowhere", tmp_path / "run", settings()).run()
    assert not (tmp_path / "run").exists()


def test_a_model_too_large_for_the_memory_is_refused(data: Path, tmp_path: Path) -> None:
    huge = settings(hidden=65536, intermediate=262144, layers=64, heads=512, kv_heads=512)
    with pytest.raises(ConfigError, match=r"pretraining needs \d+ MiB of memory"):
        Pretrain(data, tmp_path / "run", huge).run()
    assert not (tmp_path / "run").exists()


def test_half_precision_that_a_processor_lacks_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        Pretrain(data, tmp_path / "run", settings(precision="fp16")).run()
    assert not (tmp_path / "run").exists()
