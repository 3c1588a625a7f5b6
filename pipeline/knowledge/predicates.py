"""Compiles the predicates of the knowledge to callables."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from pipeline.finding import Member, ScanHeader
from pipeline.knowledge.schema import Expected, Predicate

Test = Callable[["Subject"], bool]


class Subject(Protocol):
    """What a predicate can test; `View` implements it."""

    slots: Mapping[str, str]
    features: Mapping[str, str]
    metadata: Mapping[str, Any]
    header: ScanHeader
    status: str
    severity: str
    class_id: str
    title: str | None
    description: str | None


class View:
    """A `Subject` whose fields are given one by one; the others are absent."""

    __slots__ = (
        "class_id", "description", "features", "header", "metadata", "severity", "slots", "status", "title",
    )  # fmt: skip

    def __init__(
        self,
        header: ScanHeader,
        *,
        slots: Mapping[str, str] | None = None,
        features: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        status: str = "",
        severity: str = "",
        class_id: str = "",
        title: str | None = None,
        description: str | None = None,
    ) -> None:
        self.header = header
        self.slots = slots or {}
        self.features = features or {}
        self.metadata = metadata or {}
        self.status = status
        self.severity = severity
        self.class_id = class_id
        self.title = title
        self.description = description


def accepted_values(expected: Mapping[str, Expected], key: str, profile: str) -> list[str]:
    """Return the values of a setting that the profile accepts.

    Raises:
        KeyError: if `expected` has no such key.
    """
    entry = expected[key].accepted
    return entry.get(profile, entry["default"])


def preferred_value(expected: Mapping[str, Expected], key: str, profile: str) -> str:
    """Return the value of a setting that the profile recommends.

    Raises:
        KeyError: if `expected` has no such key.
    """
    entry = expected[key].preferred
    return entry.get(profile, entry["default"])


def compile_all(predicates: Iterable[Predicate], expected: Mapping[str, Expected], profile: str) -> Test:
    """Compile predicates to one test that holds when all of them do; without predicates it always holds.

    Raises:
        KeyError: if a predicate names an unknown `expected` entry.
        re.error: if a pattern is not a regular expression.
    """
    tests = [_compile(predicate, expected, profile) for predicate in predicates]
    if not tests:
        return lambda subject: True
    if len(tests) == 1:
        return tests[0]

    def every(subject: Subject) -> bool:
        for test in tests:  # noqa: SIM110 - takes half the time of all(), and runs for every finding
            if not test(subject):
                return False
        return True

    return every


def _getter(what: str) -> Callable[[Subject], str | None]:
    scope, _, name = what.partition(".")
    if scope == "slot":
        return lambda subject: subject.slots.get(name)
    if scope == "feature":
        return lambda subject: subject.features.get(name)
    if scope == "metadata":
        return lambda subject: _text(subject.metadata.get(name))
    if scope == "header":
        return lambda subject: _text(getattr(subject.header, name, None))
    if scope == "format":
        return lambda subject: subject.header.source_format
    attribute = {"class": "class_id"}.get(scope, scope)
    return lambda subject: getattr(subject, attribute) or None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _number(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _compile(predicate: Predicate, expected: Mapping[str, Expected], profile: str) -> Test:
    get = _getter(predicate.what)
    if predicate.is_ is not None:
        wanted = predicate.is_
        return lambda subject: get(subject) == wanted
    if predicate.in_ is not None:
        inside = frozenset(predicate.in_)
        return lambda subject: get(subject) in inside
    if predicate.not_in is not None:
        outside = frozenset(predicate.not_in)
        return lambda subject: get(subject) not in outside
    if predicate.matches is not None:
        search = re.compile(predicate.matches).search
        return lambda subject: (value := get(subject)) is not None and search(value) is not None
    if predicate.present is not None:
        present = predicate.present
        return lambda subject: (get(subject) is not None) == present
    if predicate.at_least is not None:
        low = predicate.at_least
        return lambda subject: (number := _number(get(subject))) is not None and number >= low
    if predicate.at_most is not None:
        high = predicate.at_most
        return lambda subject: (number := _number(get(subject))) is not None and number <= high
    if predicate.accepted is not None:
        good = frozenset(accepted_values(expected, predicate.accepted, profile))
        return lambda subject: get(subject) in good
    bad = frozenset(accepted_values(expected, str(predicate.not_accepted), profile))
    return lambda subject: (value := get(subject)) is not None and value not in bad


def view(member: Member, header: ScanHeader) -> View:
    """Make a classified finding the subject of predicates."""
    finding = member.classified
    return View(
        header,
        slots=finding.slots,
        features=finding.features,
        metadata=finding.metadata,
        status=finding.status,
        severity=member.severity,
        class_id=finding.class_id,
        title=finding.title or None,
        description=finding.description or None,
    )
