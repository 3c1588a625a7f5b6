"""transformers and GPTQModel: run any local Llama or Mistral checkpoint, on CUDA, or on CPU as a reference.

Only this file imports torch. Nothing is fetched, and no code of a checkpoint is run.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, DynamicCache

from pipeline.engine.checkpoint import read_config
from pipeline.engine.errors import EngineError, ModelDamaged, Unsupported
from pipeline.engine.extras import how_to_install
from pipeline.engine.memory import require_memory

Device = Literal["cpu", "cuda"]


def open_runners(directory: Path, *, context_length: int, threads: int, device: Device) -> "list[TorchRunner]":
    """Load a checkpoint; see `TorchRunner`."""
    return [TorchRunner(directory, context_length=context_length, threads=threads, device=device)]


class TorchRunner:
    """One model, one sequence, and its cache of keys and values."""

    slots: ClassVar[int] = 1
    burst: ClassVar[int] = 1 << 30  # nothing is beside it, so all that the grammar forces is one call

    def __init__(self, directory: Path, *, context_length: int, threads: int, device: Device) -> None:
        """Load a checkpoint: quantised by GPTQ, or of floats.

        Args:
            context_length: at most what the model was made for.
            threads: on the CPU, for the whole process; torch keeps no others.

        Raises:
            EngineError: saying what is missing, damaged or not supported.
        """
        config = read_config(directory)
        self.context_length = min(context_length, int(config["max_position_embeddings"]))
        if device == "cuda" and not torch.cuda.is_available():
            raise Unsupported("torch finds no CUDA device; use the CPU")
        if device == "cpu":
            weights = sum(path.stat().st_size for path in directory.glob("*.safetensors"))
            require_memory(2 * weights + _cache_bytes(config, self.context_length), f"the model in {directory}")
            torch.set_num_threads(threads)
        self._device = torch.device(device)
        try:
            with _nothing_on_stdout():
                self._model = _load(directory, "quantization_config" in config, device)
        except EngineError:
            raise
        except Exception as error:  # whatever these libraries raise, the caller goes on without a model
            reason = " ".join(str(error).split())[:300]
            raise ModelDamaged(f"{directory}: cannot be loaded: {type(error).__name__}: {reason}") from error
        self._cache = DynamicCache()

    def step(self, entries: Sequence[tuple[int, Sequence[int]]]) -> list[NDArray[np.float32]]:
        """Process tokens of the only slot; return the logits ``[V]`` after the last."""
        ((slot, tokens),) = entries
        return [self.append(slot, tokens)]

    def append(self, slot: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Process tokens; return the logits ``[V]`` after the last."""
        with torch.inference_mode():
            ids = torch.tensor([list(tokens)], device=self._device)  # [1, T]
            output = self._model(input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
            logits: NDArray[np.float32] = output.logits[0, -1].float().cpu().numpy()
        return logits

    def copy(self, source: int, target: int, length: int) -> int:
        """Begin anew: with one slot there is no other to take anything from."""
        self.rewind(target, 0)
        return 0

    def rewind(self, slot: int, length: int) -> None:
        """Forget all but the first `length` tokens."""
        surplus = self._cache.get_seq_length() - length
        if length == 0:
            self._cache = DynamicCache()
        elif surplus > 0:
            self._cache.crop(-surplus)

    def close(self) -> None:
        """Give the memory back."""
        del self._model, self._cache
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _load(directory: Path, quantised: bool, device: Device) -> Any:
    dtype = torch.float16 if device == "cuda" else torch.float32
    if not quantised:
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(directory), local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=dtype
        )
        return model.to(device).eval()
    try:
        from gptqmodel import BACKEND, GPTQModel  # 10 s to import, and float checkpoints do without it
    except ImportError as error:
        raise Unsupported(f"a GPTQ checkpoint needs gptqmodel: {error}; {how_to_install('cuda')}") from error
    wrapped = GPTQModel.load(
        str(directory),
        device=device,
        backend=BACKEND.GPTQ_MARLIN if device == "cuda" else BACKEND.AUTO,
        trust_remote_code=False,
        local_files_only=True,
        use_safetensors=True,
        dtype=dtype,
    )
    return wrapped.model.eval()


@contextlib.contextmanager
def _nothing_on_stdout() -> Iterator[None]:
    """Redirect to stderr what these libraries print while loading; stdout may be the program's output.

    One of them bypasses `sys.stdout`, so the descriptor itself is redirected.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _cache_bytes(config: dict[str, Any], length: int) -> int:
    heads = int(config["num_attention_heads"])
    head_dim = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
    width = int(config.get("num_key_value_heads") or heads) * head_dim
    return 2 * int(config["num_hidden_layers"]) * width * length * 4  # keys and values, float32
