"""A model directory as whoever asks it sees it: whole, named, and with the answers that it brings along."""

import hashlib
from pathlib import Path

from pipeline.engine.generator import Grammar
from pipeline.engine.identity import DEFAULT_THREADS, Device, Runtime, digest_of, part_of
from pipeline.engine.manifest import Manifest, verify
from pipeline.engine.shipped import answer_key, read_answers


class Model:
    """A verified model directory; neither weights nor a runtime are loaded by this, and most runs need neither.

    Attributes:
        manifest: whose files were held to it.
        weights: digest of the weights in use, and of the tokenizer.
        weight_bytes: size of what a runtime loads.
        generator_digest: of a generator of these weights, without the shipped answers.
        digest: everything that an answer depends on beside prompt, grammar and limit.
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
            shipped: use the answers that the directory brings along.

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
        self._shipped = read_answers(directory, self.manifest, part) if shipped else None
        self.digest = self.generator_digest = digest_of(self.manifest, runtime, threads, device)
        if self._shipped is not None:
            self.digest = hashlib.sha256(f"{self.generator_digest}\0{self._shipped.digest}".encode()).hexdigest()

    @property
    def name(self) -> str:
        """Name the model for people, and its weights."""
        return f"{self.manifest.name}@{self.weights[:12]}"

    @property
    def num_shipped(self) -> int:
        """Count the shipped answers."""
        return len(self._shipped.answers) if self._shipped is not None else 0

    def shipped_answer(self, prompt: str, grammar: Grammar) -> str | None:
        """Give the answer that the directory brings along, if it has one."""
        return self._shipped.answers.get(answer_key(prompt, grammar)) if self._shipped is not None else None
