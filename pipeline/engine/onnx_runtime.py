"""ONNX Runtime GenAI: runs the embedded model on CPU, or on CUDA with the GPU build.

Neither torch nor the runtime's own tokenizer and sampler are used: tokens go in, logits come out. Telemetry is off
(see the package); nothing here opens a socket.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime_genai as og
from numpy.typing import NDArray

from pipeline.engine.errors import ModelDamaged, Unsupported
from pipeline.engine.memory import require_memory
from pipeline.engine.reading import read_json
from pipeline.engine.runtimes import Device

ARCHITECTURES = ("llama", "mistral")
_OVERHEAD_BYTES = 64 << 20  # of the runtime itself, and of activations


class OnnxRunner:
    """One model with one sequence, whose cache can be truncated and extended."""

    def __init__(self, directory: Path, *, context_length: int, threads: int, device: Device) -> None:
        """Load an export of the model builder.

        Args:
            context_length: tokens that the cache holds; at most what the model was made for.
            threads: for one operator; they are part of what the tokens depend on.

        Raises:
            ModelDamaged, Unsupported, NotEnoughMemory: if it cannot be loaded.
        """
        described = _describe(directory)
        self.context_length = min(context_length, int(described["context_length"]))
        cache_bytes = _cache_bytes(described["decoder"], self.context_length)
        weights_bytes = sum(path.stat().st_size for path in directory.iterdir() if path.is_file())
        if device == "cpu":
            # Weights count twice: kernels keep a copy in the order in which they read them.
            require_memory(2 * weights_bytes + cache_bytes + _OVERHEAD_BYTES, f"the model in {directory}")
        try:
            config = og.Config(str(directory))
            config.clear_providers()
            if device != "cpu":
                config.append_provider(device)
            session = {
                "intra_op_num_threads": threads,
                "inter_op_num_threads": 1,
                # Threads that spin while they wait compete for the CPU as soon as anything else runs.
                "session.intra_op.allow_spinning": "0",
            }
            config.overlay(json.dumps({"model": {"decoder": {"session_options": session}}}))
            self._model = og.Model(config)
            parameters = og.GeneratorParams(self._model)
            parameters.set_search_options(max_length=self.context_length, do_sample=False, batch_size=1)
            self._generator = og.Generator(self._model, parameters)
        except RuntimeError as error:
            raise ModelDamaged(f"{directory}: ONNX Runtime cannot load it: {_first_line(error)}") from error

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        if self._generator.token_count() > length:
            self._generator.rewind_to(length)

    def append(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Process tokens; return the logits ``[V]`` after the last."""
        self._generator.append_tokens(np.array(tokens, dtype=np.int32))
        logits: NDArray[np.float32] = self._generator.get_logits()  # [1, 1, V]
        return logits.reshape(-1)

    def close(self) -> None:
        """Give the memory back."""
        del self._generator, self._model


def _describe(directory: Path) -> dict[str, Any]:
    path = directory / "genai_config.json"
    try:
        described: dict[str, Any] = read_json(path)["model"]
        kind, filename = described["type"], described["decoder"]["filename"]
        _cache_bytes(described["decoder"], int(described["context_length"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelDamaged(f"{path}: not the description of an exported model: {error}") from error
    if kind not in ARCHITECTURES:
        raise Unsupported(f"{path}: a {kind} model; supported are {', '.join(ARCHITECTURES)}")
    if not (directory / filename).is_file():
        raise ModelDamaged(f"{directory / filename}: missing; export the model again")
    return described


def _cache_bytes(decoder: dict[str, Any], length: int) -> int:
    width = decoder["num_key_value_heads"] * decoder["head_size"]
    return 2 * int(decoder["num_hidden_layers"]) * int(width) * length * 4  # keys and values, float32


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
