"""Recipe: LoRA and Lion on a local checkpoint, and the merge to a plain one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM

from pipeline.engine.memory import available_bytes
from pipeline.errors import ConfigError
from trainer.data.dataset import Example
from trainer.data.examples import read_training
from trainer.preflight import check_disk, check_memory
from trainer.quiet import quiet
from trainer.recipes.adapter import finish_adapter
from trainer.recipes.checkpoint import Checkpoint, copy_companions, inspect_checkpoint
from trainer.recipes.tokenizer import TextEncoder, load_encoder
from trainer.recipes.torch.device import Device
from trainer.recipes.torch.dropout import quicken
from trainer.recipes.torch.merge import merge, stored_dtype
from trainer.recipes.torch.recipe import TrainingRecipe
from trainer.record.run_directory import files_digest
from trainer.settings import FinetuneSettings

ADAPTER = "adapter"


class Finetune(TrainingRecipe[FinetuneSettings]):
    """Train an adapter (or all weights) on a data set, then merge.

    Args:
        base: local checkpoint of a Llama or Mistral model; the adapter ends up in the run's ``adapter/``.
    """

    name = "finetune"
    _base: Checkpoint

    def __init__(
        self, base: Path, data: Path, output: Path, settings: FinetuneSettings, *, resume: bool = False
    ) -> None:
        super().__init__(data, output, settings, resume=resume)
        self.base = base

    @property
    def optimizer(self) -> str:
        """Name the optimiser, as transformers does."""
        return self.settings.optimizer

    def check_input(self) -> None:
        """Refuse a base that cannot be tuned with these settings."""
        base = self._base = inspect_checkpoint(self.base)
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

    def read_train(self) -> list[Example]:
        """Read the classes to train on."""
        return read_training(self.data, self.settings.classes)

    def check_capacity(self, device: Device) -> None:
        """Refuse a base that would not fit."""
        base = self._base
        weight = 4 if _dtype(self.settings, device) == torch.float32 else 2
        state = 0 if self.settings.adapter == "lora" else 12
        needed = base.num_parameters * (weight + state)
        available = available_bytes() if device.kind == "cpu" else int(torch.cuda.mem_get_info()[0])
        check_memory(
            needed, available, f"training {base.num_parameters:,} parameters", "take a smaller base or a larger device"
        )
        checkpoints = 0 if self.settings.adapter == "lora" else 3 * 12 * base.num_parameters
        check_disk(base.num_bytes + checkpoints, self.directory.path)

    def make_encoder(self, train: Sequence[Example]) -> TextEncoder:
        """Read the tokenizer of the base."""
        return load_encoder(self.base)

    def inputs(self) -> Mapping[str, str]:
        """Name the base."""
        return {"base": files_digest(self.base)}

    def make_model(self, encoder: TextEncoder, device: Device) -> nn.Module:
        """Load the base, and adapt it."""
        model: Any = AutoModelForCausalLM.from_pretrained(
            self.base,
            dtype=_dtype(self.settings, device),
            attn_implementation=device.attention,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        model.config.use_cache = False
        adapted = adapt(model, self.settings)
        if device.kind == "cpu":
            quicken(adapted)
        return adapted

    def save(self, model: Any, encoder: TextEncoder) -> Mapping[str, Any]:
        """Write the adapter, or the checkpoint where all weights were trained."""
        trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
        if self.settings.adapter == "lora":
            model.save_pretrained(self.directory.path / ADAPTER)
            finish_adapter(self.directory.path / ADAPTER, self.base)
        else:
            model.config.use_cache = True
            model.to(stored_dtype(self._base)).save_pretrained(self.directory.model)
            copy_companions(self.base, self.directory.model)
        return {"parameters": self._base.num_parameters, "trained_parameters": trained}

    def complete(self) -> None:
        """Merge the adapter, where there is one."""
        if self.settings.adapter == "lora":
            merge(self.base, self.directory.path / ADAPTER, self.directory.model, self.settings.merge_share)


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


def _dtype(settings: FinetuneSettings, device: Device) -> torch.dtype:
    """Choose the numbers of the frozen weights; weights that are trained are kept in full."""
    if settings.adapter == "none" or device.kind == "cpu":
        return torch.float32
    return device.dtype
