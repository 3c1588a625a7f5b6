"""What both training recipes do alike: check, read, claim a directory, train or go on, and keep a record."""

import gc
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from torch import nn

from trainer.data.dataset import HIDDEN_FOLD, Example, dataset_digest, hidden_fold
from trainer.data.examples import classes_of, questions_of, read_split
from trainer.preflight import check_empty
from trainer.recipes.encode import encode_examples
from trainer.recipes.tokenizer import TextEncoder
from trainer.recipes.torch.device import Device, prepare_device
from trainer.recipes.torch.training import last_checkpoint, make_trainer, training_outcome
from trainer.record.run_directory import RunDirectory, is_first_process
from trainer.settings import TrainSettings

S = TypeVar("S", bound=TrainSettings)


class TrainingRecipe(ABC, Generic[S]):
    """A run that trains; `run` does all of it. What is refused is refused before anything is made.

    Args:
        data: data set directory.
        output: run directory; the checkpoint ends up in its ``model/``.
        resume: go on with the run that is there.
    """

    name: ClassVar[str]

    def __init__(self, data: Path, output: Path, settings: S, *, resume: bool = False) -> None:
        self.data = data
        self.settings = settings
        self.resume = resume
        self.directory = RunDirectory(output)

    def run(self) -> Path:
        """Check the input, train, and give the checkpoint's directory."""
        if not self.resume and is_first_process():
            check_empty(self.directory.path, resumable=True)
        self.check_input()
        train = self.read_train()
        valid = read_split(self.data, "valid")[: self.settings.max_valid]
        device = prepare_device(self.settings, self.settings.precision)
        self.check_capacity(device)
        outcome = self._train(train, valid, device)
        gc.collect()  # what was trained: the end may need the room
        if is_first_process():
            self.complete()
            self.directory.finish(outcome)
        return self.directory.model

    def _train(self, train: list[Example], valid: list[Example], device: Device) -> dict[str, Any]:
        """Train or go on, save what was trained, and say what it came to."""
        limit = self.settings.max_tokens
        encoder = self.make_encoder(train)
        rows, valid_rows = encode_examples(train, encoder, limit), encode_examples(valid, encoder, limit)
        if is_first_process():
            inputs = {"data": dataset_digest(self.data), **self.inputs()}
            self.directory.begin(self.name, self.settings.plain(), inputs, resume=self.resume)
        trainer = make_trainer(
            self.make_model(encoder, device),
            self.settings,
            device,
            self.directory,
            train=rows.rows,
            valid=valid_rows.rows,
            pad=encoder.pad,
            optimizer=self.optimizer,
            prompt_weight=self.prompt_weight,
        )
        checkpoint = last_checkpoint(self.directory) if self.resume else None
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        trainer.accelerator.wait_for_everyone()
        if not is_first_process():
            return {}
        model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
        return {
            **training_outcome(trainer),
            **self.save(model, encoder),
            "train_examples": len(rows.rows),
            "train_tokens_an_epoch": rows.num_tokens,
            "prompts_cut": rows.num_cut,
            "classes": classes_of(train),
            "questions": questions_of(train),
            HIDDEN_FOLD: hidden_fold(self.data),
        }

    @property
    @abstractmethod
    def optimizer(self) -> str:
        """Name the optimiser, as transformers does."""

    @property
    def prompt_weight(self) -> float:
        """Give the weight of the loss on a token of the prompt."""
        return 0.0

    def check_input(self) -> None:
        """Refuse what the data set has nothing to do with.

        Raises:
            ConfigError: if there is something.
        """

    @abstractmethod
    def read_train(self) -> list[Example]:
        """Read what is trained on."""

    @abstractmethod
    def check_capacity(self, device: Device) -> None:
        """Refuse what would fit neither the memory nor the disk.

        Raises:
            ConfigError: if it would not.
        """

    @abstractmethod
    def make_encoder(self, train: Sequence[Example]) -> TextEncoder:
        """Give what turns text into ids; writes nothing."""

    def inputs(self) -> Mapping[str, str]:
        """Name what goes in beside the data set, with its digest."""
        return {}

    @abstractmethod
    def make_model(self, encoder: TextEncoder, device: Device) -> nn.Module:
        """Make the model as it stands before the first step."""

    @abstractmethod
    def save(self, model: Any, encoder: TextEncoder) -> Mapping[str, Any]:
        """Write what was trained, and say what the record should hold of it."""

    def complete(self) -> None:
        """Make the checkpoint of what was saved, where it is not one yet; the trained model is gone by now."""
