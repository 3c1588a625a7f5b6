"""Progress of a run of transformers' Trainer; only the first process of several says something."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainer.record.progress import RunProgress


class ProgressLog(TrainerCallback):
    """Passes on what the Trainer logs."""

    def __init__(self, progress: RunProgress) -> None:
        self._progress = progress

    def count(self, tokens: int) -> None:
        """Add tokens that went through the model since the last call."""
        self._progress.count(tokens)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start."""
        if state.is_world_process_zero:
            self._progress.begin(state.max_steps, state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write one line."""
        if state.is_world_process_zero and logs and "train_runtime" not in logs:
            self._progress.log(state.global_step, logs)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Draw the curve anew; evaluation does not count as training time."""
        self._progress.go_on()
        if state.is_world_process_zero:
            self._progress.draw()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End."""
        if state.is_world_process_zero:
            self._progress.end()
            self._progress.draw()
