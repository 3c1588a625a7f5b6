"""Training in Keras: batches of like lengths, loss where a response stands, Lion, the best evaluation kept."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from trainer.recipes.keras.llama import Llama
from trainer.record.progress import RunProgress
from trainer.settings import FinetuneSettings

_LENGTHS = 64  # lengths are rounded up to it: a shape that was not seen yet is compiled anew
_PLACES = 32
_GROUP = 50  # batches that are sorted by length together

Row = dict[str, Any]


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then cosine down to a least rate: transformers' ``cosine_warmup_with_min_lr``.

    Args:
        passes: how many make a step; Keras counts passes where it accumulates gradients.
    """

    def __init__(self, peak: float, least: float, steps: int, warmup: int, passes: int = 1) -> None:
        super().__init__()
        self._peak, self._least, self._steps, self._warmup, self._passes = peak, least, steps, warmup, passes

    def __call__(self, step: Any) -> Any:
        """Give the rate of a pass, counted from 0."""
        step = ops.floor(ops.cast(step, "float32") / self._passes)
        rising = self._peak * (step + 1) / max(1, self._warmup)
        share = (step - self._warmup + 1) / max(1, self._steps - self._warmup)
        falling = self._least + (self._peak - self._least) * 0.5 * (1.0 + ops.cos(math.pi * ops.minimum(share, 1.0)))
        return ops.where(step < self._warmup, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Say what it was made of."""
        return {
            "peak": self._peak, "least": self._least, "steps": self._steps, "warmup": self._warmup,
            "passes": self._passes,
        }  # fmt: skip


@dataclass(slots=True, frozen=True)
class Batch:
    """What goes through at once.

    Attributes:
        inputs: ``input_ids`` ``[B, T]`` and ``places`` ``[B, K]``.
        labels: ``[B, K]``, the token that follows each place.
        real: ``[B, K]``, 1 where there is one and 0 for padding.
        tokens: how many went in, without padding.
    """

    inputs: Mapping[str, NDArray[np.int32]]
    labels: NDArray[np.int32]
    real: NDArray[np.float32]
    tokens: int


@dataclass(slots=True, frozen=True)
class Trained:
    """What a run came to."""

    steps: int
    best_step: int
    best_loss: float
    stopped_early: bool


def make_batch(rows: Sequence[Row], pad: int) -> Batch:
    """Pad rows on the right, and find the places at which a token of a response is predicted."""
    length = _up(max(len(row["input_ids"]) for row in rows), _LENGTHS)
    width = _up(max(len(row["input_ids"]) - row["num_prompt"] for row in rows), _PLACES)
    ids = np.full((len(rows), length), pad, np.int32)
    places, labels = np.zeros((len(rows), width), np.int32), np.zeros((len(rows), width), np.int32)
    real = np.zeros((len(rows), width), np.float32)
    for number, row in enumerate(rows):
        tokens, seam = row["input_ids"], row["num_prompt"] - 1
        ids[number, : len(tokens)] = tokens
        count = len(tokens) - 1 - seam
        places[number, :count] = np.arange(seam, seam + count)
        labels[number, :count] = tokens[seam + 1 :]
        real[number, :count] = 1
    return Batch({"input_ids": ids, "places": places}, labels, real, sum(len(row["input_ids"]) for row in rows))


class Training:
    """One run: `run` trains the model in place and leaves it at its best evaluation.

    Raises:
        ConfigError: if the loss is no number any more.
    """

    def __init__(
        self,
        model: Llama,
        settings: FinetuneSettings,
        progress: RunProgress,
        *,
        train: Sequence[Row],
        valid: Sequence[Row],
        pad: int,
    ) -> None:
        self._model = model
        self._settings = settings
        self._progress = progress
        self._train = train
        self._valid = valid
        self._pad = pad
        a_step = settings.batch * settings.accumulation
        epoch = max(1, math.ceil(len(train) / a_step))
        self.steps = settings.max_steps or max(1, math.ceil(settings.epochs * epoch))
        self._epoch = epoch
        warmup = math.ceil(self.steps * settings.warmup)
        passes = settings.accumulation
        schedule = Schedule(settings.learning_rate, settings.min_learning_rate, self.steps, warmup, passes)
        optimizer = keras.optimizers.Lion(
            learning_rate=schedule,
            beta_1=settings.beta1,
            beta_2=settings.beta2,
            weight_decay=settings.weight_decay or None,
            global_clipnorm=settings.max_grad_norm or None,
            gradient_accumulation_steps=passes if passes > 1 else None,
        )
        optimizer.exclude_from_weight_decay(var_list=[one for one in model.norms() if one.trainable])
        self._schedule = schedule
        model.compile(
            optimizer=optimizer,
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum"),
        )

    def run(self) -> Trained:
        """Train to the end, or until evaluations bring no gain."""
        settings = self._settings
        self._progress.begin(self.steps)
        best = Trained(0, 0, math.inf, False)
        kept: list[NDArray[np.float32]] = []
        waited = 0
        losses: list[float] = []
        batches = self._batches()
        step = 0
        while step < self.steps:
            losses.append(self._step([next(batches) for _ in range(settings.accumulation)]))
            step += 1
            if not math.isfinite(losses[-1]):
                raise ConfigError(f"step {step}: loss is {losses[-1]}; lower --learning-rate, or use --precision fp32")
            if step % settings.log_every == 0 or step == self.steps:
                rate = float(self._schedule((step - 1) * settings.accumulation))
                shown = {"loss": sum(losses) / len(losses), "learning_rate": rate, "epoch": step / self._epoch}
                self._progress.log(step, shown)
                losses = []
            if step % settings.eval_every == 0 or step == self.steps:
                loss = self.evaluate()
                self._progress.log(step, {"eval_loss": loss, "epoch": step / self._epoch})
                self._progress.draw()
                self._progress.go_on()
                waited += 1
                if loss < best.best_loss:
                    best = Trained(step, step, loss, False)
                    kept = [ops.convert_to_numpy(one.value) for one in self._model.trainable_variables]
                    waited = 0
                if settings.patience and waited >= settings.patience:
                    break
        for variable, value in zip(self._model.trainable_variables, kept, strict=True):
            variable.assign(value)
        self._progress.end()
        return Trained(step, best.best_step, best.best_loss, step < self.steps)

    def evaluate(self) -> float:
        """Give the mean loss a token of the valid rows."""
        total = tokens = 0.0
        for begin in range(0, len(self._valid), self._settings.batch):
            batch = make_batch(self._valid[begin : begin + self._settings.batch], self._pad)
            self._model.reset_metrics()
            loss = self._model.test_on_batch(batch.inputs, batch.labels, sample_weight=batch.real)
            total += float(np.ravel(loss)[0])
            tokens += float(batch.real.sum())
        return total / max(1.0, tokens)

    def _step(self, rows: Sequence[Sequence[Row]]) -> float:
        """Do one step in some passes; returns the mean loss a token of all of them."""
        batches = [make_batch(some, self._pad) for some in rows]
        tokens = sum(float(batch.real.sum()) for batch in batches)
        total = 0.0
        for batch in batches:
            self._progress.count(batch.tokens)
            self._model.reset_metrics()
            # Gradients of the passes are averaged, and each token of the step is to count once.
            weight = batch.real * np.float32(len(batches) / tokens)
            loss = self._model.train_on_batch(batch.inputs, batch.labels, sample_weight=weight)
            total += float(np.ravel(loss)[0]) / len(batches)
        return total

    def _batches(self) -> Iterator[Sequence[Row]]:
        """Give batches without end: all rows in an order of chance, then, group by group, those of like lengths."""
        size, epoch = self._settings.batch, 0
        while True:
            order = list(range(len(self._train)))
            random.Random(f"{self._settings.seed}/{epoch}").shuffle(order)  # noqa: S311  (an order, not a secret)
            batches: list[list[int]] = []
            for begin in range(0, len(order), _GROUP * size):
                group = sorted(order[begin : begin + _GROUP * size], key=lambda one: -int(self._train[one]["length"]))
                batches += [group[start : start + size] for start in range(0, len(group), size)]
            random.Random(f"{self._settings.seed}/{epoch}/batches").shuffle(batches)  # noqa: S311
            for batch in batches:
                yield [self._train[one] for one in batch]
            epoch += 1


def _up(number: int, multiple: int) -> int:
    return max(1, math.ceil(number / multiple)) * multiple
