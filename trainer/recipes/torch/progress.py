"""Progress of a training run: a bar on a terminal, JSON lines in a pipe, the metrics file and the curve."""

import json
import sys
import time
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainer.record.metrics import draw_curve, keep_until
from trainer.record.run_directory import RunDirectory

_KEYS = ("loss", "eval_loss", "learning_rate", "grad_norm", "epoch", "tokens", "tokens_per_s")


class ProgressLog(TrainerCallback):
    """Writes what a run logs; only in the first process of several."""

    def __init__(self, run: RunDirectory, output: TextIO | None = None) -> None:
        self._run = run
        self._output = sys.stdout if output is None else output
        self._bar: Progress | None = None
        self._tokens = 0
        self._seen = 0
        self._since = time.perf_counter()

    def count(self, tokens: int) -> None:
        """Add tokens that went through the model since the last call."""
        self._tokens += tokens

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the bar; forget metrics of steps that a resume repeats."""
        self._since = time.perf_counter()
        if not state.is_world_process_zero:
            return
        keep_until(self._run.metrics, state.global_step)
        if self._output.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(file=self._output),
            )
            self._bar.start()
            self._bar.add_task("training", total=state.max_steps, completed=state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write one line."""
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        line: dict[str, Any] = {"step": state.global_step}
        if "loss" in logs:
            now = time.perf_counter()
            line["tokens"] = self._tokens
            line["tokens_per_s"] = round((self._tokens - self._seen) / max(now - self._since, 1e-9))
            self._seen, self._since = self._tokens, now
        line |= {name: _rounded(logs[name]) for name in _KEYS if name in logs}
        with self._run.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
        if self._bar is not None:
            text = ", ".join(f"{name} {line[name]}" for name in ("loss", "eval_loss", "tokens_per_s") if name in line)
            self._bar.update(self._bar.task_ids[0], description=text, completed=state.global_step)
        else:
            self._say({"event": "training.logged", "of": state.max_steps, **line})

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Draw the curve anew; evaluation does not count as training time."""
        self._since = time.perf_counter()
        if state.is_world_process_zero:
            draw_curve(self._run.metrics, self._run.curve)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if state.is_world_process_zero:
            draw_curve(self._run.metrics, self._run.curve)

    def _say(self, line: dict[str, Any]) -> None:
        self._output.write(json.dumps(line) + "\n")
        self._output.flush()


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
