"""A Llama in Keras 3, on JAX, TensorFlow or torch, with LoRA: the same numbers as transformers' Llama.

Sources: H. Touvron and others, "LLaMA", 2023; J. Su and others, "RoFormer", 2021; E. J. Hu and others, "LoRA", 2021.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

Weights = dict[str, NDArray[np.float32]]  # by their names in a checkpoint


@dataclass(slots=True, frozen=True)
class Shape:
    """Sizes of a Llama, as ``config.json`` has them."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    epsilon: float
    rope_base: float
    tied: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Shape":
        """Read a configuration; raises ValueError for a Llama of a kind that is not built here."""
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        strange = {
            "rotary embeddings of a kind of their own": rope.get("rope_type", rope.get("type", "default")) != "default",
            "biases": bool(config.get("attention_bias") or config.get("mlp_bias")),
            f"activation {config.get('hidden_act')!r}": config.get("hidden_act", "silu") != "silu",
            "a sliding window": config.get("sliding_window") is not None,
        }
        for name, found in strange.items():
            if found:
                raise ValueError(f"{name}, which the recipe in Keras does not build; take --recipe torch")
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        return cls(
            vocabulary=int(config["vocab_size"]),
            hidden=hidden,
            intermediate=int(config["intermediate_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head=int(config.get("head_dim") or hidden // heads),
            epsilon=float(config.get("rms_norm_eps", 1e-6)),
            rope_base=float(rope.get("rope_theta", config.get("rope_theta", 10_000.0))),
            tied=bool(config.get("tie_word_embeddings", False)),
        )


@dataclass(slots=True, frozen=True)
class Lora:
    """An adapter: which linear layers have one, and how large it is."""

    rank: int
    alpha: int
    dropout: float
    targets: frozenset[str]
    seed: int

    @property
    def scale(self) -> float:
        """Give what the adapter's product is multiplied by."""
        return self.alpha / self.rank


class Linear(keras.layers.Layer):
    """A product with a matrix ``[in, out]``, and an adapter beside it where there is one: ``x W + drop(x) A B s``."""

    def __init__(self, name: str, size_in: int, size_out: int, lora: Lora | None, seed: int) -> None:
        super().__init__(name=name)
        self._sizes = size_in, size_out
        self.lora = lora
        self._seed = seed
        self._drop = keras.layers.Dropout(lora.dropout, seed=seed) if lora is not None and lora.dropout else None

    def build(self, shape: Any) -> None:
        """Make the matrices; A starts as PEFT has it, B with zeros."""
        size_in, size_out = self._sizes
        lora = self.lora
        self.kernel = self.add_weight(name="kernel", shape=(size_in, size_out), trainable=lora is None)
        if lora is not None:
            start = keras.initializers.RandomUniform(-(size_in**-0.5), size_in**-0.5, seed=self._seed)
            self.down = self.add_weight(name="lora_a", shape=(size_in, lora.rank), initializer=start)
            self.up = self.add_weight(name="lora_b", shape=(lora.rank, size_out), initializer="zeros")
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Compute it for ``[B, T, in]``."""
        made = ops.matmul(inputs, self.kernel)
        if self.lora is None:
            return made
        seen = inputs if self._drop is None else self._drop(inputs, training=training)
        return made + ops.matmul(ops.matmul(seen, self.down), self.up) * self.lora.scale


class Block(keras.layers.Layer):
    """Attention and gated layer of a Llama, each behind a norm, each added to what comes in."""

    def __init__(self, name: str, shape: Shape, lora: Lora | None, seed: int) -> None:
        super().__init__(name=name)
        self._shape = shape
        wide, narrow = shape.heads * shape.head, shape.kv_heads * shape.head
        sizes = {
            "q_proj": (shape.hidden, wide),
            "k_proj": (shape.hidden, narrow),
            "v_proj": (shape.hidden, narrow),
            "o_proj": (wide, shape.hidden),
            "gate_proj": (shape.hidden, shape.intermediate),
            "up_proj": (shape.hidden, shape.intermediate),
            "down_proj": (shape.intermediate, shape.hidden),
        }
        self.linears = {
            part: Linear(part, *size, lora if lora is not None and part in lora.targets else None, seed + number)
            for number, (part, size) in enumerate(sizes.items())
        }
        self.before = keras.layers.RMSNormalization(epsilon=shape.epsilon, name="input_layernorm")
        self.between = keras.layers.RMSNormalization(epsilon=shape.epsilon, name="post_attention_layernorm")

    def build(self, shape: Any) -> None:
        """Build what is inside."""
        for norm in (self.before, self.between):
            norm.build((None, None, self._shape.hidden))
        for linear in self.linears.values():
            linear.build(None)
        self.built = True

    def call(self, inputs: Any, cosine: Any, sine: Any, training: bool = False) -> Any:
        """Compute it for ``[B, T, hidden]``; angles are ``[T, head]``."""
        state = inputs + self._attend(self.before(inputs), cosine, sine, training)
        seen = self.between(state)
        gate = ops.silu(self.linears["gate_proj"](seen, training=training))
        inner = gate * self.linears["up_proj"](seen, training=training)
        return state + self.linears["down_proj"](inner, training=training)

    def _attend(self, seen: Any, cosine: Any, sine: Any, training: bool) -> Any:
        shape = self._shape
        batch, length = ops.shape(seen)[0], ops.shape(seen)[1]

        def heads(part: str, count: int) -> Any:
            return ops.reshape(self.linears[part](seen, training=training), (batch, length, count, shape.head))

        query = _rotate(heads("q_proj", shape.heads), cosine, sine)
        key = ops.repeat(_rotate(heads("k_proj", shape.kv_heads), cosine, sine), shape.heads // shape.kv_heads, axis=2)
        value = ops.repeat(heads("v_proj", shape.kv_heads), shape.heads // shape.kv_heads, axis=2)
        # Padding stands on the right, where no real token looks.
        mixed = ops.dot_product_attention(query, key, value, scale=shape.head**-0.5, is_causal=True)
        return self.linears["o_proj"](ops.reshape(mixed, (batch, length, shape.heads * shape.head)), training=training)


class Llama(keras.Model):
    """A Llama for training.

    It takes ``input_ids`` ``[B, T]`` and ``places`` ``[B, K]``, and gives the logits ``[B, K, V]`` of what follows at
    these places alone: over all of T they would cost more than the rest.
    """

    def __init__(self, shape: Shape, lora: Lora | None) -> None:
        super().__init__(name="llama")
        self.shape = shape
        self.lora = lora
        frozen = lora is not None
        seed = 0 if lora is None else lora.seed
        self.embedding = keras.layers.Embedding(shape.vocabulary, shape.hidden, name="embed_tokens")
        self.blocks = [Block(f"layer_{number}", shape, lora, seed + 16 * number) for number in range(shape.layers)]
        self.last = keras.layers.RMSNormalization(epsilon=shape.epsilon, name="norm")
        self.head = None if shape.tied else Linear("lm_head", shape.hidden, shape.vocabulary, None, seed)
        self.embedding.build(None)
        self.last.build((None, None, shape.hidden))
        for block in self.blocks:
            block.build(None)
            for norm in (block.before, block.between):
                norm.trainable = not frozen
        self.embedding.trainable = self.last.trainable = not frozen
        if self.head is not None:
            self.head.build(None)
            self.head.trainable = not frozen
        self.built = True

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> Any:
        """Compute the logits, as 32-bit floats."""
        ids, places = inputs["input_ids"], inputs["places"]
        state = self.embedding(ids)
        cosine, sine = self._angles(ops.shape(ids)[1], state.dtype)
        for block in self.blocks:
            state = block(state, cosine, sine, training=training)
        state = self.last(state)
        state = ops.take_along_axis(state, ops.expand_dims(places, -1), axis=1)
        if self.head is None:
            logits = ops.matmul(state, ops.transpose(ops.cast(self.embedding.embeddings, state.dtype)))
        else:
            logits = self.head(state)
        return ops.cast(logits, "float32")

    def _angles(self, length: Any, dtype: Any) -> tuple[Any, Any]:
        half = np.arange(0, self.shape.head, 2, dtype=np.float32) / self.shape.head
        turns = ops.convert_to_tensor((self.shape.rope_base**-half).astype(np.float32))
        angles = ops.expand_dims(ops.arange(length, dtype="float32"), -1) * ops.expand_dims(turns, 0)
        angles = ops.concatenate([angles, angles], axis=-1)  # [T, head]
        return ops.cast(ops.cos(angles), dtype), ops.cast(ops.sin(angles), dtype)

    def weights_by_name(self) -> Iterator[tuple[str, Any, bool]]:
        """List name in a checkpoint, variable, and whether the checkpoint has it transposed; adapters aside."""
        yield "model.embed_tokens.weight", self.embedding.embeddings, False
        for number, block in enumerate(self.blocks):
            begin = f"model.layers.{number}"
            yield f"{begin}.input_layernorm.weight", block.before.scale, False
            yield f"{begin}.post_attention_layernorm.weight", block.between.scale, False
            for part, linear in block.linears.items():
                yield f"{begin}.{room_of(part)}.{part}.weight", linear.kernel, True
        yield "model.norm.weight", self.last.scale, False
        if self.head is not None:
            yield "lm_head.weight", self.head.kernel, True

    def adapters_by_name(self) -> Iterator[tuple[str, Any]]:
        """List the matrices of the adapter by the names that PEFT gives them; all are transposed there."""
        for number, block in enumerate(self.blocks):
            for part, linear in block.linears.items():
                if linear.lora is not None:
                    name = f"model.layers.{number}.{room_of(part)}.{part}"
                    yield f"{name}.lora_A.weight", linear.down
                    yield f"{name}.lora_B.weight", linear.up

    def norms(self) -> list[Any]:
        """List the scales of norms, which do not decay."""
        return [norm.scale for block in self.blocks for norm in (block.before, block.between)] + [self.last.scale]


def room_of(part: str) -> str:
    """Say in which half of a block a linear layer is."""
    return "self_attn" if part in ("q_proj", "k_proj", "v_proj", "o_proj") else "mlp"


def _rotate(heads: Any, cosine: Any, sine: Any) -> Any:
    """Turn ``[B, T, H, head]`` by the angles of their places; the halves of a head are the two coordinates."""
    half = heads.shape[-1] // 2
    turned = ops.concatenate([-heads[..., half:], heads[..., :half]], axis=-1)
    cosine, sine = ops.expand_dims(cosine, 1), ops.expand_dims(sine, 1)
    return heads * cosine + turned * sine
