"""Checkpoints and adapters, from safetensors into Keras and back, without torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from pipeline.errors import ConfigError
from trainer.recipes.adapter import CONFIG, WEIGHTS
from trainer.recipes.checkpoint import Checkpoint, copy_companions
from trainer.recipes.keras.llama import Llama, Lora, Weights, room_of

_PREFIX = "base_model.model."  # of all names in an adapter of PEFT
_DTYPES: Mapping[str, Any] = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


def read_weights(base: Checkpoint) -> Weights:
    """Read all weights of a checkpoint as 32-bit floats, by name."""
    found: Weights = {}
    for shard in sorted(base.path.glob("*.safetensors")):
        found.update({name: weight.astype(np.float32) for name, weight in load_file(shard).items()})
    return found


def load_weights(model: Llama, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Put the weights of a checkpoint into a model.

    Raises:
        ConfigError: if one is missing or of another shape.
    """
    for name, variable, transposed in model.weights_by_name():
        weight = weights.get(name)
        if weight is None:
            raise ConfigError(f"the base lacks the weight {name}; copy the whole checkpoint")
        weight = weight.T if transposed else weight
        if tuple(weight.shape) != tuple(variable.shape):
            raise ConfigError(f"the base has {name} as {weight.shape}, config.json says {tuple(variable.shape)}")
        variable.assign(weight)


def dump_weights(model: Llama) -> Weights:
    """Give the weights of a model, adapters aside, as a checkpoint has them."""
    return {
        name: np.ascontiguousarray(_array(variable).T if transposed else _array(variable))
        for name, variable, transposed in model.weights_by_name()
    }


def read_adapter(model: Llama, directory: Path) -> None:
    """Go on from an adapter that PEFT or `write_adapter` wrote."""
    found = load_file(directory / WEIGHTS)
    for name, variable in model.adapters_by_name():
        variable.assign(found[_PREFIX + name].astype(np.float32).T)


def write_adapter(model: Llama, lora: Lora, base: Checkpoint, directory: Path) -> None:
    """Write the adapter as PEFT does, so that `merge` and any other program can take it."""
    directory.mkdir(parents=True, exist_ok=True)
    made = {_PREFIX + name: np.ascontiguousarray(_array(variable).T) for name, variable in model.adapters_by_name()}
    save_file(made, directory / WEIGHTS, metadata={"format": "pt"})
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(base.path), "bias": "none",
        "r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout, "inference_mode": True,
        "target_modules": sorted(lora.targets), "fan_in_fan_out": False, "use_rslora": False,
    }  # fmt: skip
    (directory / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def merged(model: Llama, lora: Lora, weights: Weights, share: float) -> Weights:
    """Add a share of the adapter to the weights of its base: ``W + (A B)^T s``."""
    made = dict(weights)
    for number, block in enumerate(model.blocks):
        for part, linear in block.linears.items():
            if linear.lora is not None:
                name = f"model.layers.{number}.{room_of(part)}.{part}.weight"
                made[name] = weights[name] + (_array(linear.down) @ _array(linear.up)).T * (lora.scale * share)
    return made


def write_checkpoint(weights: Weights, base: Checkpoint, directory: Path) -> None:
    """Write a checkpoint in the numbers of its base, with what lies beside it there."""
    directory.mkdir(parents=True, exist_ok=True)
    kind = _DTYPES.get(str(base.config.get("dtype", base.config.get("torch_dtype"))), np.float32)
    save_file(
        {name: weight.astype(kind) for name, weight in weights.items()},
        directory / "model.safetensors",
        metadata={"format": "pt"},
    )
    (directory / "config.json").write_text(json.dumps(base.config, indent=2, sort_keys=True) + "\n")
    copy_companions(base.path, directory)


def _array(variable: Any) -> NDArray[np.float32]:
    array: NDArray[np.float32] = keras.ops.convert_to_numpy(variable.value).astype(np.float32)
    return array
