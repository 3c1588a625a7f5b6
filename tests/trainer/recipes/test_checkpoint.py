"""What is taken for a checkpoint; nothing here loads a weight."""
# ruff: noqa: E402  (what the guard below lets through)

import json
from pathlib import Path

import pytest

from tests.skips import needs_trainer

needs_trainer("tokenizers")

from pipeline.errors import ConfigError
from tests.trainer.small import fake_checkpoint
from trainer.recipes.checkpoint import inspect_checkpoint


def test_a_checkpoint_tells_its_size_and_its_linear_layers(tmp_path: Path) -> None:
    found = inspect_checkpoint(fake_checkpoint(tmp_path / "base"))
    assert found.num_parameters == 8
    assert found.linears == ("q_proj", "up_proj")
    assert found.num_positions == 512
    assert not found.quantised


def test_a_quantised_checkpoint_is_told_apart(tmp_path: Path) -> None:
    assert inspect_checkpoint(fake_checkpoint(tmp_path / "base", quantization_config={})).quantised


def test_nothing_there_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such directory"):
        inspect_checkpoint(tmp_path / "base")
    with pytest.raises(ConfigError, match=r"not a checkpoint, there is no config\.json"):
        inspect_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2' is not one of llama, mistral"),
        ({"auto_map": {"AutoModel": "code.Model"}}, "brings code of its own"),
    ],
)
def test_other_architectures_and_code_are_refused(tmp_path: Path, config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        inspect_checkpoint(fake_checkpoint(tmp_path / "base", **config))


def test_pickles_are_never_read(tmp_path: Path) -> None:
    base = fake_checkpoint(tmp_path / "base")
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"only pytorch_model\.bin, and pickles are never read"):
        inspect_checkpoint(base)


@pytest.mark.parametrize("content", [b"", b"\xff" * 16, b"\x80\x04\x95" + bytes(40), b"\x02" + bytes(7) + b"[]"])
def test_damaged_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    base = fake_checkpoint(tmp_path / "base")
    (base / "model.safetensors").write_bytes(content)
    with pytest.raises(ConfigError, match="damaged"):
        inspect_checkpoint(base)


def test_weights_that_were_cut_short_are_refused(tmp_path: Path) -> None:
    base = fake_checkpoint(tmp_path / "base")
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ConfigError, match="cut short"):
        inspect_checkpoint(base)


def test_a_missing_shard_and_one_outside_are_refused(tmp_path: Path) -> None:
    base = fake_checkpoint(tmp_path / "base")
    index = base / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-2.safetensors"}}))
    with pytest.raises(ConfigError, match="missing, though the index names it"):
        inspect_checkpoint(base)
    index.write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}))
    with pytest.raises(ConfigError, match="outside the checkpoint"):
        inspect_checkpoint(base)


def test_a_checkpoint_without_tokenizer_is_refused(tmp_path: Path) -> None:
    base = fake_checkpoint(tmp_path / "base")
    (base / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        inspect_checkpoint(base)
