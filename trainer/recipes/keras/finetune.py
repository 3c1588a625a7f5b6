"""Recipe: LoRA and Lion in Keras 3, on the backend that ``KERAS_BACKEND`` names; the same files as in torch."""

import math
import os
from pathlib import Path
from typing import Any

import keras

from pipeline.engine.memory import available_bytes
from pipeline.errors import ConfigError
from trainer.data.dataset import HIDDEN_FOLD, dataset_digest, hidden_fold
from trainer.data.examples import classes_of, questions_of, read_split, read_training
from trainer.preflight import check_disk, check_empty, check_memory
from trainer.recipes.adapter import finish_adapter
from trainer.recipes.checkpoint import Checkpoint, inspect_checkpoint
from trainer.recipes.encode import encode_examples
from trainer.recipes.keras.llama import Llama, Lora, Shape
from trainer.recipes.keras.training import Trained, Training
from trainer.recipes.keras.weights import (
    dump_weights,
    load_weights,
    merged,
    read_adapter,
    read_weights,
    write_adapter,
    write_checkpoint,
)
from trainer.recipes.tokenizer import load_encoder
from trainer.record.progress import RunProgress
from trainer.record.run_directory import RunDirectory, files_digest
from trainer.settings import FinetuneSettings

ADAPTER = "adapter"


class Finetune:
    """Train an adapter (or all weights) on a data set, then merge; `run` does all of it.

    Args:
        base: local checkpoint of a Llama.
        start: an adapter to go on from; one by chance if not given.
    """

    def __init__(
        self, base: Path, data: Path, output: Path, settings: FinetuneSettings, *, start: Path | None = None
    ) -> None:
        self.base = base
        self.data = data
        self.settings = settings
        self.start = start
        self.directory = RunDirectory(output)

    def run(self) -> Path:
        """Check the input, train, and give the checkpoint's directory.

        Raises:
            ConfigError: if the base is none that is built here, or a setting asks for what Keras does not do.
        """
        settings = self.settings
        check_empty(self.directory.path)
        base, shape = self._check()
        train = read_training(self.data, settings.classes)
        valid = read_split(self.data, "valid")[: settings.max_valid]
        encoder = load_encoder(self.base)
        limit = settings.max_tokens
        rows, valid_rows = encode_examples(train, encoder, limit), encode_examples(valid, encoder, limit)
        self.directory.begin(
            "finetune",
            {**settings.plain(), "recipe": "keras", "backend": keras.backend.backend()},
            {"data": dataset_digest(self.data), "base": files_digest(self.base)},
            resume=False,
        )
        keras.utils.set_random_seed(settings.seed)
        keras.config.set_dtype_policy("mixed_bfloat16" if settings.precision == "bf16" else "float32")
        lora = self._lora()
        weights = read_weights(base)
        model = Llama(shape, lora)
        load_weights(model, weights)
        if self.start is not None:
            read_adapter(model, self.start)
        progress = RunProgress(self.directory)
        training = Training(model, settings, progress, train=rows.rows, valid=valid_rows.rows, pad=encoder.pad)
        trained = training.run()
        if lora is None:
            weights = dump_weights(model)
        else:
            write_adapter(model, lora, base, self.directory.path / ADAPTER)
            finish_adapter(self.directory.path / ADAPTER, self.base)
            read_adapter(model, self.directory.path / ADAPTER)  # what is merged is what is kept
            weights = merged(model, lora, weights, settings.merge_share)
        write_checkpoint(weights, base, self.directory.model)
        self.directory.finish(
            {
                **_outcome(trained, model, base),
                "train_examples": len(rows.rows),
                "train_tokens_an_epoch": rows.num_tokens,
                "prompts_cut": rows.num_cut,
                "classes": classes_of(train),
                "questions": questions_of(train),
                HIDDEN_FOLD: hidden_fold(self.data),
            }
        )
        return self.directory.model

    def _check(self) -> tuple[Checkpoint, Shape]:
        settings = self.settings
        base = inspect_checkpoint(self.base)
        if base.quantised:
            raise ConfigError(f"{self.base}: already quantised; fine-tune the float checkpoint and quantise it after")
        if settings.optimizer == "adamw_torch":
            raise ConfigError(
                "--optimizer adamw_torch is torch's; with --recipe keras it is Lion, with 32 bits of state"
            )
        if settings.precision == "fp16":
            raise ConfigError("--precision fp16 needs --recipe torch; Keras takes bf16 or fp32")
        if settings.device == "cuda":
            raise ConfigError("--device cuda: with Keras its backend chooses the device; leave --device out")
        if "WORLD_SIZE" in os.environ:
            raise ConfigError("several processes need --recipe torch")
        if settings.max_tokens > base.num_positions:
            raise ConfigError(
                f"{self.base}: made for {base.num_positions} tokens; lower --max-tokens from {settings.max_tokens}"
            )
        if settings.adapter == "lora":
            for target in settings.targets:
                if target not in base.linears:
                    raise ConfigError(
                        f"{self.base}: no module {target!r} to target; there are {', '.join(base.linears)}"
                    )
        try:
            shape = Shape.of(base.config)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self.base}/config.json: {error}") from error
        state = 4 if settings.adapter == "lora" else 12
        check_memory(
            base.num_parameters * state, available_bytes(), f"training {base.num_parameters:,} parameters",
            "take a smaller base",
        )  # fmt: skip
        check_disk(base.num_bytes, self.directory.path)
        return base, shape

    def _lora(self) -> Lora | None:
        settings = self.settings
        if settings.adapter == "none":
            return None
        return Lora(settings.rank, settings.alpha, settings.dropout, frozenset(settings.targets), settings.seed)


def _outcome(trained: Trained, model: Llama, base: Checkpoint) -> dict[str, Any]:
    return {
        "steps": trained.steps,
        "best_step": trained.best_step,
        "best_eval_loss": float(f"{trained.best_loss:.6g}"),
        "stopped_early": trained.stopped_early,
        "parameters": base.num_parameters,
        "trained_parameters": sum(math.prod(variable.shape) for variable in model.trainable_variables),
    }
