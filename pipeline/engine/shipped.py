"""Answers that a model directory brings along: what its model said to prompts that can be foreseen.

An answer stands under a digest of its prompt and grammar, so a change of either simply does not find it. The file
names the weights that gave the answers, and counts for no others. It holds text alone, which the layer above checks
again like any answer; so one set of answers serves every host, where two processors might round differently.
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

FILE = "answers.json.gz"
SCHEMA = "sysscan.answers/1"
_KEY_DIGITS = 24  # hex: 96 bits, against mix-ups


@dataclass(frozen=True, slots=True)
class ShippedAnswers:
    """Answers by `answer_key`; `digest` names them all."""

    digest: str
    answers: Mapping[str, str]


def answer_key(prompt: str, grammar: Grammar) -> str:
    """Name a question to a model."""
    body = f"{prompt}\0{grammar.schema}"
    return hashlib.sha256(body.encode()).hexdigest()[:_KEY_DIGITS]


def read_answers(directory: Path, manifest: Manifest, part: str) -> ShippedAnswers | None:
    """Read the answers of a verified model directory; None where it has none from these weights.

    Raises:
        ModelDamaged: if the file is no set of answers.
    """
    listed = manifest.files.get(FILE)
    if listed is None:
        return None
    path = directory / FILE
    try:
        body = json.loads(gzip.decompress(path.read_bytes()))
        if body["schema"] != SCHEMA or body["weights"] != manifest.part_digest(part):
            return None
        answers = body["answers"]
        if not isinstance(answers, dict) or not all(isinstance(text, str) for text in answers.values()):
            raise ValueError("answers that are no texts")
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise ModelDamaged(f"{path}: not a set of answers: {error}; install the model again") from error
    return ShippedAnswers(listed.sha256, answers)


def write_answers(directory: Path, weights: str, answers: Mapping[str, str]) -> Path:
    """Write the answers of the weights with this digest; equal answers, equal bytes. The manifest is left alone."""
    body = {"schema": SCHEMA, "weights": weights, "answers": dict(sorted(answers.items()))}
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    path = directory / FILE
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path
