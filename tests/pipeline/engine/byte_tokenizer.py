"""A tokenizer.json written by hand: bytes, a few merges, and control tokens that a text may try to spell."""

import json
from pathlib import Path
from typing import Any

CONTROL = ("<s>", "</s>", "<|im_start|>", "[INST]")
MERGES = (("l", "e"), ("le", "v"), ("lev", "e"), ("leve", "l"), ("h", "i"), ("hi", "g"), ("hig", "h"), ("<", "s"))


def byte_letters() -> list[str]:
    """Give the printable letter of each byte, as GPT-2 assigns them."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    further = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(further)) for byte in range(256)]


def write_tokenizer(path: Path, *, kind: str = "BPE", start: bool = False) -> Path:
    """Write it; with `start`, its template puts ``<s>`` before a text."""
    tokens = [*CONTROL, *byte_letters(), *("".join(pair) for pair in MERGES)]
    added = [
        {"id": index, "content": token, "special": index < 3, "normalized": False}
        | {"single_word": False, "lstrip": False, "rstrip": False}
        for index, token in enumerate(CONTROL)
    ]
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
    }
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    body: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": template if start else None,
        "decoder": byte_level,
        "model": {
            "type": kind,
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,  # whole words are looked up in the vocabulary first, control tokens' names as well
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [list(pair) for pair in MERGES],
        },
    }
    path.write_text(json.dumps(body))
    return path
