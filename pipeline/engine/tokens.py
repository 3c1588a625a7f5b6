"""The tokenizer of a model, for untrusted text: no text is encoded as a special token.

A tokenizer encodes ``</s>`` or ``<|im_start|>`` in a text as the control token of that name, which the model takes for
the end of a turn. llguidance's wrapper always does so, hence the second copy here, without added tokens: it encodes
them letter by letter.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llguidance import LLTokenizer

from pipeline.engine.errors import ModelDamaged, ModelMissing, Unsupported
from pipeline.engine.reading import read_json

_PROBE = 'Of 10,234 "blanks"  two are kept: {path}=0.5 in /größe/äöü'


class Tokenizer:
    """Reads a ``tokenizer.json`` of a byte-pair model.

    Attributes:
        constrained: the tokenizer for grammars.
        vocab_size: number of tokens; a model's logits may be padded beyond it.
        start: tokens at the beginning of every prompt, from the file's post-processor.
    """

    def __init__(self, path: Path) -> None:
        """Load it.

        Raises:
            ModelMissing, ModelDamaged, Unsupported: if there is none, or none that can be used.
        """
        try:
            body = read_json(path)
        except FileNotFoundError as error:
            raise ModelMissing(f"{path}: no such file") from error
        except (OSError, ValueError) as error:
            raise ModelDamaged(f"{path}: cannot be read: {error}") from error
        try:
            kind = body["model"]["type"]
            added = {int(token["id"]): str(token["content"]) for token in body["added_tokens"]}
        except (KeyError, TypeError, ValueError) as error:
            raise ModelDamaged(f"{path}: not a tokenizer: {type(error).__name__}: {error}") from error
        if kind != "BPE":
            raise Unsupported(f"{path}: a {kind} tokenizer; only byte-pair tokenizers (BPE) are supported")
        try:
            self.start: tuple[int, ...] = tuple(_opening(body.get("post_processor") or {}))
            self.constrained = LLTokenizer(json.dumps(_without_lengths(body)))
            self._plain = LLTokenizer(json.dumps(_without_added(body, frozenset(added.values()))))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelDamaged(f"{path}: not a tokenizer: {error}") from error
        self._special = frozenset(added)
        self.vocab_size: int = self.constrained.vocab_size
        self._require_faithful(path)

    @property
    def end(self) -> int:
        """The token that ends an answer."""
        token: int = self.constrained.eos_token
        return token

    def encode(self, text: str) -> list[int]:
        """Encode a text, without special tokens."""
        tokens: list[int] = self._plain.tokenize_bytes(text.encode())
        if not self._special.isdisjoint(tokens):
            # Only a vocabulary that merges letters into the name of a control token could do this.
            raise Unsupported("this tokenizer makes control tokens of plain text")
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Decode tokens; bytes that are not UTF-8 become replacement characters."""
        written: bytes = self.constrained.decode_bytes(list(tokens))
        return written.decode(errors="replace")

    def _require_faithful(self, path: Path) -> None:
        """Refuse a tokenizer that loses or changes letters: a model would write text without blanks, for one.

        A blank that is put in front, as by those of Llama 2, changes nothing that an answer holds.
        """
        for tokens in (self.encode(_PROBE), self.constrained.tokenize_bytes(_PROBE.encode())):
            written = self.decode(tokens)
            if written not in (_PROBE, f" {_PROBE}"):
                raise Unsupported(
                    f"{path}: its tokens do not give a text back: {_PROBE!r} became {written!r}; "
                    "where it was converted from GGUF, put the decoder and pre-tokenizer of the original into it "
                    '(for byte-level ones {"type": "ByteLevel"})'
                )


def _without_lengths(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "truncation": None, "padding": None}


def _without_added(body: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Remove the added tokens, and give them names in the vocabulary that no text contains."""
    model = dict(body["model"])
    model["vocab"] = {
        (f"\0{index}" if token in names else token): index for token, index in body["model"]["vocab"].items()
    }
    for name in ("unk_token", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name) in names:
            model[name] = None
    return {**_without_lengths(body), "model": model, "added_tokens": [], "post_processor": None}


def _opening(processor: dict[str, Any]) -> list[int]:
    """Return the special tokens that the template puts before a text."""
    tokens: list[int] = []
    for each in processor.get("processors", [processor]):
        if each.get("type") != "TemplateProcessing":
            continue
        for piece in each["single"]:
            if "SpecialToken" not in piece:
                break
            tokens += each["special_tokens"][piece["SpecialToken"]["id"]]["ids"]
    return tokens
