"""Quantising: which checkpoints and options are taken, and that the bytes depend on the input alone."""
# ruff: noqa: E402  (what the guard below lets through)

import json
from pathlib import Path
from typing import Any

import pytest

from tests.skips import needs_trainer

needs_trainer("torch", "transformers", "gptqmodel", "peft", "optimum")

from pipeline.errors import ConfigError
from tests.trainer.small import make_checkpoint, make_dataset
from trainer.recipes.checkpoint import inspect_checkpoint
from trainer.recipes.torch.quantize import Quantize
from trainer.settings import QuantizeSettings, make_settings


def settings(**changes: Any) -> QuantizeSettings:
    return make_settings(QuantizeSettings, {"examples": 8, "threads": 1, "device": "cpu"} | changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("base") / "llama")


def test_a_group_has_to_divide_the_layers(data: Path, tmp_path: Path) -> None:
    odd = make_checkpoint(tmp_path / "odd", hidden_size=96)
    with pytest.raises(ConfigError, match="hidden_size 96 is no multiple of a group of 128; choose --group-size 32"):
        Quantize(odd, data, tmp_path / "run", settings()).run()
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes_and_no_path_in_them(base: Path, data: Path, tmp_path: Path) -> None:
    one = Quantize(base, data, tmp_path / "one", settings()).run()
    two = Quantize(base, data, tmp_path / "two", settings()).run()
    for path in sorted(one.iterdir()):
        assert path.read_bytes() == (two / path.name).read_bytes(), path.name
        assert path.suffix in (".json", ".safetensors")
    assert "tmp" not in (one / "config.json").read_text()
    found = inspect_checkpoint(one)
    assert found.quantised
    assert found.config["quantization_config"]["bits"] == 4
    record = json.loads((tmp_path / "one" / "run.json").read_text())
    assert record["outcome"]["calibration_examples"] == 8
    assert record["outcome"]["layers"] == 14  # seven in each of two blocks
    with pytest.raises(ConfigError, match="already quantised"):
        Quantize(one, data, tmp_path / "three", settings()).run()
