"""Recipe: an adapter and its base, made one plain checkpoint."""

from pathlib import Path

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM

from trainer.preflight import check_disk, check_empty
from trainer.quiet import quiet
from trainer.recipes.adapter import check_adapter
from trainer.recipes.checkpoint import Checkpoint, copy_companions, inspect_checkpoint


def merge(base: Path, adapter: Path, output: Path, share: float = 1.0) -> None:
    """Add an adapter to its base: a plain checkpoint in the numbers of the base, which needs no PEFT to be read.

    Args:
        share: of the adapter, above 0. Weights between those of the base and the tuned ones keep more of what the base
            knew for little of what was learned (M. Wortsman and others, "Robust fine-tuning of zero-shot models",
            2022).

    Raises:
        ConfigError: if base or adapter is none.
    """
    found = inspect_checkpoint(base)
    check_adapter(adapter, base)
    # On the CPU, whatever trained: the sum is the same everywhere, and it has the room.
    plain = AutoModelForCausalLM.from_pretrained(
        base, dtype=stored_dtype(found), local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    with quiet():
        tuned = PeftModel.from_pretrained(plain, str(adapter), local_files_only=True)
    if share != 1.0:
        for module in tuned.modules():
            if isinstance(module, LoraLayer):
                module.scale_layer(share)
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
