"""A checkpoint under torch: what it says, and what is not loaded."""
# ruff: noqa: E402  (what the guard below lets through)

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.skips import needs_trainer

needs_trainer("torch", "transformers")

from pipeline.engine.checkpoint import read_config
from pipeline.engine.errors import EngineError, ModelDamaged, ModelMissing, Unsupported
from pipeline.engine.generator import Grammar
from pipeline.engine.load import open_checkpoint, open_generator
from pipeline.engine.torch_runtime import TorchRunner
from tests.pipeline.engine import tiny_model
from tests.pipeline.engine.plainly import generate_plainly

CASES = tiny_model.cases(6, seed=3)
PROMPTS = [tiny_model.prompt(case) for case in CASES]
GRAMMARS = [Grammar.of(tiny_model.schema(case)) for case in CASES]


@pytest.fixture
def checkpoint(model_directory: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(model_directory / "float", tmp_path / "checkpoint"))
    shutil.copy(model_directory / "tokenizer.json", copy)
    return copy


def test_the_fast_way_writes_what_the_slow_one_writes(checkpoint: Path) -> None:
    generator = open_checkpoint(checkpoint)
    for prompt, grammar in zip(PROMPTS, GRAMMARS, strict=True):
        text = generator.generate(prompt, grammar, 300)
        assert text == generate_plainly(generator, prompt, grammar, 300)
        assert json.loads(text)
    generator.close()


def test_a_quantised_checkpoint_is_loaded_and_agrees_with_its_export(model_directory: Path) -> None:
    quantised, exported = open_generator(model_directory, "torch"), open_generator(model_directory)
    assert quantised.digest != exported.digest
    for prompt, grammar in zip(PROMPTS, GRAMMARS, strict=True):
        tokens = quantised.tokenizer.encode(prompt)
        scores = []
        for generator in (quantised, exported):
            generator.runner.rewind(0, 0)
            scores.append(generator.runner.append(0, tokens).copy())
        # The export rounds the last matrix to 4 bits, and activations to 8: close, not equal.
        assert np.corrcoef(scores[0], scores[1])[0, 1] > 0.95
        quantised._forget()
        text = quantised.generate(prompt, grammar, 300)
        assert text == quantised.generate(prompt, grammar, 300)
        assert json.loads(text)
    for generator in (quantised, exported):
        generator.close()


REFUSED: dict[str, tuple[dict[str, Any], type[EngineError], str]] = {
    "another architecture": ({"architectures": ["GPT2LMHeadModel"]}, Unsupported, "GPT2LMHeadModel"),
    "no architecture": ({"architectures": None}, Unsupported, "architecture None"),
    "code of its own": ({"auto_map": {"AutoModelForCausalLM": "modeling.Evil"}}, Unsupported, "its own code"),
    "another quantisation": ({"quantization_config": {"quant_method": "awq"}}, Unsupported, "awq"),
    "sizes that do not fit": ({"hidden_size": 64, "intermediate_size": 7}, ModelDamaged, "cannot be loaded"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_to_be_loaded_is_refused(name: str, checkpoint: Path) -> None:
    change, kind, reason = REFUSED[name]
    path = checkpoint / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    with pytest.raises(kind, match=reason) as raised:
        TorchRunner(checkpoint, context_length=512, threads=2, device="cpu")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pt", "modeling_llama.py"])
def test_a_checkpoint_with_a_pickle_or_code_is_refused_even_beside_safetensors(file: str, checkpoint: Path) -> None:
    (checkpoint / file).write_bytes(b"")
    with pytest.raises(Unsupported, match="may run code"):
        read_config(checkpoint)


def test_missing_and_unreadable_checkpoints_are_told_apart(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"config\.json"):
        read_config(tmp_path / "none")
    (checkpoint / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelDamaged, match="cannot be loaded"):
        TorchRunner(checkpoint, context_length=512, threads=2, device="cpu")
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(ModelMissing, match="no weights"):
        read_config(checkpoint)
    (checkpoint / "config.json").write_text("{")
    with pytest.raises(ModelDamaged, match="cannot be read"):
        read_config(checkpoint)


def test_a_gpu_that_is_not_there_is_said(checkpoint: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(Unsupported, match="no CUDA device"):
        TorchRunner(checkpoint, context_length=512, threads=2, device="cuda")
