"""Parses patterns of STIX 2.1 indicators, and reduces them to what a finding can match.

A finding is a single observation. Patterns that need several of them, negation, or a property that no report carries
cannot be decided from it; they raise `Unsupported`.
"""

import re
from collections.abc import Iterable

from pipeline.intel.expression import (
    AllOf,
    AnyOf,
    Expression,
    Like,
    Never,
    Unsupported,
    like,
    normalise,
    regular_expression,
    simplify,
)

MAX_PATTERN = 65_536  # characters; feeds put thousands of hashes into one pattern
MAX_DEPTH = 64


class PatternError(ValueError):
    """Raised when a pattern is not in the STIX patterning language."""


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
