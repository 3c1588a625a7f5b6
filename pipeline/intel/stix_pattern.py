"""Parses patterns of STIX 2.1 indicators, and reduces them to what a finding can match.

A finding is a single observation. Patterns that need several of them, negation, or a property that no report carries
cannot be decided from it; they raise `Unsupported`.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Observables = Mapping[str, tuple[str, ...]]

MAX_PATTERN = 65_536  # characters; feeds put thousands of hashes into one pattern
MAX_DEPTH = 64
MAX_REGEX = 512
MAX_SUBJECT = 512  # characters of a value that a regular expression sees; the scanner cuts paths at 255 bytes


class PatternError(ValueError):
    """Raised when a pattern is not in the STIX patterning language."""


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

# The STIX cyber observables that a finding can have.
_KINDS = {
    "file:name": "file.name",
    "file:hashes.sha-256": "file.sha256",
    "file:hashes.sha256": "file.sha256",
    "file:parent_directory_ref.path": "file.directory",
    "directory:path": "file.directory",
    "process:name": "process.name",
    "process:command_line": "process.command_line",
    "process:image_ref.name": "process.image",
    "process:binary_ref.name": "process.image",
    "process:image_ref.hashes.sha-256": "file.sha256",
    "process:binary_ref.hashes.sha-256": "file.sha256",
    "ipv4-addr:value": "ip",
    "ipv6-addr:value": "ip",
    "network-traffic:dst_ref.value": "ip",
    "network-traffic:src_ref.value": "ip",
    "network-traffic:dst_port": "port",
    "network-traffic:src_port": "port",
    "domain-name:value": "domain",
    "network-traffic:dst_ref.resolves_to_refs[*].value": "ip",
}

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<typed>[tbh]'(?:[^'\\]|\\.)*')
    | (?P<path>[a-zA-Z][a-zA-Z0-9-]*:[a-zA-Z0-9_*-]+
        (?:\.[a-zA-Z0-9_-]+|\.'(?:[^'\\]|\\.)*'|\[(?:\*|[0-9]+|'(?:[^'\\]|\\.)*')\])*)
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?)
    | (?P<word>[A-Za-z]+)
    | (?P<sign>==|!=|<>|<=|>=|=|<|>|\[|\]|\(|\)|,)
    )""",
    re.VERBOSE | re.DOTALL,
)
_COMPARE = {"<", ">", "<=", ">="}
_QUALIFIERS = {"WITHIN", "REPEATS", "START", "STOP", "FOLLOWEDBY"}


def parse_pattern(text: str) -> Expression:
    """Parse a pattern into an expression over the observables of a finding.

    Raises:
        PatternError: if it is not a pattern, with the position of the error.
        Unsupported: if it cannot be decided from a single finding, with the reason.
    """
    if len(text) > MAX_PATTERN:
        raise Unsupported(f"the pattern is longer than {MAX_PATTERN} characters")
    expression = simplify(_Parser(text).whole())
    if isinstance(expression, Never):
        raise Unsupported(expression.reason)
    return expression


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
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            return Never(f"not an address: {value[:60]!r}")
        single = network.num_addresses == 1
        return Equal("ip", str(network.network_address)) if single else Equal("ip.network", str(network))
    return Equal(kind, value)


def like(pattern: str) -> Callable[[str], bool]:
    """Compile a pattern of SQL's LIKE, without backtracking: ``%`` is any text, ``_`` one character."""
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
            found = piece.search(value, position)
            if found is None:
                return False
            position = found.end()
        start = len(value) - widths[-1]
        return start >= position and pieces[-1].fullmatch(value, start) is not None

    return test


def regular_expression(pattern: str) -> Callable[[str], bool]:
    """Compile a regular expression of MATCHES, unless it may take exponential time.

    Raises:
        Unsupported: if it is too long, not valid in Python, or may take exponential time.
    """
    if len(pattern) > MAX_REGEX:
        raise Unsupported(f"the regular expression is longer than {MAX_REGEX} characters")
    if _may_run_away(pattern):
        raise Unsupported("the regular expression repeats a repetition, refers back or repeats too often")
    try:
        search = re.compile(pattern, re.DOTALL).search
    except (re.error, OverflowError) as error:
        raise Unsupported(f"the regular expression is not one for Python: {error}") from error
    return lambda value: search(value[:MAX_SUBJECT]) is not None


def _may_run_away(pattern: str) -> bool:
    """Return whether matching may take exponential time.

    That is so for back references, a repetition in a repeated group, and more than three unbounded repetitions.
    """
    plain = re.sub(r"\[\^?\]?(?:\\.|[^\]\\])*\]", "c", re.sub(r"\\[^1-9]", "e", pattern))
    if re.search(r"\\[1-9]|\(\?P=|\(\?\(", plain):
        return True
    open_groups: list[bool] = []
    open_ended = 0
    for number, char in enumerate(plain):
        following = plain[number + 1 : number + 2]
        if char == "(":
            open_groups.append(False)
        elif char == ")" and open_groups:
            risky = open_groups.pop()
            if following in {"*", "+", "{"} and risky:
                return True
            if risky and open_groups:
                open_groups[-1] = True
        elif char in "*+{|" or (char == "?" and plain[number - 1] != "("):
            open_ended += char in "*+" or re.match(r"\{\d*,\}", plain[number:]) is not None
            if open_groups:
                open_groups[-1] = True
    return open_ended > 3


class _Parser:
    """A recursive-descent parser of the STIX 2.1 pattern grammar (part 9), with bounded depth."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split(text))
        self._next = 0
        self._depth = 0

    @staticmethod
    def _split(text: str) -> Iterable[tuple[str, str, int]]:
        position = 0
        end = len(text.rstrip())
        while position < end:
            found = _TOKEN.match(text, position)
            if found is None or found.lastgroup is None:
                raise PatternError(f"not a pattern at character {position + 1}: {text[position : position + 20]!r}")
            yield found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)
            position = found.end()

    def whole(self) -> Expression:
        expression = self._observations()
        if self._next < len(self._tokens):
            raise self._error("the pattern goes on after its end")
        return expression

    def _observations(self) -> Expression:
        parts = [self._observation()]
        while (word := self._peek_word()) is not None:
            if word in _QUALIFIERS:
                raise Unsupported(f"{word}: it looks at several observations in time, a finding is one")
            if word == "AND":
                raise Unsupported("it wants several observations at once, a finding is one")
            if word != "OR":
                break
            self._next += 1
            parts.append(self._observation())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _observation(self) -> Expression:
        with_brackets = self._take_sign("[")
        if not with_brackets and not self._take_sign("("):
            raise self._error("expected '['")
        self._enter()
        expression = self._or() if with_brackets else self._observations()
        self._leave()
        if not self._take_sign("]" if with_brackets else ")"):
            raise self._error("expected ']'" if with_brackets else "expected ')'")
        return expression

    def _or(self) -> Expression:
        parts = [self._and()]
        while self._peek_word() == "OR":
            self._next += 1
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _and(self) -> Expression:
        parts = [self._test()]
        while self._peek_word() == "AND":
            self._next += 1
            parts.append(self._test())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _test(self) -> Expression:
        if self._take_sign("("):
            self._enter()
            expression = self._or()
            self._leave()
            if not self._take_sign(")"):
                raise self._error("expected ')'")
            return expression
        if self._peek_word() == "EXISTS":
            raise Unsupported("EXISTS: a report does not carry most properties, so their absence says nothing")
        kind, path = self._object_path()
        negated = self._peek_word() == "NOT"
        self._next += negated
        group, operator = self._any("an operator")
        operator = operator.upper() if group == "word" else operator
        if operator not in {"=", "==", "!=", "<>", "IN", "LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET", *_COMPARE}:
            raise self._error(f"no such operator: {operator!r}", back=1)
        values = self._list() if operator == "IN" else [self._literal()]
        if negated or operator in {"!=", "<>"}:
            raise Unsupported("negation: a report does not carry everything, so what is not seen proves nothing")
        if kind is None:
            return Never(f"no report carries {path}")
        return self._leaf(kind, operator, values)

    @staticmethod
    def _leaf(kind: str, operator: str, values: list[str]) -> Expression:
        if operator in {"=", "==", "IN"}:
            tests = tuple(normalise(kind, value) for value in values)
            return tests[0] if len(tests) == 1 else AnyOf(tests)
        if operator == "ISSUBSET" and kind == "ip":
            return normalise(kind, values[0])
        if operator == "LIKE":
            return Like(kind, values[0], like(values[0]))
        if operator == "MATCHES":
            return Like(kind, values[0], regular_expression(values[0]))
        raise Unsupported(f"{operator} on {kind}")

    def _object_path(self) -> tuple[str | None, str]:
        group, text = self._any("an object path such as file:name")
        if group != "path":
            raise self._error("expected an object path such as file:name", back=1)
        plain = re.sub(r"\.?'((?:[^'\\]|\\.)*)'", r".\1", text).replace("[.", ".").lower()
        plain = plain if "[*]" in plain else plain.replace("]", "")
        return _KINDS.get(plain), text

    def _list(self) -> list[str]:
        if not self._take_sign("("):
            raise self._error("expected '(' after IN")
        values = [self._literal()]
        while self._take_sign(","):
            values.append(self._literal())
        if not self._take_sign(")"):
            raise self._error("expected ')'")
        return values

    def _literal(self) -> str:
        group, text = self._any("a value")
        if group == "string":
            return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
        if group == "number" or (group == "word" and text.lower() in {"true", "false"}):
            return text
        if group == "typed":
            raise Unsupported("binary, hexadecimal and time values")
        raise self._error("expected a value", back=1)

    def _any(self, what: str) -> tuple[str, str]:
        if self._next >= len(self._tokens):
            raise self._error(f"expected {what}")
        group, text, _ = self._tokens[self._next]
        self._next += 1
        return group, text

    def _peek_word(self) -> str | None:
        if self._next < len(self._tokens) and self._tokens[self._next][0] == "word":
            return self._tokens[self._next][1].upper()
        return None

    def _take_sign(self, sign: str) -> bool:
        if self._next < len(self._tokens) and self._tokens[self._next][:2] == ("sign", sign):
            self._next += 1
            return True
        return False

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise PatternError(f"nested deeper than {MAX_DEPTH}")

    def _leave(self) -> None:
        self._depth -= 1

    def _error(self, reason: str, back: int = 0) -> PatternError:
        number = self._next - back
        place = self._tokens[number][2] + 1 if number < len(self._tokens) else len(self._text)
        return PatternError(f"{reason} at character {place}")
