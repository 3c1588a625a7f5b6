"""A model on disk, as whoever asks it sees it: verified and named, and with the answers that were shipped with it.

Neither weights nor a runtime are loaded here; most runs need neither.
"""

import hashlib
from pathlib import Path
from typing import Protocol

from pipeline.engine.checkpoint import checkpoint_digest
from pipeline.engine.generator import Grammar
from pipeline.engine.identity import DEFAULT_THREADS, digest_of, part_of
from pipeline.engine.manifest import Manifest, verify
from pipeline.engine.messages import Start
from pipeline.engine.runtimes import Device, Runtime
from pipeline.engine.shipped import answer_key, read_answers


class Weights(Protocol):
    """What a process needs to know of a model in order to load it.

    Attributes:
        weight_bytes: size of what a runtime loads.
        generator_digest: of the generator of these weights, without shipped answers.
    """

    weight_bytes: int
    generator_digest: str

    @property
    def name(self) -> str:
        """The name of the model and its weights, for people."""

    @property
    def digest(self) -> str:
        """A digest of everything that answers depend on besides prompt, grammar and limit."""

    def start(self) -> Start:
        """Say what the process that runs it is to load."""

    def shipped_answer(self, prompt: str, grammar: Grammar) -> str | None:
        """Return the answer that was shipped with the model, if there is one."""


class Model:
    """A verified model directory: `Weights`.

    Attributes:
        manifest: the files were verified against it.
        weights: digest of the weights in use, and of the tokenizer.
    """

    def __init__(
        self,
        directory: Path,
        runtime: Runtime = "onnx",
        *,
        threads: int = DEFAULT_THREADS,
        device: Device = "cpu",
        shipped: bool = True,
    ) -> None:
        """Verify the directory.

        Args:
            shipped: use the answers in the directory.

        Raises:
            ModelMissing, ModelDamaged, Unsupported: saying what to do.
        """
        self.manifest: Manifest = verify(directory)
        self.directory = directory
        self.runtime: Runtime = runtime
        self.threads = threads
        self.device: Device = device
        part = part_of(self.manifest, runtime, device)
        self.weights = self.manifest.part_digest(part)
        self.weight_bytes = self.manifest.part_bytes(part)
        self.generator_digest = digest_of(self.manifest, runtime, threads, device)
        self._shipped = read_answers(directory, self.manifest, part) if shipped else None

    @property
    def name(self) -> str:
        """The name of the model and its weights, for people."""
        return f"{self.manifest.name}@{self.weights[:12]}"

    @property
    def digest(self) -> str:
        """A digest of everything that answers depend on besides prompt, grammar and limit."""
        if self._shipped is None:
            return self.generator_digest
        return hashlib.sha256(f"{self.generator_digest}\0{self._shipped.digest}".encode()).hexdigest()

    def start(self) -> Start:
        """Say what the process that runs it is to load."""
        return Start(
            str(self.directory.absolute()), False, self.runtime, self.threads, self.device, self.generator_digest
        )

    @property
    def num_shipped(self) -> int:
        """How many answers were shipped."""
        return len(self._shipped) if self._shipped is not None else 0

    def shipped_answer(self, prompt: str, grammar: Grammar) -> str | None:
        """Return the answer that was shipped with the model, if there is one."""
        return self._shipped.get(answer_key(prompt, grammar)) if self._shipped is not None else None


class Checkpoint:
    """A checkpoint without a manifest, which torch reads: `Weights`."""

    def __init__(self, directory: Path, *, threads: int = DEFAULT_THREADS, device: Device = "cpu") -> None:
        """Look at a directory, and hash what is in it.

        Raises:
            ModelMissing, ModelDamaged, Unsupported: saying what to do.
        """
        self.directory = directory
        self.runtime: Runtime = "torch"
        self.threads = threads
        self.device: Device = device
        self.weight_bytes = sum(path.stat().st_size for path in directory.glob("*.safetensors"))
        self.generator_digest = checkpoint_digest(directory, threads, device)

    @property
    def name(self) -> str:
        """The name of the directory."""
        return self.directory.name

    @property
    def digest(self) -> str:
        """A digest of everything that answers depend on besides prompt, grammar and limit."""
        return self.generator_digest

    def start(self) -> Start:
        """Say what the process that runs it is to load."""
        return Start(
            str(self.directory.absolute()), True, self.runtime, self.threads, self.device, self.generator_digest
        )

    def shipped_answer(self, prompt: str, grammar: Grammar) -> str | None:
        """Return None: a checkpoint has no answers."""
        return None
