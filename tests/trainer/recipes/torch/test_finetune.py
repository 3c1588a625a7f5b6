"""Fine-tuning: an adapter on a checkpoint, and the merge."""
# ruff: noqa: E402  (what the guard below lets through)

import json
import shutil
from collections.abc import Callable
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest

from tests.skips import needs_trainer

needs_trainer("torch", "transformers", "peft", "bitsandbytes", "accelerate", "matplotlib", "optimum")

import torch

from pipeline.errors import ConfigError
from tests.trainer.small import lines, make_checkpoint, make_dataset
from trainer.recipes.adapter import WEIGHTS, finish_adapter
from trainer.recipes.torch.finetune import Finetune
from trainer.recipes.torch.merge import merge
from trainer.settings import FinetuneSettings, make_settings

SMALL: dict[str, Any] = {
    "batch": 4,
    "accumulation": 2,
    "max_steps": 4,
    "eval_every": 2,
    "log_every": 1,
    "learning_rate": 1e-3,
    "threads": 1,
    "device": "cpu",
}


def settings(**changes: Any) -> FinetuneSettings:
    return make_settings(FinetuneSettings, SMALL | changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("base") / "llama")


@pytest.fixture(scope="module")
def finished(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "run"
    Finetune(base, data, output, settings()).run()
    return output


def weights(directory: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    loaded: dict[str, Any] = load_file(directory / "model.safetensors")
    return loaded


def numbers(file: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    loaded: dict[str, Any] = load_file(file)
    return loaded


def copy_with(run: Path, place: Path, change: Callable[[Any], Any]) -> Path:
    """Copy the adapter of a run, with other numbers."""
    from safetensors.torch import save_file

    shutil.copytree(run / "adapter", place)
    save_file({name: change(weight) for name, weight in numbers(place / WEIGHTS).items()}, place / WEIGHTS)
    return place


def logits(directory: Path, adapter: Path | None = None) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, local_files_only=True)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))
    with torch.no_grad():
        return model.eval()(torch.arange(3, 40)[None]).logits


def test_the_merged_checkpoint_is_the_base_with_its_adapter(finished: Path, base: Path) -> None:
    merged = logits(finished / "model")
    torch.testing.assert_close(merged, logits(base, finished / "adapter"), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(merged, logits(base), atol=1e-4)
    assert set(weights(finished / "model")) == set(weights(base))


def test_all_seven_kinds_of_linear_layers_were_trained_and_nothing_else(finished: Path, base: Path) -> None:
    before, after = weights(base), weights(finished / "model")
    changed = {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_the_rate_rises_linearly_and_falls_to_its_minimum(base: Path, data: Path, tmp_path: Path) -> None:
    small = settings(max_steps=20, eval_every=20, batch=1, accumulation=1, learning_rate=1e-4, min_learning_rate=1e-5)
    Finetune(base, data, tmp_path / "run", small).run()
    rates = [line["learning_rate"] for line in lines(tmp_path / "run" / "metrics.jsonl") if "learning_rate" in line]
    assert max(rates) == pytest.approx(1e-4)
    assert rates.index(max(rates)) in (1, 2)  # a tenth of 20 steps
    assert rates[-1] == pytest.approx(1e-5, rel=0.1)
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_a_run_that_broke_off_ends_with_the_same_weights(
    finished: Path, base: Path, data: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(finished, broken)
    for name in ("model", "adapter", "checkpoints/checkpoint-4"):
        shutil.rmtree(broken / name)
    record = json.loads((broken / "run.json").read_text())
    (broken / "run.json").write_text(json.dumps({**record, "outcome": None}))
    model = Finetune(base, data, broken, settings(), resume=True).run()
    assert (model / "model.safetensors").read_bytes() == (finished / "model" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("optimizer", ["lion_32bit", "adamw_torch"])
def test_a_mistral_is_tuned_with_other_optimisers(optimizer: str, data: Path, tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path / "mistral", model_type="mistral")
    model = Finetune(base, data, tmp_path / "run", settings(optimizer=optimizer, max_steps=2)).run()
    assert json.loads((model / "config.json").read_text())["model_type"] == "mistral"


def test_all_weights_are_trained_without_an_adapter(base: Path, data: Path, tmp_path: Path) -> None:
    model = Finetune(base, data, tmp_path / "run", settings(adapter="none", max_steps=2)).run()
    before, after = weights(base), weights(model)
    assert not torch.equal(before["lm_head.weight"], after["lm_head.weight"])
    assert not (tmp_path / "run" / "adapter").exists()


def test_bad_input_is_refused_before_anything_is_made(base: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    (tmp_path / "no").mkdir()
    with pytest.raises(ConfigError, match="not a checkpoint"):
        Finetune(tmp_path / "no", data, output, settings()).run()
    with pytest.raises(ConfigError, match="no module 'c_attn' to target; there are down_proj, gate_proj, k_proj"):
        Finetune(base, data, output, settings(targets=("q_proj", "c_attn"))).run()
    with pytest.raises(ConfigError, match="made for 512 tokens; lower --max-tokens from 1024"):
        Finetune(base, data, output, settings(max_tokens=1024)).run()
    assert not output.exists()


def test_an_adapter_that_is_none_is_not_merged(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not an adapter"):
        merge(base, tmp_path, tmp_path / "merged")


def test_an_adapter_is_stored_in_half_the_bytes_and_loses_less_than_as_bfloat16(finished: Path) -> None:
    file = finished / "adapter" / WEIGHTS
    stored = numbers(file)
    assert {weight.dtype for weight in stored.values()} == {torch.float16}
    assert file.stat().st_size < 2.1 * sum(weight.numel() for weight in stored.values()) + 20_000
    # What training left, from its last checkpoint, as far as it has the adapter.
    trained = numbers(max((finished / "checkpoints").glob("checkpoint-*")) / WEIGHTS)
    assert {weight.dtype for weight in trained.values()} == {torch.float32} and trained.keys() == stored.keys()
    for name, weight in trained.items():
        torch.testing.assert_close(stored[name], weight.half(), rtol=0, atol=0)
    errors = [
        sum(float((weight - weight.to(kind).float()).square().sum()) for weight in trained.values())
        for kind in (torch.float16, torch.bfloat16)
    ]
    assert 30 * errors[0] < errors[1]


def test_an_adapter_of_an_earlier_build_and_a_foreign_one_in_bfloat16_are_merged_too(
    finished: Path, base: Path, tmp_path: Path
) -> None:
    whole = weights(finished / "model")
    for kind, within in ((torch.float32, 1e-6), (torch.bfloat16, 1e-3)):
        place = copy_with(finished, tmp_path / str(kind), methodcaller("to", kind))
        merge(base, place, tmp_path / f"merged-{kind}")
        for name, weight in weights(tmp_path / f"merged-{kind}").items():
            torch.testing.assert_close(weight, whole[name], rtol=0, atol=within)


def test_numbers_that_16_bits_cannot_hold_stay_as_they_are(finished: Path, base: Path, tmp_path: Path) -> None:
    place = copy_with(finished, tmp_path / "large", lambda weight: weight.float() * 1e9)
    finish_adapter(place, base)
    assert {weight.dtype for weight in numbers(place / WEIGHTS).values()} == {torch.float32}


def test_a_damaged_adapter_one_of_other_numbers_and_one_of_another_base_are_refused(
    finished: Path, base: Path, tmp_path: Path
) -> None:
    damaged = copy_with(finished, tmp_path / "damaged", lambda weight: weight)
    content = (damaged / WEIGHTS).read_bytes()
    for left in (b"", b"damaged", content[: len(content) // 2]):
        (damaged / WEIGHTS).write_bytes(left)
        with pytest.raises(ConfigError, match=f"{WEIGHTS}: damaged"):
            merge(base, damaged, tmp_path / "merged")
    whole = copy_with(finished, tmp_path / "whole", lambda weight: (weight * 100).to(torch.int8))
    with pytest.raises(ConfigError, match="numbers of type I8"):
        merge(base, whole, tmp_path / "merged")
    other = make_checkpoint(tmp_path / "other", seed=9)
    with pytest.raises(ConfigError, match="trained on another base"):
        merge(other, finished / "adapter", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
