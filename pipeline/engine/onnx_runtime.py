"""ONNX Runtime: runs the embedded model on CPU, or on CUDA with the GPU build.

A step computes one token of each sequence. Kernels work on pairs or more of rows and take a way of their own for what
is left over, so a batch has 2, 4 or 8 rows, of which those without a sequence are computed for nothing; which of these
sizes agree with 8 in every bit is tried when the model is loaded. Several lanes share the weights: each has sequences
of its own, and computes on the thread that calls it, so that no thread ever waits for another.

Telemetry is off (see the package); nothing here opens a socket.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.engine.errors import ModelDamaged, Unsupported
from pipeline.engine.memory import available_bytes, require_memory
from pipeline.engine.reading import read_json
from pipeline.engine.runtimes import Device

ARCHITECTURES = ("llama", "mistral")
_SIZES = (2, 4, 8)  # of a batch
_TRIED_TOKENS = 4
_OVERHEAD_BYTES = 64 << 20  # of the runtime itself, and of activations
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_INPUTS = ("input_ids", "attention_mask", "past_key_names", "past_value_names")
_OUTPUTS = ("logits", "present_key_names", "present_value_names")
_TYPES: Mapping[str, type[Any]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True)
class Shape:
    """What the size of a sequence depends on.

    Attributes:
        layers, heads, width: blocks; heads that hold keys and values; values of each.
        length: tokens that a sequence may have.
    """

    layers: int
    heads: int
    width: int
    length: int

    @property
    def num_bytes(self) -> int:
        """Of the keys and values of one sequence, as 32-bit floats; touched only as far as it is filled."""
        return 2 * self.layers * self.heads * self.width * self.length * 4


@dataclass(frozen=True)
class _Cache:
    """The keys, or the values, of one layer, of all sequences.

    Attributes:
        past, present: the model's names for them.
        buffer: ``[slots, heads, length, width]``, on the device; `values` is the same memory where that is the CPU.
    """

    past: str
    present: str
    buffer: onnxruntime.OrtValue
    values: NDArray[Any]


def open_runners(directory: Path, *, context_length: int, threads: int, device: Device) -> "list[OnnxRunner]":
    """Load an export of the model builder.

    Args:
        context_length: tokens that a sequence may have; at most what the model was made for.
        threads: lanes, each for a thread of its own; one on a GPU. They change no token.

    Returns:
        As many runners as there are lanes; fewer, or with fewer slots, where memory is short.

    Raises:
        ModelDamaged, Unsupported, NotEnoughMemory: if it cannot be loaded.
    """
    described = _describe(directory)
    decoder, shape = described["decoder"], _shape(described, context_length)
    if device == "cpu":
        weights = sum(path.stat().st_size for path in directory.iterdir() if path.is_file())
        # Weights count twice: kernels keep a copy in the order in which they read them.
        needed = 2 * weights + _OVERHEAD_BYTES + _SIZES[0] * shape.num_bytes
        require_memory(needed, f"the model in {directory}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # one would be kept for every length of a sequence
    options.log_severity_level = 3  # what it warns of is no matter of the operator
    try:
        session = onnxruntime.InferenceSession(
            str(directory / decoder["filename"]), options, providers=[_PROVIDERS[device]]
        )
        sizes = _trusted_sizes(OnnxRunner(session, decoder, replace(shape, length=_TRIED_TOKENS), _SIZES, device))
    except Exception as error:  # its exceptions have no common class of their own
        raise ModelDamaged(f"{directory}: ONNX Runtime cannot load it: {_first_line(error)}") from error
    if _PROVIDERS[device] not in session.get_providers():
        raise Unsupported("ONNX Runtime finds no CUDA device; use the CPU")
    lanes = 1
    if device == "cpu":
        free = available_bytes() - _OVERHEAD_BYTES
        sizes = [size for size in sizes if size * shape.num_bytes <= free] or sizes[:1]
        require_memory(sizes[0] * shape.num_bytes + _OVERHEAD_BYTES, f"the model in {directory}")
        lanes = max(1, min(threads, free // (sizes[-1] * shape.num_bytes)))
    return [OnnxRunner(session, decoder, shape, sizes, device) for _ in range(lanes)]


class OnnxRunner:
    """A lane: sequences over a session that others may share.

    What it returns is valid until it is called again.
    """

    burst: ClassVar[int] = 1

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        decoder: Mapping[str, Any],
        shape: Shape,
        sizes: Sequence[int],
        device: Device,
    ) -> None:
        """Make room for sequences.

        Args:
            decoder: the description of the model's inputs and outputs.
            sizes: of the batches that it may compute, in rising order; as many sequences as the largest.
        """
        self.context_length = shape.length
        self.slots = sizes[-1]
        self._sizes = sizes
        self._session = session
        self._device = device
        self._inputs = decoder["inputs"]
        self._logits = decoder["outputs"]["logits"]
        types = {one.name: one.type for one in (*session.get_inputs(), *session.get_outputs())}
        self._logits_type = _TYPES[types[self._logits]]
        self._vocab_size, self._last_only = _logits_shape(session, self._logits)
        self._one = (shape.heads, shape.length, shape.width)
        self._caches = []
        for layer in range(shape.layers):
            for part in ("key", "value"):
                past = self._inputs[f"past_{part}_names"] % layer
                present = decoder["outputs"][f"present_{part}_names"] % layer
                values = np.zeros((self.slots, *self._one), _TYPES[types[past]])
                buffer = onnxruntime.OrtValue.ortvalue_from_numpy(values, device, 0)
                self._caches.append(_Cache(past, present, buffer, values))
        self._lengths = [0] * self.slots
        self._bindings: dict[tuple[int, int], Any] = {}
        self._outputs: dict[tuple[int, ...], NDArray[Any]] = {}

    def rewind(self, slot: int, length: int) -> None:
        """Forget all but the first `length` tokens of a sequence."""
        self._lengths[slot] = min(self._lengths[slot], length)

    def copy(self, source: int, target: int, length: int) -> int:
        """Let a sequence be the first tokens of another one, and return how many: `length`, and on a GPU none."""
        if self._device != "cpu":
            length = 0
        for cache in self._caches:
            cache.values[target, :, :length] = cache.values[source, :, :length]
        self._lengths[target] = length
        return length

    def append(self, slot: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Process tokens of one sequence; return the logits ``[V]`` after the last."""
        total = self._lengths[slot] + len(tokens)
        logits = self._run(slot, np.array([tokens], dtype=np.int64), [total])
        self._lengths[slot] = total
        last: NDArray[np.float32] = logits[0]
        return last

    def step(self, entries: Sequence[tuple[int, Sequence[int]]]) -> list[NDArray[np.float32]]:
        """Process one token of each of these slots; return the logits ``[V]`` after each."""
        highest, _ = entries[-1]
        return self._step(entries, next(size for size in self._sizes if size > highest))

    def _step(self, entries: Sequence[tuple[int, Sequence[int]]], rows: int) -> list[NDArray[np.float32]]:
        ids = np.zeros((rows, 1), dtype=np.int64)
        for slot, (token,) in entries:
            ids[slot] = token
        # A row without a token of its own writes behind what its sequence holds, where nothing reads.
        last = self.context_length - 1
        logits = self._run(0, ids, [min(length, last) + 1 for length in self._lengths[:rows]])
        for slot, _ in entries:
            self._lengths[slot] += 1
        return [logits[slot] for slot, _ in entries]

    def close(self) -> None:
        """Give the memory back."""
        self._bindings.clear()
        self._caches.clear()
        del self._session

    def _run(self, slot: int, ids: NDArray[np.int64], totals: Sequence[int]) -> NDArray[np.float32]:
        """Process tokens ``[N, T]`` of the sequences from `slot` on, which are `totals` long with them.

        Returns:
            The logits ``[N, V]`` after the last of each.
        """
        rows, tokens = ids.shape
        binding = self._bound(slot, rows)
        mask = (np.arange(max(totals)) < np.array(totals)[:, None]).astype(np.int64)
        shape = (rows, 1 if self._last_only else tokens, self._vocab_size)
        logits = self._outputs.get(shape)
        if logits is None:
            logits = self._outputs[shape] = np.empty(shape, self._logits_type)
        binding.bind_cpu_input(self._inputs["input_ids"], ids)
        binding.bind_cpu_input(self._inputs["attention_mask"], mask)
        binding.bind_output(self._logits, "cpu", 0, self._logits_type, shape, logits.ctypes.data)
        self._session.run_with_iobinding(binding)
        scores: NDArray[np.float32] = logits[:, -1].astype(np.float32, copy=False)
        return scores

    def _bound(self, slot: int, rows: int) -> Any:
        """Return a binding in which keys and values are read and written in place."""
        binding = self._bindings.get((slot, rows))
        if binding is None:
            binding = self._bindings[slot, rows] = self._session.io_binding()
            shape = (rows, *self._one)
            for cache in self._caches:
                dtype = cache.values.dtype.type
                place = cache.buffer.data_ptr() + slot * cache.values[0].nbytes
                binding.bind_input(cache.past, self._device, 0, dtype, shape, place)
                binding.bind_output(cache.present, self._device, 0, dtype, shape, place)
        return binding


def _trusted_sizes(runner: OnnxRunner) -> list[int]:
    """Return the sizes of a batch whose rows are those of the largest, in every bit, on this machine."""

    def said(size: int) -> list[NDArray[np.float32]]:
        for slot in range(runner.slots):
            runner.rewind(slot, 0)
        rows: list[NDArray[np.float32]] = []
        for turn in range(_TRIED_TOKENS - 1):
            entries = [(slot, (2 + 7 * slot + 3 * turn,)) for slot in range(size)]
            rows = [row.copy() for row in runner._step(entries, size)]
        return rows

    whole = said(_SIZES[-1])
    return [size for size in _SIZES if all((one == other).all() for one, other in zip(said(size), whole, strict=False))]


def _describe(directory: Path) -> dict[str, Any]:
    path = directory / "genai_config.json"
    try:
        described: dict[str, Any] = read_json(path)["model"]
        kind, filename = described["type"], described["decoder"]["filename"]
        inputs, outputs = described["decoder"]["inputs"], described["decoder"]["outputs"]
        for names, wanted in ((inputs, _INPUTS), (outputs, _OUTPUTS)):
            for name in wanted:
                if not isinstance(names[name], str):
                    raise TypeError(f"{name}: not a name")
        _shape(described, 1)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelDamaged(f"{path}: not the description of an exported model: {error}") from error
    if kind not in ARCHITECTURES:
        raise Unsupported(f"{path}: a {kind} model; supported are {', '.join(ARCHITECTURES)}")
    if not (directory / filename).is_file():
        raise ModelDamaged(f"{directory / filename}: missing; export the model again")
    return described


def _shape(described: dict[str, Any], context_length: int) -> Shape:
    decoder = described["decoder"]
    layers, heads, width = (int(decoder[name]) for name in ("num_hidden_layers", "num_key_value_heads", "head_size"))
    return Shape(layers, heads, width, min(context_length, int(described["context_length"])))


def _logits_shape(session: onnxruntime.InferenceSession, name: str) -> tuple[int, bool]:
    """Return the size of the vocabulary, and whether logits are given of the last token only."""
    (shape,) = [one.shape for one in session.get_outputs() if one.name == name]
    return int(shape[2]), shape[1] == 1


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
