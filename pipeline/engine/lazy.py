"""A model that is loaded when it is first needed; its shipped answers come first."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.engine.errors import EngineError, ModelDamaged, RuntimeFault, Unsupported
from pipeline.engine.generator import Grammar
from pipeline.engine.identity import DEFAULT_THREADS, digest_of, part_of
from pipeline.engine.manifest import Manifest, verify
from pipeline.engine.runtimes import Device, Runtime
from pipeline.engine.shipped import answer_key, read_answers

if TYPE_CHECKING:
    from pipeline.engine.decoder import Decoder


class LazyGenerator:
    """A `Generator` over a model directory; most runs need only its shipped answers.

    Attributes:
        manifest: of the model; the files were verified against it.
        weights: digest of the weights in use, and of the tokenizer.
        device: that it runs on.
        num_shipped, num_fresh: how many answers were shipped ones, and how many the model gave.
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
        """Verify the directory; neither weights nor a runtime are loaded.

        Args:
            shipped: use the answers in the directory.

        Raises:
            ModelMissing, ModelDamaged, Unsupported: saying what to do.
        """
        self.manifest: Manifest = verify(directory)
        self._directory = directory
        self._runtime: Runtime = runtime
        self._threads = threads
        self.device: Device = device
        self.num_shipped = 0
        self.num_fresh = 0
        self._decoder: Decoder | None = None
        self._failure: EngineError | None = None
        part = part_of(self.manifest, runtime, device)
        self.weights = self.manifest.part_digest(part)
        self._shipped = read_answers(directory, self.manifest, part) if shipped else None
        self._digest = self._unshipped = digest_of(self.manifest, runtime, threads, device)
        if self._shipped is not None:
            self._digest = hashlib.sha256(f"{self._unshipped}\0{self._shipped.digest}".encode()).hexdigest()

    @property
    def digest(self) -> str:
        """A digest of everything that answers depend on besides prompt, grammar and limit."""
        return self._digest

    @property
    def name(self) -> str:
        """The name of the model and its weights, for people."""
        return f"{self.manifest.name}@{self.weights[:12]}"

    @property
    def num_known(self) -> int:
        """Count the shipped answers."""
        return len(self._shipped.answers) if self._shipped is not None else 0

    def generate(self, prompt: str, grammar: Grammar, max_tokens: int) -> str:
        """Answer.

        Raises:
            EngineError: as a generator does; a model that cannot be loaded is not tried again.
        """
        if self._shipped is not None:
            text = self._shipped.answers.get(answer_key(prompt, grammar))
            if text is not None:
                self.num_shipped += 1
                return text
        decoder = self.load()
        try:
            answer = decoder.generate(prompt, grammar, max_tokens)
        except (RuntimeError, MemoryError) as error:  # what the runtimes raise, a GPU without memory included
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise RuntimeFault(
                f"{self._directory}: the {self._runtime} runtime failed in the middle of an answer: {reason}; "
                "free memory, or install the model again"
            ) from error
        self.num_fresh += 1
        return answer

    def load(self) -> "Decoder":
        """Load the model, if it is not.

        Raises:
            EngineError: if it cannot be loaded.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)  # else each time would add its frames to those before
        if self._decoder is None:
            try:
                self._decoder = self._open()
            except EngineError as error:
                self._failure = error
                raise
        return self._decoder

    def _open(self) -> "Decoder":
        try:
            from pipeline.engine.load import open_verified  # brings numpy and the grammar's library along
        except ImportError as error:
            raise Unsupported(f"the model cannot be run: {error}; install sysscan-agent again") from error
        # Days may lie between the first look and this one, and an upgrade of the model or of what runs it.
        now = verify(self._directory)
        if digest_of(now, self._runtime, self._threads, self.device) != self._unshipped:
            raise ModelDamaged(f"{self._directory}: not what it was when this process began; start it again")
        return open_verified(self._directory, self.manifest, self._runtime, threads=self._threads, device=self.device)

    def close(self) -> None:
        """Give the memory back; the generator cannot be used afterwards."""
        if self._decoder is not None:
            self._decoder.close()
