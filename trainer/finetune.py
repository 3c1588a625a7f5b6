"""Recipe: LoRA and Lion on a local checkpoint, and the merge to a plain one."""

import gc
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM

from pipeline.errors import ConfigError
from trainer.batches import Sequences, encode_examples
from trainer.capacity import available_ram, check_disk, check_memory
from trainer.checkpoint import Checkpoint, inspect_checkpoint
from trainer.dataset import dataset_digest
from trainer.examples import classes_of, read_split, read_training
from trainer.quiet import quiet
from trainer.run_directory import RunDirectory, check_empty, files_digest
from trainer.settings import FinetuneSettings
from trainer.tokenizer import load_encoder
from trainer.training import (
    Device,
    FindingTrainer,
    is_first_process,
    last_checkpoint,
    make_trainer,
    plain_settings,
    prepare_device,
    training_outcome,
)

ADAPTER = "adapter"

# Beside weights, what a checkpoint needs to be read again.
_COMPANIONS = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model", "generation_config.json",
)  # fmt: skip


class Finetune:
    """Train an adapter (or all weights) on a data set, then merge; `run` does all of it.

    Args:
        base: local checkpoint of a Llama or Mistral model.
        data: data set directory.
        output: run directory; the merged checkpoint ends up in its ``model/``, the adapter in ``adapter/``.
        resume: go on with the run that is there.
    """

    def __init__(
        self, base: Path, data: Path, output: Path, settings: FinetuneSettings, *, resume: bool = False
    ) -> None:
        self.base = base
        self.data = data
        self.settings = settings
        self.resume = resume
        self.directory = RunDirectory(output)

    def run(self) -> Path:
        """Check the input, train, merge, and give the merged checkpoint's directory."""
        if not self.resume and is_first_process():
            check_empty(self.directory.path)
        base = inspect_checkpoint(self.base)
        self._check_base(base)
        train = read_training(self.data, self.settings.classes)
        valid = read_split(self.data, "valid")[: self.settings.max_valid]
        encoder = load_encoder(self.base)
        rows = encode_examples(train, encoder, self.settings.max_tokens)
        valid_rows = encode_examples(valid, encoder, self.settings.max_tokens)
        device = prepare_device(self.settings, self.settings.precision)
        self._check_capacity(base, device)
        if is_first_process():
            self.directory.begin(
                "finetune",
                plain_settings(self.settings),
                {"data": dataset_digest(self.data), "base": files_digest(self.base)},
                resume=self.resume,
            )
        trainer = make_trainer(
            self._model(device),
            self.settings,
            device,
            self.directory,
            train=rows.rows,
            valid=valid_rows.rows,
            pad=encoder.pad,
            optimizer=self.settings.optimizer,
        )
        checkpoint = last_checkpoint(self.directory) if self.resume else None
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        self._save(trainer, rows, base, classes_of(train))
        return self.directory.model

    def _check_base(self, base: Checkpoint) -> None:
        if base.quantised:
            raise ConfigError(f"{self.base}: already quantised; fine-tune the float checkpoint and quantise it after")
        if self.settings.max_tokens > base.num_positions:
            raise ConfigError(
                f"{self.base}: made for {base.num_positions} tokens; lower --max-tokens from {self.settings.max_tokens}"
            )
        if self.settings.adapter == "none":
            return
        if not self.settings.targets:
            raise ConfigError(f"no target module; there are {', '.join(base.linears)}")
        for target in self.settings.targets:
            if target not in base.linears:
                raise ConfigError(f"{self.base}: no module {target!r} to target; there are {', '.join(base.linears)}")

    def _check_capacity(self, base: Checkpoint, device: Device) -> None:
        weight = 4 if _dtype(self.settings, device) == torch.float32 else 2
        state = 0 if self.settings.adapter == "lora" else 12
        needed = base.num_parameters * (weight + state)
        available = available_ram() if device.kind == "cpu" else int(torch.cuda.mem_get_info()[0])
        check_memory(
            needed, available, f"training {base.num_parameters:,} parameters", "take a smaller base or a larger device"
        )
        checkpoints = 0 if self.settings.adapter == "lora" else 3 * 12 * base.num_parameters
        check_disk(base.num_bytes + checkpoints, self.directory.path)

    def _model(self, device: Device) -> nn.Module:
        model: Any = AutoModelForCausalLM.from_pretrained(
            self.base,
            dtype=_dtype(self.settings, device),
            attn_implementation=device.attention,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        model.config.use_cache = False
        return adapt(model, self.settings)

    def _save(self, trainer: FindingTrainer, rows: Sequences, base: Checkpoint, classes: Sequence[str]) -> None:
        trainer.accelerator.wait_for_everyone()
        if not is_first_process():
            return
        model: Any = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
        outcome = {
            **training_outcome(trainer),
            "parameters": base.num_parameters,
            "trained_parameters": sum(each.numel() for each in model.parameters() if each.requires_grad),
            "train_examples": len(rows.rows),
            "train_tokens_an_epoch": rows.num_tokens,
            "prompts_cut": rows.num_cut,
            "classes": classes,
        }
        if self.settings.adapter == "lora":
            adapter = self.directory.path / ADAPTER
            model.save_pretrained(adapter)
            del model, trainer
            gc.collect()
            merge(self.base, adapter, self.directory.model)
        else:
            model.config.use_cache = True
            model.to(_stored_dtype(base)).save_pretrained(self.directory.model)
            copy_companions(self.base, self.directory.model)
        self.directory.finish(outcome)


def adapt(model: nn.Module, settings: FinetuneSettings) -> nn.Module:
    """Freeze a model and add the adapter that is trained in its place, if there is to be one."""
    if settings.adapter == "none":
        return model
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets),
        bias="none",
        task_type="CAUSAL_LM",
    )
    with quiet():  # PEFT imports every quantiser that is there, and one greets
        adapted: nn.Module = get_peft_model(model, config)
    return adapted


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
        base, dtype=_stored_dtype(found), local_files_only=True, trust_remote_code=False, use_safetensors=True
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


def copy_companions(source: Path, target: Path) -> None:
    """Copy the tokenizer and the like from one checkpoint to another."""
    for name in _COMPANIONS:
        if (source / name).is_file() and not (target / name).exists():
            shutil.copyfile(source / name, target / name)


def _dtype(settings: FinetuneSettings, device: Device) -> torch.dtype:
    """Choose the numbers of the frozen weights; weights that are trained are kept in full."""
    if settings.adapter == "none" or device.kind == "cpu":
        return torch.float32
    return device.dtype


def _stored_dtype(base: Checkpoint) -> torch.dtype:
    name = base.config.get("dtype", base.config.get("torch_dtype", "float32"))
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(str(name), torch.float32)
