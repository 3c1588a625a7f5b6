"""Recipe: an adapter and its base, made one plain checkpoint."""

from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from pipeline.errors import ConfigError
from trainer.preflight import check_disk, check_empty
from trainer.quiet import quiet
from trainer.recipes.checkpoint import Checkpoint, copy_companions, inspect_checkpoint


def merge(base: Path, adapter: Path, output: Path) -> None:
    """Add an adapter to its base: a plain checkpoint in the numbers of the base, which needs no PEFT to be read.

    Raises:
        ConfigError: if base or adapter is none.
    """
    found = inspect_checkpoint(base)
    if not (adapter / "adapter_config.json").is_file() or not (adapter / "adapter_model.safetensors").is_file():
        raise ConfigError(f"{adapter}: not an adapter, it needs adapter_config.json and adapter_model.safetensors")
    # On the CPU, whatever trained: the sum is the same everywhere, and it has the room.
    plain = AutoModelForCausalLM.from_pretrained(
        base, dtype=stored_dtype(found), local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    with quiet():
        tuned = PeftModel.from_pretrained(plain, str(adapter), local_files_only=True)
    merged = tuned.merge_and_unload(safe_merge=True)
    merged.config.use_cache = True
    merged.save_pretrained(output)
    copy_companions(base, output)


def merge_into(base: Path, adapter: Path, output: Path) -> None:
    """Merge into a directory that has to be empty, if the disk has the room."""
    check_empty(output)
    check_disk(inspect_checkpoint(base).num_bytes, output)
    merge(base, adapter, output)


def stored_dtype(base: Checkpoint) -> torch.dtype:
    """Give the numbers that a checkpoint is written in."""
    name = base.config.get("dtype", base.config.get("torch_dtype", "float32"))
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(str(name), torch.float32)
