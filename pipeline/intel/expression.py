"""Expressions over the observables of one finding: what an indicator comes down to."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.addresses import network_of
from pipeline.intel.automaton import Automaton, NotRegular

Observables = Mapping[str, tuple[str, ...]]

MAX_REGEX = 512
MAX_LIKE = 512  # characters of a pattern of LIKE
MAX_SUBJECT = 512  # characters of a value that a regular expression sees; the scanner cuts paths at 255 bytes
MAX_MIDDLE = 8_192  # characters of a value in which the middle of a LIKE is looked for


class Unsupported(ValueError):
    """Raised when a pattern is well-formed but cannot be decided from a single finding."""


@dataclass(slots=True, frozen=True)
class Equal:
    """Holds if one of the values of this kind equals `value` (normalised)."""

    kind: str
    value: str


@dataclass(slots=True, frozen=True)
class Like:
    """Holds if one of the values of this kind passes the test; `text` is the test as written, for people."""

    kind: str
    text: str
    test: Callable[[str], bool]


@dataclass(slots=True, frozen=True)
class AllOf:
    parts: tuple["Expression", ...]


@dataclass(slots=True, frozen=True)
class AnyOf:
    parts: tuple["Expression", ...]


@dataclass(slots=True, frozen=True)
class Never:
    """Never holds; `reason` says what reports lack."""

    reason: str


Expression = Equal | Like | AllOf | AnyOf | Never

_PLAIN = re.compile(r"(?:[^\\^$.|?*+()\[\]{}]|\\[^A-Za-z0-9])*")


def holds(expression: Expression, seen: Observables) -> list[str] | None:
    """Return the kinds of observables that make the expression true; None if it is false."""
    if isinstance(expression, Equal):
        return [expression.kind] if expression.value in seen.get(expression.kind, ()) else None
    if isinstance(expression, Like):
        return [expression.kind] if any(map(expression.test, seen.get(expression.kind, ()))) else None
    if isinstance(expression, AnyOf):
        true = [found for part in expression.parts if (found := holds(part, seen)) is not None]
        return [kind for found in true for kind in found] if true else None
    if isinstance(expression, AllOf):
        kinds: list[str] = []
        for part in expression.parts:
            found = holds(part, seen)
            if found is None:
                return None
            kinds += found
        return kinds
    return None


def anchors(expression: Expression) -> list[Equal] | None:
    """Return equalities of which at least one holds whenever the expression does; None if there are none.

    An index of them leads to the few expressions that have to be evaluated.
    """
    if isinstance(expression, Equal):
        return [expression]
    if isinstance(expression, AllOf):
        found = [known for part in expression.parts if (known := anchors(part)) is not None]
        return min(found, key=len) if found else None
    if isinstance(expression, AnyOf):
        every = [anchors(part) for part in expression.parts]
        return None if None in every else [leaf for part in every for leaf in part or ()]
    return None


def simplify(expression: Expression) -> Expression:
    """Remove the parts that never hold; if nothing is left, return the reason as `Never`."""
    if isinstance(expression, AllOf):
        parts = tuple(simplify(part) for part in expression.parts)
        dead = next((part for part in parts if isinstance(part, Never)), None)
        return dead if dead is not None else AllOf(parts)
    if isinstance(expression, AnyOf):
        parts = tuple(simplify(part) for part in expression.parts)
        alive = tuple(part for part in parts if not isinstance(part, Never))
        return AnyOf(alive) if alive else parts[0]
    return expression


def normalise(kind: str, value: str) -> Expression:
    """Return the expression that a value of this kind equals `value`, normalised as in findings."""
    if kind == "file.sha256":
        lowered = value.lower()
        return Equal(kind, lowered) if re.fullmatch(r"[0-9a-f]{64}", lowered) else Never("not a SHA-256 digest")
    if kind == "domain":
        return Equal(kind, value.lower().rstrip("."))
    if kind == "file.directory" and len(value) > 1:
        return Equal(kind, value.rstrip("/") or "/")
    if kind == "ip":
        network = network_of(value)
        if network is None:
            return Never(f"not an address: {value[:60]!r}")
        single = network.num_addresses == 1
        return Equal("ip", str(network.network_address)) if single else Equal("ip.network", str(network))
    return Equal(kind, value)


def like(pattern: str) -> Callable[[str], bool]:
    """Compile a pattern of SQL's LIKE, without backtracking: ``%`` is any text, ``_`` one character.

    Raises:
        Unsupported: if it is too long.
    """
    if len(pattern) > MAX_LIKE:
        raise Unsupported(f"the pattern of LIKE is longer than {MAX_LIKE} characters")
    pieces = [re.compile("".join("." if c == "_" else re.escape(c) for c in piece), re.DOTALL) for piece in
              pattern.split("%")]  # fmt: skip
    widths = [len(piece) for piece in pattern.split("%")]

    def test(value: str) -> bool:
        if len(pieces) == 1:
            return pieces[0].fullmatch(value) is not None
        first, *middle = pieces[:-1]
        begin = first.match(value)
        if begin is None:
            return False
        position = begin.end()
        for piece in middle:
            found = piece.search(value, position, MAX_MIDDLE)
            if found is None:
                return False
            position = found.end()
        start = len(value) - widths[-1]
        return start >= position and pieces[-1].fullmatch(value, start) is not None

    return test


def regular_expression(pattern: str) -> Callable[[str], bool]:
    """Compile a regular expression of MATCHES so that it takes time in proportion to what it looks at.

    Raises:
        Unsupported: if it is too long, not valid in Python, or not regular (it refers back or looks around).
    """
    if len(pattern) > MAX_REGEX:
        raise Unsupported(f"the regular expression is longer than {MAX_REGEX} characters")
    if _PLAIN.fullmatch(pattern):  # nothing in it can be taken in two ways
        plain = re.compile(pattern, re.DOTALL).search
        return lambda value: plain(value[:MAX_SUBJECT]) is not None
    try:
        search = Automaton(pattern).search
    except NotRegular as error:
        raise Unsupported(str(error)) from error
    return lambda value: search(value[:MAX_SUBJECT])
