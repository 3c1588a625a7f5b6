"""No value of a report keeps the rules busy: patterns and features take time in proportion to its length."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from pydantic import BaseModel

from pipeline.features import load_features
from pipeline.features.registry import FeatureContext
from pipeline.finding import ScanHeader
from pipeline.knowledge.load import load_knowledge

LENGTH = 1 << 16
# What is linear takes a thousandth of this, what is quadratic ten times as much and more.
BUSY_S = 2.0
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


@contextmanager
def bounded(what: str) -> Iterator[None]:
    """Break off what does not come to an end; processor time, so that a busy machine changes nothing."""

    def stop(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"does not come to an end: {what}")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, BUSY_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


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
