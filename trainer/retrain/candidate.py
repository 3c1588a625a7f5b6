"""From the incumbent's weights to a candidate's model directory, by the commands that make any model."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.analysis.model import CLASSES
from pipeline.engine.errors import EngineError
from pipeline.engine.manifest import Manifest, read_manifest, write_manifest
from pipeline.errors import ConfigError
from trainer.record.run_directory import RECORD, RunDirectory
from trainer.retrain.data import Rehearsal
from trainer.settings import RetrainSettings
from trainer.steps import Steps

FLOAT, GPTQ = "float", "gptq"


@dataclass(slots=True, frozen=True)
class Incumbent:
    """The model that answers.

    Attributes:
        digest: its name in the registry.
        form: what its weights are taken from: ``float`` as they were trained, or ``gptq``, out of four bits again.
        classes: that it was trained on; None where it does not say, and is asked about all.
        rehearsal: what it knows beyond the classes, and has to be shown again, so that the candidate can be asked it.
    """

    digest: str
    directory: Path
    manifest: Manifest
    form: str
    classes: Sequence[str] | None
    rehearsal: Rehearsal


def base_form(manifest: Manifest) -> str:
    """Say which part of a model to train on.

    Raises:
        ConfigError: if it has none that can be.
    """
    for form in (FLOAT, GPTQ):
        if form in manifest.parts:
            return form
    raise ConfigError(f"model {manifest.name}: has neither float nor GPTQ weights, so it cannot be trained further")


class Workshop:
    """Makes the stages of a candidate; each method fills the directory that it is given."""

    def __init__(self, run: Path, incumbent: Incumbent, settings: RetrainSettings, steps: Steps) -> None:
        self._run = run
        self._incumbent = incumbent
        self._settings = settings
        self._steps = steps
        self._log = run / "steps.log"

    def base(self, target: Path) -> None:
        """Give the incumbent's weights as a float checkpoint."""
        part = self._incumbent.directory / self._incumbent.manifest.parts[self._incumbent.form]
        if self._incumbent.form == FLOAT:
            shutil.copytree(part, target)
            return
        self._steps.run(["dequantize", "--base", str(part), "--output", str(target)], self._log)

    def train(self, target: Path) -> None:
        """Train an adapter on lessons and replay, and merge it; goes on where a killed one stopped."""
        settings = self._settings
        again = (target / RECORD).exists()
        if again and RunDirectory(target).record()["outcome"] is not None:
            return  # killed between its end and its name
        if not again and target.exists():
            shutil.rmtree(target)
        arguments = [
            "finetune", "--base", str(self._run / "base"), "--data", str(self._run / "data"), "--output", str(target),
            "--optimizer", "lion_8bit", "--adapter", "lora", "--rank", str(settings.rank),
            "--alpha", str(2 * settings.rank), "--dropout", str(settings.dropout),
            "--merge-share", str(settings.merge_share), "--batch", str(settings.batch), "--accumulation", "1",
            "--epochs", str(settings.epochs), "--learning-rate", str(settings.learning_rate),
            "--min-learning-rate", str(settings.learning_rate / 20), "--no-gradient-checkpointing",
            "--patience", "0", "--eval-every", "100", "--threads", str(settings.threads),
            "--seed", str(settings.seed), *(["--resume"] if again else []),
        ]  # fmt: skip
        self._steps.run(arguments, self._log)

    def gptq(self, target: Path) -> None:
        """Quantise the merged checkpoint."""
        settings = self._settings
        arguments = [
            "quantize", "--base", str(self._run / "train" / "model"), "--data", str(self._run / "data"),
            "--output", str(target), "--examples", str(settings.calibration), "--group-size", str(settings.group_size),
            "--threads", str(settings.threads), "--seed", str(settings.seed),
        ]  # fmt: skip
        self._steps.run(arguments, self._log)

    def model(self, target: Path, name: str, record: Mapping[str, Any]) -> None:
        """Export, and add the float weights, which the next retraining goes on from."""
        known = self._incumbent.manifest
        arguments = [
            "export", "--base", str(self._run / "gptq" / "model"), "--output", str(target), "--name", name,
            "--origin", f"{known.name} ({self._incumbent.digest[:12]}), retrained on verdicts",
            "--run", str(self._run / "train"), "--run", str(self._run / "gptq"),
        ]  # fmt: skip
        self._steps.run(arguments, self._log)
        merged = self._run / "train" / "model"
        (target / FLOAT).mkdir()
        for path in sorted(merged.iterdir()):
            if path.name.endswith((".json", ".safetensors")):
                shutil.copyfile(path, target / FLOAT / path.name)
        made = read_manifest(target)
        kept = {**made.record, **record}
        if self._incumbent.classes is None:  # it is asked about all, and so is this one
            kept.pop(CLASSES, None)
        else:
            kept[CLASSES] = sorted({*made.record.get(CLASSES, ()), *self._incumbent.classes})
        try:
            write_manifest(
                target,
                name=made.name,
                kind=made.kind,
                base=made.base,
                prompt_version=made.prompt_version,
                context_length=made.context_length,
                parts={**made.parts, FLOAT: FLOAT},
                record=kept,
            )
        except EngineError as error:
            raise ConfigError(str(error)) from error
