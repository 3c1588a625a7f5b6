"""No value of a report keeps the rules busy: patterns and features take time in proportion to its length."""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from pipeline.features import load_features
from pipeline.features.registry import FeatureContext
from pipeline.finding import ScanHeader
from pipeline.knowledge.load import load_knowledge
from tests.pipeline.output.bounded import bounded

LENGTH = 1 << 16
PARTS = (
    "a", "1", " ", ".", "/", "-", ":", "_", "=", ",", "(", "[", "\\", "\n", "a/", "1.", "-1", "a ", "a=1 ", "a, ",
    "../", ".so.1", "/python", "kworker/1",
)  # fmt: skip
KNOWLEDGE = load_knowledge(load_features)
_PATTERNS = frozenset({"id", "title", "description", "pattern", "matches"})


def values(*prefixes: str) -> Iterator[str]:
    for part in PARTS:
        for prefix in ("", *prefixes):
            value = prefix + part * (LENGTH // len(part))
            yield value
            yield value + "!x"


def patterns(value: Any, name: str = "") -> Iterator[str]:
    """Find every regular expression in a part of the knowledge."""
    if isinstance(value, BaseModel):
        for field in type(value).model_fields:
            yield from patterns(getattr(value, field), field)
    elif isinstance(value, dict):
        for one in value.values():
            yield from patterns(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from patterns(one)
    elif isinstance(value, str) and name in _PATTERNS:
        yield value


def beginnings(pattern: str) -> list[str]:
    """Give the literal texts that a pattern asks for, to get past them."""
    plain = re.sub(r"\\[AZb]|\(\?(?:P<\w+>|[:=!])", "", pattern)
    found = re.findall(r"(?:[A-Za-z0-9_ /:=,-]|\\[.()/:-])+", plain)
    return [re.sub(r"\\(.)", r"\1", text) for text in found[:2]]


def test_no_pattern_of_the_knowledge_backtracks_without_end() -> None:
    parts = (KNOWLEDGE.classes, KNOWLEDGE.artefacts, KNOWLEDGE.correlations, KNOWLEDGE.selections)
    every = sorted({pattern for part in parts for pattern in patterns(part)})
    assert len(every) > 300
    for pattern in every:
        search = re.compile(pattern).search
        for value in values(*beginnings(pattern)):
            with bounded(f"{pattern} on {value[:20]!r}…"):
                search(value)


def test_no_feature_takes_longer_than_its_values_are_long() -> None:
    table = load_features()
    context = FeatureContext(header=ScanHeader("json"), knowledge=KNOWLEDGE, profile="default")
    uses = {
        (use.fn, len(use.args), tuple(sorted(use.options.items())))
        for spec in KNOWLEDGE.classes.values()
        for use in spec.features.values()
    }
    assert len(uses) > 30
    for name, count, options in sorted(uses):
        for value in values():
            with bounded(f"{name} on {value[:20]!r}…"):
                table[name](context, *[value] * count, **dict(options))
