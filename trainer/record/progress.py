"""Progress of a training run: a bar on a terminal, JSON lines in a pipe, the metrics file and the curve."""

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainer.record.metrics import draw_curve, keep_until
from trainer.record.run_directory import RunDirectory

_KEYS = ("loss", "eval_loss", "learning_rate", "grad_norm", "epoch", "tokens", "tokens_per_s")


class RunProgress:
    """Writes what a run logs.

    Args:
        output: where lines and bar go; standard output if not given.
    """

    def __init__(self, run: RunDirectory, output: TextIO | None = None) -> None:
        self._run = run
        self._output = sys.stdout if output is None else output
        self._bar: Progress | None = None
        self._steps = self._tokens = self._seen = 0
        self._since = time.perf_counter()

    def count(self, tokens: int) -> None:
        """Add tokens that went through the model since the last call."""
        self._tokens += tokens

    def begin(self, steps: int, done: int = 0) -> None:
        """Start the bar; forget metrics of steps that a resume repeats."""
        self.go_on()
        self._steps = steps
        keep_until(self._run.metrics, done)
        if self._output.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(file=self._output),
            )
            self._bar.start()
            self._bar.add_task("training", total=steps, completed=done)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write one line of what was measured at a step; a training loss comes with the speed since the last one."""
        line: dict[str, Any] = {"step": step}
        if "loss" in values:
            now = time.perf_counter()
            line["tokens"] = self._tokens
            line["tokens_per_s"] = round((self._tokens - self._seen) / max(now - self._since, 1e-9))
            self._seen, self._since = self._tokens, now
        line |= {name: float(f"{values[name]:.6g}") for name in _KEYS if name in values}
        with self._run.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
        if self._bar is not None:
            text = ", ".join(f"{name} {line[name]}" for name in ("loss", "eval_loss", "tokens_per_s") if name in line)
            self._bar.update(self._bar.task_ids[0], description=text, completed=step)
        else:
            self._output.write(json.dumps({"event": "training.logged", "of": self._steps, **line}) + "\n")
            self._output.flush()

    def go_on(self) -> None:
        """Say that training begins or goes on: what was done since the last line does not count as training time."""
        self._since = time.perf_counter()

    def draw(self) -> None:
        """Draw the curve anew."""
        draw_curve(self._run.metrics, self._run.curve)

    def end(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
