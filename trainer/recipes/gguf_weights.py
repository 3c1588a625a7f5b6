"""The weights and the vocabulary of a Llama in a GGUF file, as floats and as transformers names them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.engine.extras import how_to_install
from pipeline.errors import ConfigError

# What a block of transformers' Llama calls them; the format's names stand in gguf's `constants.py`.
_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclass(slots=True, frozen=True)
class Source:
    """What a GGUF file holds of a model, without its weights.

    Attributes:
        tokens: of the vocabulary, in the byte-level alphabet, by id.
        control: ids of control tokens.
        merges: pairs of tokens, the first before the others.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    positions: int
    rope_base: float
    epsilon: float
    tokens: tuple[str, ...]
    control: frozenset[int]
    merges: tuple[tuple[str, str], ...]


class GgufModel:
    """Reads a file lazily: a tensor costs its room when it is asked for.

    Raises:
        ConfigError: if the file is missing, damaged, or holds another kind of model.
    """

    def __init__(self, path: Path) -> None:
        try:
            from gguf import GGUFReader
        except ModuleNotFoundError as error:
            raise ConfigError(f"gguf is not installed, which reads the base: {how_to_install('trainer')}") from error
        if not path.is_file():
            raise ConfigError(f"{path}: no such file; a base is a GGUF file of a Llama")
        try:
            reader = GGUFReader(path)
            self._fields = {name: field.contents() for name, field in reader.fields.items()}
            self._tensors = {tensor.name: tensor for tensor in reader.tensors}
            self.source = self._read()
        except (ValueError, KeyError, IndexError, TypeError, OverflowError, OSError) as error:
            raise ConfigError(
                f"{path}: not a GGUF file of a Llama, or a damaged one: {type(error).__name__}: {error}"
            ) from error

    def _read(self) -> Source:
        fields = self._fields
        if fields["general.architecture"] != "llama":
            raise ValueError(f"a model of architecture {fields['general.architecture']!r}")
        if fields["tokenizer.ggml.model"] != "gpt2":
            raise ValueError(f"a tokenizer of kind {fields['tokenizer.ggml.model']!r}, not byte-level pairs")
        if "output.weight" in self._tensors:
            raise ValueError("an output layer of its own, where one is expected that is tied to the embeddings")
        heads = int(fields["llama.attention.head_count"])
        merges = [merge.split(" ") for merge in fields["tokenizer.ggml.merges"]]
        kinds = fields["tokenizer.ggml.token_type"]
        return Source(
            layers=int(fields["llama.block_count"]),
            hidden=int(fields["llama.embedding_length"]),
            intermediate=int(fields["llama.feed_forward_length"]),
            heads=heads,
            kv_heads=int(fields.get("llama.attention.head_count_kv", heads)),
            positions=int(fields["llama.context_length"]),
            rope_base=float(fields.get("llama.rope.freq_base", 10_000.0)),
            epsilon=float(fields["llama.attention.layer_norm_rms_epsilon"]),
            tokens=tuple(fields["tokenizer.ggml.tokens"]),
            control=frozenset(index for index, kind in enumerate(kinds) if kind == 3),
            merges=tuple((left, right) for left, right in merges),
        )

    def embeddings(self) -> NDArray[np.float32]:
        """Give the embeddings ``[tokens, hidden]``, which are the output layer, too."""
        return self._tensor("token_embd.weight")

    def norm(self) -> NDArray[np.float32]:
        """Give the last norm ``[hidden]``."""
        return self._tensor("output_norm.weight")

    def block(self, index: int) -> dict[str, NDArray[np.float32]]:
        """Give the weights of a block, by their names inside it."""
        found = {}
        for theirs, ours in _BLOCK.items():
            weight = self._tensor(f"blk.{index}.{theirs}.weight")
            if theirs == "attn_q":
                weight = _halves_together(weight, self.source.heads)
            elif theirs == "attn_k":
                weight = _halves_together(weight, self.source.kv_heads)
            found[f"{ours}.weight"] = weight
        return found

    def _tensor(self, name: str) -> NDArray[np.float32]:
        from gguf import dequantize

        tensor: Any = self._tensors.get(name)
        if tensor is None:
            raise ConfigError(f"the base has no tensor {name}; take the package's own file")
        weight: NDArray[np.float32] = dequantize(tensor.data, tensor.tensor_type)
        return np.ascontiguousarray(weight.reshape(tuple(int(size) for size in reversed(tensor.shape))))


def _halves_together(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Undo the order in which GGUF keeps what is rotated: it has pairs side by side, transformers has halves."""
    pairs = weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
    return pairs.swapaxes(1, 2).reshape(weight.shape)
