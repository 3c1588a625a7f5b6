"""The model that is evaluated: a model directory, or a checkpoint that has no manifest yet."""

import importlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.engine.errors import ModelMissing, Unsupported
from pipeline.engine.generator import Generator
from pipeline.engine.identity import DEFAULT_THREADS, choose_device, part_of
from pipeline.engine.manifest import MANIFEST, read_manifest
from pipeline.engine.reading import read_json
from pipeline.engine.runtimes import RUNTIMES, Device, Runtime

_CONFIG = "config.json"  # of a checkpoint


@dataclass(slots=True, frozen=True)
class Target:
    """How to open a model.

    Attributes:
        name: of the model; a checkpoint is called by its directory.
        form: ``float``, ``gptq`` or ``onnx``, as in a manifest.
        checkpoint: there is no manifest.
    """

    path: Path
    name: str
    form: str
    runtime: Runtime
    device: Device
    threads: int
    checkpoint: bool

    def open(self) -> Generator:
        """Verify and load it.

        Raises:
            EngineError: saying what is missing, damaged or not supported, and what to do.
        """
        try:  # what decodes needs numpy and llguidance, and may miss them
            load = importlib.import_module("pipeline.engine.load")
        except ImportError as error:
            remedy = RUNTIMES[self.runtime].remedy
            raise Unsupported(f"{error}; {remedy}") from error
        generator: Generator = (
            load.open_checkpoint(self.path, threads=self.threads, device=self.device)
            if self.checkpoint
            else load.open_generator(self.path, self.runtime, threads=self.threads, device=self.device)
        )
        return generator

    def as_json(self) -> dict[str, Any]:
        """Give plain values, for another process."""
        return {**asdict(self), "path": str(self.path)}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "Target":
        """Read what `as_json` gave."""
        return cls(**{**body, "path": Path(body["path"])})


def find_target(
    path: Path, runtime: Runtime | None = None, threads: int | None = None, device: Device | None = None
) -> Target:
    """Look at a directory without loading anything; what is not given is chosen.

    Raises:
        EngineError: if there is no model that this runtime could run.
    """
    chosen = threads if threads is not None else DEFAULT_THREADS
    if not (path / MANIFEST).exists() and (path / _CONFIG).exists():
        if runtime == "onnx":
            raise Unsupported(f"{path}: a checkpoint, which the torch runtime reads; export it with `sysscan-train`")
        where = device or choose_device(path, "torch")
        return Target(path.absolute(), path.name, _form(path / _CONFIG), "torch", where, chosen, checkpoint=True)
    manifest = read_manifest(path)
    runtime = runtime or "onnx"
    where = device or choose_device(path, runtime)
    form = part_of(manifest, runtime, where)
    return Target(path.absolute(), manifest.name, form, runtime, where, chosen, checkpoint=False)


def _form(config: Path) -> str:
    try:
        return "gptq" if "quantization_config" in read_json(config) else "float"
    except (OSError, ValueError, TypeError) as error:
        raise ModelMissing(f"{config}: cannot be read: {error}; name a directory that holds a checkpoint") from error
