"""Shipped answers: a model directory may contain its model's answers to prompts that are known in advance.

Answers are keyed by a digest of prompt and grammar, so that a changed prompt does not find an old answer. The file
names the weights that gave the answers, and is used with no others. It contains only texts, which the layer above
checks like any answer. All hosts use the same texts, although processors may round differently.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.engine.errors import ModelDamaged
from pipeline.engine.generator import Grammar
from pipeline.engine.manifest import Manifest
from pipeline.engine.reading import parse_json

FILE = "answers.json.gz"
SCHEMA = "sysscan.answers/1"
_KEY_DIGITS = 24  # hex: 96 bits, against accidental collisions


@dataclass(frozen=True, slots=True)
class ShippedAnswers:
    """Answers by `answer_key`; `digest` covers all of them."""

    digest: str
    answers: Mapping[str, str]


def answer_key(prompt: str, grammar: Grammar) -> str:
    """Compute the key of a question to a model."""
    body = f"{prompt}\0{grammar.schema}"
    return hashlib.sha256(body.encode()).hexdigest()[:_KEY_DIGITS]


def read_answers(directory: Path, manifest: Manifest, part: str) -> ShippedAnswers | None:
    """Read the answers in a verified model directory; None if there are none of these weights.

    Raises:
        ModelDamaged: if the file is no set of answers.
    """
    listed = manifest.files.get(FILE)
    if listed is None:
        return None
    path = directory / FILE
    try:
        body = parse_json(gzip.decompress(path.read_bytes()))
        if body["schema"] != SCHEMA or body["weights"] != manifest.part_digest(part):
            return None
        answers = body["answers"]
        if not isinstance(answers, dict) or not all(isinstance(text, str) for text in answers.values()):
            raise ValueError("answers that are no texts")
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise ModelDamaged(f"{path}: not a set of answers: {error}; install the model again") from error
    return ShippedAnswers(listed.sha256, answers)


def write_answers(directory: Path, weights: str, answers: Mapping[str, str]) -> Path:
    """Write the answers of the weights with this digest, deterministically. The manifest is not changed."""
    body = {"schema": SCHEMA, "weights": weights, "answers": dict(sorted(answers.items()))}
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    path = directory / FILE
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path
