"""The byte-level BPE tokenizer made for this text, and the way that text becomes ids."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, processors, trainers

from pipeline.engine.errors import EngineError
from pipeline.engine.tokens import Tokenizer
from pipeline.errors import ConfigError

BOS, EOS, PAD = "<s>", "</s>", "<pad>"

# What merges may not cross. A token should be what the model decides at once: the id of a control or technique (copied
# from prompt to answer), a placeholder, a JSON key with the punctuation around it (one token that a grammar forces).
# Names of classes and features stay split at their joins, so that an unseen one is made of known parts.
_PIECES = "|".join(
    (
        r" ?\{[a-z_]+\}",
        r'"?[{,]"[a-z_]+":(?:\{"|["{])?',
        r'":"?|"\}+',
        r" [a-z0-9]+:[A-Za-z0-9.()-]+",
        r" T[0-9]{4}(?:\.[0-9]{3})?",
        r" ?[._-]?[A-Za-z]+",
        r" ?[0-9]+",
        r'["{]',
        r' ?[^A-Za-z0-9 "{]+',
        r" +",
    )
)


class TextEncoder:
    """Turns text into ids with the engine's own tokenizer, so that training shows what the engine will show.

    No text becomes a special token, and prompt and response are encoded apart: no merge crosses the seam.
    """

    def __init__(self, tokenizer: Tokenizer, pad: int | None = None) -> None:
        self._tokenizer = tokenizer
        self.start = tokenizer.start
        self.end = tokenizer.end
        self.pad = tokenizer.end if pad is None else pad
        # A SentencePiece vocabulary begins a text with a space; behind a line's end it does not.
        self._seam = tokenizer.encode("\n")

    def prompt(self, text: str) -> list[int]:
        """Encode a text that opens a sequence."""
        return [*self.start, *self._tokenizer.encode(text)]

    def response(self, text: str) -> list[int]:
        """Encode a text that goes on where a prompt ended, with the end of the sequence."""
        ids = self._tokenizer.encode(text)
        if self._tokenizer.decode(ids) != text:
            behind = self._tokenizer.encode("\n" + text)
            if behind[: len(self._seam)] == self._seam:
                ids = behind[len(self._seam) :]
        return [*ids, self.end]

    def decode(self, ids: Sequence[int]) -> str:
        """Turn ids back into text."""
        return self._tokenizer.decode(ids)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> tokenizers.Tokenizer:
    """Train a byte-level BPE on texts; the same texts in the same order give the same tokenizer."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return tokenizer


def save_tokenizer(tokenizer: tokenizers.Tokenizer, directory: Path, max_tokens: int) -> None:
    """Write the files that Llama checkpoints carry; transformers, the exporter and the engine read them."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(directory / "tokenizer.json"))
    config = tokenizer_config(max_tokens, bos=BOS, eos=EOS, pad=PAD)
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def tokenizer_config(max_tokens: int, *, bos: str, eos: str, pad: str) -> dict[str, Any]:
    """Say what transformers has to know beside the tokenizer itself."""
    return {
        "add_prefix_space": False,
        "bos_token": bos,
        "clean_up_tokenization_spaces": False,
        "eos_token": eos,
        "model_max_length": max_tokens,
        "pad_token": pad,
        "padding_side": "right",
        "tokenizer_class": "PreTrainedTokenizerFast",
        "truncation_side": "left",
    }


def load_encoder(directory: Path) -> TextEncoder:
    """Read the tokenizer of a checkpoint.

    Raises:
        ConfigError: if it is missing, damaged, or of a kind that the engine does not read.
    """
    try:
        tokenizer = Tokenizer(directory / "tokenizer.json")
    except EngineError as error:
        raise ConfigError(f"{error}; a checkpoint needs a byte-pair tokenizer in this form") from error
    return TextEncoder(tokenizer, _pad(directory))


def _pad(directory: Path) -> int | None:
    try:
        config = json.loads((directory / "tokenizer_config.json").read_bytes())
        added = json.loads((directory / "tokenizer.json").read_bytes())["added_tokens"]
        token = config.get("pad_token")
        text = token.get("content") if isinstance(token, dict) else token
        return next((int(each["id"]) for each in added if each["content"] == text), None)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None  # any id will do: what is padded has no loss, and nothing that has one sees it
