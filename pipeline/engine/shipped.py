"""Shipped answers: a model directory may contain its model's answers to prompts that are known in advance.

Answers are keyed by a digest of prompt and grammar, so that a changed prompt does not find an old answer. The file
names the weights that gave the answers, and is used with no others. It contains only texts, which the layer above
checks like any answer. All hosts use the same texts, although processors may round differently.

The file is JSON with one answer a line, sorted by key, so that an answer is found in it without reading the others.
"""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.engine.errors import ModelDamaged
from pipeline.engine.generator import Grammar
from pipeline.engine.manifest import Manifest
from pipeline.engine.reading import parse_json

FILE = "answers.json"
FORMER_FILE = "answers.json.gz"  # of earlier builds: the same content in one line
SCHEMA = "sysscan.answers/2"
FORMER_SCHEMA = "sysscan.answers/1"
_KEY_DIGITS = 24  # hex: 96 bits, against accidental collisions
_HEAD = re.compile(rb'\{"schema":"sysscan\.answers/2","weights":"([0-9a-f]*)","answers":\{\n')
_TAIL = b"\n}}\n"


@dataclass(frozen=True, slots=True)
class ShippedAnswers:
    """Answers by `answer_key`.

    Attributes:
        digest: covers all of them.
        lines: ``"key":"text",`` each, sorted; the last has no comma.
    """

    digest: str
    lines: bytes

    def __len__(self) -> int:
        return self.lines.count(b"\n") + 1 if self.lines else 0

    def get(self, key: str) -> str | None:
        """Look an answer up. A line that is none has no answer: then the model is asked."""
        wanted = f'"{key}":'.encode()
        lines, low, high = self.lines, 0, len(self.lines)
        while low < high:  # both at the beginning of a line, or `high` at the end
            start = lines.rfind(b"\n", low, (low + high) // 2) + 1 or low
            end = lines.find(b"\n", start, high)
            end = high if end < 0 else end + 1
            head = lines[start : start + len(wanted)]
            if head == wanted:
                return _text(lines[start + len(wanted) : end])
            low, high = (end, high) if head < wanted else (low, start)
        return None

    def items(self) -> Iterator[tuple[str, str]]:
        """Give all answers.

        Raises:
            ValueError: if one is none, or they are not sorted, in which case `get` would not find them.
        """
        before = ""
        for line in self.lines.split(b"\n") if self.lines else ():
            key, text = line[1 : 1 + _KEY_DIGITS].decode(), _text(line[3 + _KEY_DIGITS :])
            if text is None or line[:1] != b'"' or line[1 + _KEY_DIGITS : 3 + _KEY_DIGITS] != b'":' or key <= before:
                raise ValueError(f"{line[:60]!r} is no answer in its place")
            before = key
            yield key, text


def answer_key(prompt: str, grammar: Grammar) -> str:
    """Compute the key of a question to a model."""
    body = f"{prompt}\0{grammar.schema}"
    return hashlib.sha256(body.encode()).hexdigest()[:_KEY_DIGITS]


def read_answers(directory: Path, manifest: Manifest, part: str) -> ShippedAnswers | None:
    """Read the answers in a verified model directory; None if there are none of these weights.

    Raises:
        ModelDamaged: if the file is no set of answers.
    """
    name = FILE if FILE in manifest.files else FORMER_FILE
    listed = manifest.files.get(name)
    if listed is None:
        return None
    path = directory / name
    try:
        weights, lines = _split(path.read_bytes()) if name == FILE else _former(path.read_bytes())
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise ModelDamaged(f"{path}: not a set of answers: {error}; install the model again") from error
    return ShippedAnswers(listed.sha256, lines) if weights == manifest.part_digest(part) else None


def write_answers(directory: Path, weights: str, answers: Mapping[str, str]) -> Path:
    """Write the answers of the weights with this digest, deterministically, and remove those in the form of earlier
    builds. The manifest is not changed."""
    path = directory / FILE
    path.write_bytes(f'{{"schema":"{SCHEMA}","weights":"{weights}","answers":{{\n'.encode() + _lines(answers) + _TAIL)
    (directory / FORMER_FILE).unlink(missing_ok=True)
    return path


def _split(data: bytes) -> tuple[str, bytes]:
    head = _HEAD.match(data)
    if head is None or not data.endswith(_TAIL):
        raise ValueError(f"not of schema {SCHEMA}, or not whole")
    return head[1].decode(), data[head.end() : -len(_TAIL)]


def _former(data: bytes) -> tuple[str | None, bytes]:
    body = parse_json(gzip.decompress(data))
    answers = body["answers"]
    if not isinstance(answers, dict) or not all(isinstance(text, str) for text in answers.values()):
        raise ValueError("answers that are no texts")
    return (body["weights"] if body["schema"] == FORMER_SCHEMA else None), _lines(answers)


def _lines(answers: Mapping[str, str]) -> bytes:
    lines = [f"{json.dumps(key)}:{json.dumps(text, ensure_ascii=False)}" for key, text in sorted(answers.items())]
    return ",\n".join(lines).encode()


def _text(value: bytes) -> str | None:
    """Read what stands behind a key."""
    try:
        text = parse_json(value.rstrip(b",\n"))
    except ValueError:
        return None
    return text if isinstance(text, str) else None
