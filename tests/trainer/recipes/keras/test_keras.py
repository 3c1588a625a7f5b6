"""The recipe in Keras computes what the one in torch computes, on other libraries."""
# ruff: noqa: E402  (what the guard below lets through)

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.skips import needs_trainer

needs_trainer("torch", "transformers", "peft", "keras", "jax")

# In this process Keras computes on JAX; other backends are tried in processes of their own.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ["KERAS_HOME"] = os.devnull

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM
from transformers.optimization import get_scheduler

from pipeline.errors import ConfigError
from tests.trainer.small import lines, make_checkpoint, make_dataset
from trainer.recipes.checkpoint import inspect_checkpoint
from trainer.recipes.keras.finetune import Finetune
from trainer.recipes.keras.llama import Llama, Shape
from trainer.recipes.keras.training import Schedule
from trainer.recipes.keras.weights import load_weights, read_weights
from trainer.recipes.torch.merge import merge
from trainer.settings import FinetuneSettings, make_settings

ROOT = Path(__file__).parents[4]
# All rows in each step, so that the order in which they come does not count.
SAME = {
    "threads": 1, "device": "cpu", "batch": 32, "accumulation": 1, "max_steps": 8, "eval_every": 4, "log_every": 1,
    "precision": "fp32", "dropout": 0.0, "warmup": 0.25, "learning_rate": 3e-3, "min_learning_rate": 1e-4,
    "rank": 4, "alpha": 8, "optimizer": "lion_32bit", "gradient_checkpointing": False, "patience": 0, "max_valid": 8,
}  # fmt: skip
_RUN = """
import json, sys
from pathlib import Path
from trainer.settings import FinetuneSettings, make_settings
base, data, output, settings, start = sys.argv[1:6]
if start == "torch":
    from trainer.recipes.torch.finetune import Finetune
    run = Finetune(Path(base), Path(data), Path(output), make_settings(FinetuneSettings, json.loads(settings)))
else:
    from trainer.recipes.keras.finetune import Finetune
    run = Finetune(Path(base), Path(data), Path(output), make_settings(FinetuneSettings, json.loads(settings)),
                   start=None if start == "none" else Path(start))
run.run()
"""


def finetune(
    base: Path, data: Path, output: Path, start: str, backend: str = "torch", **changes: object
) -> list[float]:
    """Tune in a process of its own; returns the losses of the steps, then of the evaluations."""
    settings = json.dumps({**SAME, **changes})
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(base), str(data), str(output), settings, start],
        env={**os.environ, "KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"}, cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    logged = lines(output / "metrics.jsonl")
    return [one[name] for name in ("loss", "eval_loss") for one in logged if name in one]


def start_of(base: Path, data: Path, room: Path) -> str:
    """Give the adapter that the recipe in torch begins with: the rate is too small to change it."""
    finetune(base, data, room / "start", "torch", max_steps=1, learning_rate=1e-12, min_learning_rate=0)
    return str(room / "start" / "adapter")


@pytest.mark.parametrize(
    "changes", [{}, {"tie_word_embeddings": True, "rope_theta": 500.0}, {"num_key_value_heads": 2}]
)
def test_the_same_weights_give_the_logits_of_transformers(tmp_path: Path, changes: dict[str, Any]) -> None:
    base = make_checkpoint(tmp_path / "base", **changes)
    theirs = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    checkpoint = inspect_checkpoint(base)
    ours = Llama(Shape.of(checkpoint.config), None)
    load_weights(ours, read_weights(checkpoint))
    ids = np.random.default_rng(0).integers(3, 384, (2, 24))
    with torch.no_grad():
        wanted = theirs(torch.tensor(ids)).logits[:, [3, 7, 22]].numpy()
    places = np.array([[3, 7, 22]] * 2, np.int32)
    found = np.asarray(ours({"input_ids": ids.astype(np.int32), "places": places}))
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_step_has_the_loss_of_the_recipe_in_torch(tmp_path: Path, backend: str) -> None:
    base, data = make_checkpoint(tmp_path / "base"), make_dataset(tmp_path / "data", train=24, valid=8)
    wanted = finetune(base, data, tmp_path / "torch", "torch")
    found = finetune(base, data, tmp_path / "keras", start_of(base, data, tmp_path), backend)
    assert len(found) == len(wanted) == 10 and wanted[7] < 0.95 * wanted[0]
    np.testing.assert_allclose(found, wanted, rtol=0.01)


@pytest.mark.slow
def test_passes_add_up_to_the_step_that_they_are_passes_of(tmp_path: Path) -> None:
    """Each token counts once, however rows are shared out among passes."""
    base, data = make_checkpoint(tmp_path / "base"), make_dataset(tmp_path / "data", train=24, valid=8)
    start = start_of(base, data, tmp_path)
    whole = finetune(base, data, tmp_path / "whole", start, "jax", batch=24)
    parts = finetune(base, data, tmp_path / "parts", start, "jax", batch=8, accumulation=3)
    np.testing.assert_allclose(parts, whole, rtol=0.01)


@pytest.mark.slow
def test_what_is_written_is_what_peft_would_merge(tmp_path: Path) -> None:
    base, data = make_checkpoint(tmp_path / "base"), make_dataset(tmp_path / "data", train=24, valid=8)
    settings = make_settings(FinetuneSettings, {**SAME, "max_steps": 2})
    made = Finetune(base, data, tmp_path / "run", settings).run()
    merge(base, tmp_path / "run" / "adapter", tmp_path / "merged")
    ours, theirs = load_file(made / "model.safetensors"), load_file(tmp_path / "merged" / "model.safetensors")
    before = load_file(base / "model.safetensors")
    assert ours.keys() == theirs.keys() == before.keys()
    name = "model.layers.1.mlp.down_proj.weight"
    assert np.abs(ours[name] - before[name]).max() > 1e-4
    for name, weight in theirs.items():
        np.testing.assert_allclose(ours[name], weight, atol=1e-6)


@pytest.mark.slow
def test_all_weights_can_be_trained(tmp_path: Path) -> None:
    base, data = make_checkpoint(tmp_path / "base"), make_dataset(tmp_path / "data", train=24, valid=8)
    changes: dict[str, Any] = {"adapter": "none", "learning_rate": 1e-3, "weight_decay": 0.1}
    wanted = finetune(base, data, tmp_path / "torch", "torch", **changes)
    found = finetune(base, data, tmp_path / "keras", "none", "jax", **changes)
    np.testing.assert_allclose(found, wanted, rtol=0.01)
    assert not (tmp_path / "keras" / "adapter").exists()


@pytest.mark.parametrize(("steps", "warmup"), [(20, 5), (20, 0), (3, 1)])
def test_the_rate_is_that_of_transformers(steps: int, warmup: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    theirs = get_scheduler(
        "cosine_warmup_with_min_lr", optimizer, warmup, steps, scheduler_specific_kwargs={"min_lr": 1e-4}
    )
    ours = Schedule(1e-3, 1e-4, steps, warmup)
    for step in range(steps):
        assert float(ours(step)) == pytest.approx(theirs.get_last_lr()[0], rel=1e-4)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer": "adamw_torch"}, "adamw_torch is torch's"),
        ({"precision": "fp16"}, "fp16 needs --recipe torch"),
        ({"max_tokens": 4096}, "lower --max-tokens"),
        ({"targets": ("q_proj", "nothing")}, "no module 'nothing' to target"),
    ],
)
def test_what_keras_does_not_do_is_one_line(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    base, data = make_checkpoint(tmp_path / "base"), make_dataset(tmp_path / "data", train=8, valid=4)
    with pytest.raises(ConfigError, match=said):
        Finetune(base, data, tmp_path / "run", make_settings(FinetuneSettings, {**SAME, **changes})).run()
    assert not (tmp_path / "run").exists()


def test_a_llama_that_is_not_built_here_is_refused(tmp_path: Path) -> None:
    base, data = make_checkpoint(tmp_path / "base"), make_dataset(tmp_path / "data", train=8, valid=4)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "attention_bias": True}))
    with pytest.raises(ConfigError, match="biases, which the recipe in Keras does not build; take --recipe torch"):
        Finetune(base, data, tmp_path / "run", make_settings(FinetuneSettings, SAME)).run()


@pytest.mark.parametrize(
    ("options", "backend", "said"),
    [
        (("--recipe", "caffe"), "jax", "--recipe caffe: there are torch and keras"),
        (("--recipe", "keras"), "theano", "KERAS_BACKEND=theano: there are jax, tensorflow, torch"),
        (("--recipe", "keras", "--resume"), "jax", "--resume needs --recipe torch"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(
    tmp_path: Path, options: tuple[str, ...], backend: str, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "finetune", "--base", "b", "--data", "d", "--output", str(tmp_path / "o"),
         *options],
        env={**os.environ, "KERAS_BACKEND": backend}, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr == f"sysscan-train: {done.stderr[15:]}" and said in done.stderr
    assert done.stderr.count("\n") == 1
