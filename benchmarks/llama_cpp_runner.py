"""llama.cpp behind the engine's `Runner`, through its C interface: nothing of its Python layer is in the measured way.

Needs the package ``llama-cpp-python``, which is no dependency of ours. Build it for the machine that is measured
(``CMAKE_ARGS="-DGGML_NATIVE=ON" pip install llama-cpp-python``). Where the processor has AMX, that build may end in a
segmentation fault at the first call of several tokens (ggml-org/llama.cpp#20824, version 0.3.36 still); then switch
GGML_NATIVE off and the other instruction sets on by name: GGML_AVX2, GGML_FMA, GGML_F16C, GGML_BMI2, GGML_AVX512,
GGML_AVX512_VBMI, GGML_AVX512_VNNI, GGML_AVX512_BF16, GGML_AVX_VNNI.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import numpy as np
from numpy.typing import NDArray

_BATCH = 512  # tokens that one call takes; llama.cpp's own default for what it computes at once


_SILENT = llama_cpp.llama_log_callback(lambda level, text, data: None)


def silence() -> None:
    """Let llama.cpp say nothing on stderr."""
    llama_cpp.llama_log_set(_SILENT, ctypes.c_void_p(0))


class LlamaCppRunner:
    """One model, one sequence."""

    slots = 1
    burst = _BATCH

    def __init__(self, path: Path, *, context_length: int, threads: int) -> None:
        """Load a GGUF file."""
        self.context_length = context_length
        silence()
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        if self._model is None:
            raise SystemExit(f"{path}: llama.cpp cannot load it")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context_length
        params.n_batch = params.n_ubatch = _BATCH
        params.n_threads = params.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        if self._context is None:
            raise SystemExit(f"{path}: llama.cpp makes no context of {context_length} tokens for it")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))

    def step(self, entries: Sequence[tuple[int, Sequence[int]]]) -> list[NDArray[np.float32]]:
        """See tokens of the only sequence; gives the logits ``[V]`` of what follows."""
        ((slot, tokens),) = entries
        return [self.append(slot, tokens)]

    def copy(self, source: int, target: int, length: int) -> int:
        """Begin anew: with one sequence there is no other to take anything from."""
        self.rewind(target, 0)
        return 0

    def append(self, slot: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        """See tokens, at most 512; gives the logits ``[V]`` of what follows the last."""
        ids = (llama_cpp.llama_token * len(tokens))(*tokens)
        status = llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(ids, len(tokens)))
        if status != 0:
            raise RuntimeError(f"llama_decode of {len(tokens)} tokens: status {status}")
        logits = llama_cpp.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(logits, shape=(self._vocab_size,)).copy()

    def rewind(self, slot: int, length: int) -> None:
        """Forget all but the first `length` tokens."""
        if not llama_cpp.llama_memory_seq_rm(self._memory, 0, length, -1):
            raise RuntimeError(f"llama.cpp cannot go back to {length} tokens")

    def close(self) -> None:
        """Give the memory back."""
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)
