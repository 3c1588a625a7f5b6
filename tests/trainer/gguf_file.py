"""A small Llama in a GGUF file, with the vocabulary that its texts need."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import gguf
import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import models, pre_tokenizers, trainers

from tests.trainer.small import taught_cases

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@dataclass(frozen=True)
class Shape:
    layers: int = 4
    hidden: int = 128
    intermediate: int = 256
    heads: int = 2
    kv_heads: int = 1


SHAPE = Shape()


@cache
def vocabulary_of() -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Give tokens and merges of a byte-level vocabulary, control tokens first."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    texts = [text for case in taught_cases(96, "train") for text in (case.prompt, case.response)]
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=list(CONTROL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    body = json.loads(tokenizer.to_str())["model"]
    tokens = tuple(sorted(body["vocab"], key=body["vocab"].__getitem__))
    return tokens, tuple((left, right) for left, right in body["merges"])


def make_gguf(path: Path, seed: int = 0) -> tuple[Path, dict[str, NDArray[np.float32]]]:
    """Write a model with random weights; returns them by the names in the file."""
    tokens, merges = vocabulary_of()
    random, size = np.random.default_rng(seed), SHAPE.hidden // SHAPE.heads
    shapes = {"token_embd": (len(tokens), SHAPE.hidden), "output_norm": (SHAPE.hidden,)}
    for block in range(SHAPE.layers):
        for name, shape in {
            "attn_norm": (SHAPE.hidden,),
            "attn_q": (SHAPE.hidden, SHAPE.hidden),
            "attn_k": (SHAPE.kv_heads * size, SHAPE.hidden),
            "attn_v": (SHAPE.kv_heads * size, SHAPE.hidden),
            "attn_output": (SHAPE.hidden, SHAPE.hidden),
            "ffn_norm": (SHAPE.hidden,),
            "ffn_gate": (SHAPE.intermediate, SHAPE.hidden),
            "ffn_up": (SHAPE.intermediate, SHAPE.hidden),
            "ffn_down": (SHAPE.hidden, SHAPE.intermediate),
        }.items():
            shapes[f"blk.{block}.{name}"] = shape
    weights = {
        f"{name}.weight": (random.standard_normal(shape) * 0.05).astype(np.float32) for name, shape in shapes.items()
    }
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(SHAPE.layers)
    writer.add_embedding_length(SHAPE.hidden)
    writer.add_feed_forward_length(SHAPE.intermediate)
    writer.add_head_count(SHAPE.heads)
    writer.add_head_count_kv(SHAPE.kv_heads)
    writer.add_context_length(2048)
    writer.add_rope_freq_base(100_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(list(tokens))
    writer.add_token_types([3 if token in CONTROL else 1 for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in merges])
    for name, weight in weights.items():
        writer.add_tensor(name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path, weights
