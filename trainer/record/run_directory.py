"""The directory of a run: what went in, what came out, and with which code."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import trainer
from pipeline.errors import ConfigError
from trainer.preflight import check_empty

RECORD = "run.json"
METRICS = "metrics.jsonl"
CURVE = "loss.png"
RESULT = "model"
CHECKPOINTS = "checkpoints"

_LIBRARIES = (
    "accelerate", "bitsandbytes", "gptqmodel", "numpy", "onnx", "onnxruntime", "onnxruntime-genai", "peft", "pydantic",
    "safetensors", "tokenizers", "torch", "transformers",
)  # fmt: skip
_ROOT = Path(trainer.__file__).resolve().parents[1]
# How a run is carried out, not what it computes: may differ when it goes on.
_MAY_CHANGE = frozenset({"resume", "threads", "device", "eval_every", "save_every", "log_every"})


def is_first_process() -> bool:
    """Say whether this process writes files and speaks; torchrun numbers several."""
    return os.environ.get("RANK", "0") == "0"


class RunDirectory:
    """A directory that one run owns.

    ``run.json`` holds recipe, settings, seed, inputs with their digests, versions and, at the end, the outcome;
    ``metrics.jsonl`` one line for each logged step; ``loss.png`` the curve; ``model/`` what was made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = path / METRICS
        self.curve = path / CURVE
        self.model = path / RESULT
        self.checkpoints = path / CHECKPOINTS

    def begin(self, recipe: str, settings: Mapping[str, Any], inputs: Mapping[str, str], *, resume: bool) -> None:
        """Claim the directory and write down what the run is made of.

        Args:
            recipe: name of the command.
            settings: plain values only; the seed among them.
            inputs: name of each input -> its digest.
            resume: go on with a run that is here; settings and inputs have to be the same.

        Raises:
            ConfigError: if the directory is in use by something else.
        """
        if resume:
            self._hold_to(recipe, settings, inputs)
            return
        check_empty(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._write(
            {
                "recipe": recipe,
                "settings": dict(settings),
                "inputs": dict(inputs),
                "code": code_version(),
                "versions": library_versions(),
                "machine": {"python": platform.python_version(), "system": platform.platform()},
                "outcome": None,
            }
        )

    def finish(self, outcome: Mapping[str, Any]) -> None:
        """Add what came out."""
        self._write({**self.record(), "outcome": dict(outcome)})

    def record(self) -> dict[str, Any]:
        """Read what is written down.

        Raises:
            ConfigError: if this is no directory of a run.
        """
        path = self.path / RECORD
        try:
            record = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise ConfigError(f"{self.path}: nothing to resume, there is no {RECORD}; start without --resume") from None
        except ValueError as error:
            raise ConfigError(f"{path}: damaged ({error}); start anew in another directory") from error
        if not isinstance(record, dict):
            raise ConfigError(f"{path}: not a record of a run; start anew in another directory")
        return record

    def _hold_to(self, recipe: str, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
        record = self.record()
        if record.get("recipe") != recipe:
            raise ConfigError(f"{self.path}: a run of {record.get('recipe')}, not of {recipe}; use another directory")
        if record.get("outcome") is not None:
            raise ConfigError(f"{self.path}: this run is finished; its model is in {self.model}")
        before = record.get("settings", {})
        for name, value in settings.items():
            if name not in _MAY_CHANGE and before.get(name) != value:
                raise ConfigError(
                    f"{self.path}: begun with {name}={before.get(name)}, cannot go on with {name}={value}; "
                    "give the same settings or another directory"
                )
        for name, digest in inputs.items():
            if record.get("inputs", {}).get(name) != digest:
                raise ConfigError(f"{self.path}: {name} has changed since the run began; use another directory")

    def _write(self, record: Mapping[str, Any]) -> None:
        path = self.path / RECORD
        temporary = path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(record, indent=2, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def files_digest(directory: Path) -> str:
    """Name the content of all files right inside a directory."""
    digest = hashlib.sha256()
    for path in sorted(path for path in directory.iterdir() if path.is_file()):
        with path.open("rb") as file:
            digest.update(f"{path.name}\0".encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def library_versions() -> dict[str, str]:
    """List the versions of what the recipes stand on, as far as it is installed."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def code_version() -> str:
    """Name our own code by its content: works from a wheel, and says so when a checkout was edited."""
    try:
        name = version("sysscan-agent")
    except PackageNotFoundError:
        name = "0+unknown"
    digest = hashlib.sha256()
    for path in _code():
        digest.update(f"{path.relative_to(_ROOT)}\0".encode() + path.read_bytes())
    return f"{name}+{digest.hexdigest()[:12]}"


def _code() -> list[Path]:
    """List what a model depends on: the trainer, and what the model reads and writes."""
    analysis = _ROOT / "pipeline" / "analysis"
    return [*sorted((_ROOT / "trainer").rglob("*.py")), analysis / "critique.py", analysis / "prompt.py"]
