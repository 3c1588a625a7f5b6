"""transformers' Trainer for findings, and the checkpoint that it goes on from."""

import json
import math
import os
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from pipeline.errors import ConfigError
from trainer.recipes.torch.batches import IGNORED, ResponseCollator
from trainer.recipes.torch.device import Device
from trainer.recipes.torch.progress import ProgressLog
from trainer.record.progress import RunProgress
from trainer.record.run_directory import RunDirectory
from trainer.settings import TrainSettings

_STATE = ("trainer_state.json", "optimizer.pt", "scheduler.pt")


class FindingTrainer(Trainer):
    """transformers' Trainer with logits, and loss, only where a response stands.

    Args:
        prompt_weight: what the loss on a token of the prompt counts, against 1 for one of the response.
    """

    def __init__(self, *args: Any, progress: ProgressLog, pad: int, prompt_weight: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._progress = progress
        self._pad = pad
        self._prompt_weight = prompt_weight
        self.model_accepts_loss_kwargs = True  # so that it counts tokens over the accumulated batches and all devices
        self.remove_callback(PrinterCallback)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Give the mean loss over the tokens of all responses; those of prompts may add to it."""
        outputs = model(input_ids=inputs["input_ids"], logits_to_keep=inputs["logits_to_keep"], use_cache=False)
        logits = outputs.logits.float().flatten(0, 1)  # [B * K, V]
        labels = inputs["labels"].flatten()
        total = functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
        if model.training:
            self._progress.count(int((inputs["input_ids"] != self._pad).sum()) * self.args.world_size)
            if self._prompt_weight and "prompt_labels" in inputs:
                total = total + self._prompt_weight * functional.cross_entropy(
                    logits, inputs["prompt_labels"].flatten(), ignore_index=IGNORED, reduction="sum"
                )
        if num_items_in_batch is None:
            loss = total / (labels != IGNORED).sum()
        else:
            # The count is of all processes, and their gradients are averaged.
            loss = total / num_items_in_batch * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss


class StopAtNan(TrainerCallback):
    """Ends a run whose loss is no number: what follows would be noise."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Look at what was logged."""
        for name in ("loss", "eval_loss"):
            value = (logs or {}).get(name)
            if value is not None and not math.isfinite(value):
                raise ConfigError(
                    f"step {state.global_step}: {name} is {value}; lower --learning-rate, or use --precision fp32"
                )


def make_trainer(
    model: PreTrainedModel | nn.Module,
    settings: TrainSettings,
    device: Device,
    run: RunDirectory,
    *,
    train: list[dict[str, Any]],
    valid: list[dict[str, Any]],
    pad: int,
    optimizer: str,
    prompt_weight: float = 0.0,
) -> FindingTrainer:
    """Make the trainer of a recipe; what it computes is all in the settings."""
    arguments = TrainingArguments(
        output_dir=str(run.checkpoints),
        per_device_train_batch_size=settings.batch,
        per_device_eval_batch_size=settings.batch,
        gradient_accumulation_steps=settings.accumulation,
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        optim=optimizer,
        learning_rate=settings.learning_rate,
        adam_beta1=settings.beta1,
        adam_beta2=settings.beta2,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        lr_scheduler_type="cosine_warmup_with_min_lr",
        lr_scheduler_kwargs={"min_lr": settings.min_learning_rate},
        warmup_steps=settings.warmup,  # below 1 it is a share
        use_cpu=device.kind == "cpu",
        bf16=device.precision == "bf16",
        fp16=device.precision == "fp16",
        tf32=device.tf32 if device.kind == "cuda" else None,
        gradient_checkpointing=settings.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        torch_compile=settings.compile,
        seed=settings.seed,
        data_seed=settings.seed,
        train_sampling_strategy="group_by_length",  # batches of like length hardly need padding
        remove_unused_columns=False,
        dataloader_pin_memory=device.kind == "cuda",
        prediction_loss_only=True,
        logging_steps=settings.log_every,
        logging_first_step=True,
        eval_strategy="steps",
        eval_steps=settings.eval_every,
        save_strategy="steps",
        save_steps=settings.eval_every,
        save_total_limit=2,  # the best and the last
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        ddp_backend="gloo" if device.kind == "cpu" and "WORLD_SIZE" in os.environ else None,
        ddp_find_unused_parameters=False,
        report_to="none",
        disable_tqdm=True,
        push_to_hub=False,
    )
    progress = ProgressLog(RunProgress(run))
    callbacks: list[TrainerCallback] = [progress, StopAtNan()]
    if settings.patience:
        callbacks.append(EarlyStoppingCallback(settings.patience))
    return FindingTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=valid,
        data_collator=ResponseCollator(pad, prompt_loss=prompt_weight > 0),
        callbacks=callbacks,
        progress=progress,
        pad=pad,
        prompt_weight=prompt_weight,
    )


def last_checkpoint(run: RunDirectory) -> Path | None:
    """Find the latest checkpoint that was written to its end; None starts at the first step."""
    found = []
    for path in run.checkpoints.glob("checkpoint-*"):
        number = path.name.rpartition("-")[2]
        if number.isdigit() and _is_whole(path):
            found.append((int(number), path))
    return max(found)[1] if found else None


def training_outcome(trainer: FindingTrainer) -> dict[str, Any]:
    """Say what a run came to, for its record."""
    state = trainer.state
    best = state.best_metric
    return {
        "steps": state.global_step,
        "best_step": state.best_global_step,
        "best_eval_loss": None if best is None else float(f"{best:.6g}"),
        "stopped_early": state.global_step < state.max_steps,
    }


def _is_whole(path: Path) -> bool:
    if not all((path / name).is_file() for name in _STATE) or not list(path.glob("*.safetensors")):
        return False
    try:
        state = json.loads((path / _STATE[0]).read_bytes())
    except ValueError:
        return False
    return isinstance(state, dict)
