"""An adapter on disk: its numbers, and the base that it belongs to."""

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from pipeline.errors import ConfigError
from trainer.recipes.checkpoint import PLAN
from trainer.record.run_directory import files_digest

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_BOUND = "made_for.json"
_NUMBERS = ("F32", "F16", "BF16")


def finish_adapter(adapter: Path, base: Path) -> None:
    """Halve the numbers of an adapter that was just trained, and write beside it which base it belongs to."""
    _halve(adapter / WEIGHTS)
    (adapter / _BOUND).write_text(json.dumps({"base": files_digest(base)}) + "\n")
    if (base / PLAN).is_file():  # how it is made where it was cut out of another
        shutil.copyfile(base / PLAN, adapter / PLAN)


def check_adapter(adapter: Path, base: Path) -> None:
    """Refuse what is no adapter, and one that says that it was trained on another base; who says nothing is taken.

    Raises:
        ConfigError: if it is refused.
    """
    if not (adapter / CONFIG).is_file() or not (adapter / WEIGHTS).is_file():
        raise ConfigError(f"{adapter}: not an adapter, it needs {CONFIG} and {WEIGHTS}")
    _check_bound(adapter, base)
    file = adapter / WEIGHTS
    try:
        with safe_open(file, "numpy") as tensors:
            kinds = {str(tensors.get_slice(name).get_dtype()) for name in tensors.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{file}: damaged: {error}; take the adapter as `finetune` wrote it") from error
    if strange := sorted(kinds - set(_NUMBERS)):
        raise ConfigError(f"{file}: holds numbers of type {strange[0]}; an adapter has {', '.join(_NUMBERS)}")


def _halve(file: Path) -> None:
    """Store the numbers as 16-bit floats, unless one is too large for that.

    Not as bfloat16, which loses eight times as much: the numbers of an adapter are small and of one size.
    """
    with np.errstate(over="ignore"):
        short = {name: weight.astype(np.float16) for name, weight in load_file(file).items()}
    if all(np.isfinite(weight).all() for weight in short.values()):
        partial = file.with_name(f".{file.name}")
        save_file(short, partial, metadata={"format": "pt"})
        partial.replace(file)


def _check_bound(adapter: Path, base: Path) -> None:
    file = adapter / _BOUND
    if not file.is_file():
        return
    try:
        wanted = json.loads(file.read_bytes())["base"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: damaged: {error}; take the adapter as `finetune` wrote it") from error
    found = files_digest(base)
    if wanted != found:
        raise ConfigError(
            f"{adapter}: trained on another base (digest {str(wanted)[:12]}…) than {base} ({found[:12]}…); "
            "name the one that it was trained on"
        )
