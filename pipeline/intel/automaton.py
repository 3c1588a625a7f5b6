"""Regular expressions that take time in proportion to what they look at, whatever their author had in mind.

Python's own matcher tries one way after the other: six times ``.{0,500}`` in a row are 500^6 ways. Here all ways are
followed at once (Thompson 1968): a set of states walks over the text, a step for each character, and what was worked
out for a set and a character is kept. What needs to look back or around (references, lookaround, possessive and atomic
groups, conditions) cannot be had so, and is refused.

What one character may be is left to `re`: each class, escape and literal is compiled by itself, and means what it means
there.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.remembered import Remembered

MAX_STATES = 4_096  # of one expression, its repetitions written out
_MAX_KEPT = 20_000  # transitions of one expression that are remembered
_MAX_NESTING = 50
_FLAGS = {"i": re.IGNORECASE, "s": re.DOTALL, "m": re.MULTILINE, "a": re.ASCII, "u": re.UNICODE}
_ANCHORS = {"A": "begin", "Z": "end", "b": "boundary", "B": "inside"}
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|0[0-7]{0,2}|[^1-9])", re.DOTALL)
_BOUNDS = re.compile(r"\{(\d{0,6})(?:(,)(\d{0,6}))?\}")
_GROUP = re.compile(r"\?(?:P<[^>]*>|:|(?P<on>[a-zA-Z]+)(?P<scope>[:)]))")
_WORD = re.compile(r"\w")


class NotRegular(ValueError):
    """Raised when an expression is none, is too large, or cannot be followed in this way; says which."""


@dataclass(slots=True)
class _State:
    """A point in the expression: one that takes a character, a condition on the place, a fork, or the end."""

    takes: Callable[[str], object] | None = None
    where: str = ""
    next: tuple[int, ...] = ()


class Automaton:
    """One compiled expression. Use `search`."""

    def __init__(self, pattern: str) -> None:
        """Raises: NotRegular."""
        builder = _Builder(pattern)
        self._states = builder.states
        self._end = builder.end
        self._start = builder.start
        self._ascii = re.ASCII if builder.flags & re.ASCII else 0
        self._places: Remembered[tuple[frozenset[int], int], tuple[frozenset[int], bool]] = Remembered(_MAX_KEPT)
        self._steps: Remembered[tuple[frozenset[int], str], frozenset[int]] = Remembered(_MAX_KEPT)
        self._has_places = any(state.where for state in self._states)
        self.work = 0  # states that were looked at, for whoever wants to know what a search costs

    @property
    def num_states(self) -> int:
        """How large the expression is once its repetitions are written out."""
        return len(self._states)

    def search(self, text: str) -> bool:
        """Say whether the expression matches anywhere in `text`; linear in its length."""
        pending = frozenset((self._start,))
        for position in range(len(text) + 1):
            standing, ended = self._stand(pending | {self._start}, self._place(text, position))
            if ended:
                return True
            if position < len(text):
                pending = self._step(standing, text[position])
        return False

    def _place(self, text: str, position: int) -> int:
        if not self._has_places:
            return 0
        before = position > 0 and self._is_word(text[position - 1])
        after = position < len(text) and self._is_word(text[position])
        return (
            (position == 0)
            | (position == len(text)) << 1
            | (before != after) << 2
            | (position > 0 and text[position - 1] == "\n") << 3
            | (position < len(text) and text[position] == "\n") << 4
            | (position == len(text) - 1 and text[position] == "\n") << 5
        )

    def _is_word(self, char: str) -> bool:
        return _WORD.match(char) is not None and (not self._ascii or char.isascii())

    def _stand(self, pending: frozenset[int], place: int) -> tuple[frozenset[int], bool]:
        """Follow everything that takes no character; give the states that take one, and whether the end is reached."""
        known = self._places.get((pending, place))
        if known is not None:
            return known
        seen: set[int] = set()
        waiting = list(pending)
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            state = self._states[number]
            if state.takes is None and (not state.where or _holds(state.where, place)):
                waiting += state.next
        self.work += len(seen)
        result = frozenset(n for n in seen if self._states[n].takes is not None), self._end in seen
        self._places[pending, place] = result
        return result

    def _step(self, standing: frozenset[int], char: str) -> frozenset[int]:
        known = self._steps.get((standing, char))
        if known is not None:
            return known
        following: set[int] = set()
        answers: dict[object, bool] = {}  # equal tests stand side by side when a repetition is written out
        for number in standing:
            takes = self._states[number].takes
            assert takes is not None
            answer = answers.get(takes)
            if answer is None:
                answer = answers[takes] = takes(char) is not None
            if answer:
                following.update(self._states[number].next)
        self.work += len(standing)
        result = frozenset(following)
        self._steps[standing, char] = result
        return result


def _holds(where: str, place: int) -> bool:
    begin, end, boundary = place & 1, place & 2, place & 4
    if where == "begin":
        return bool(begin)
    if where == "end":
        return bool(end)
    if where == "end or last line feed":
        return bool(end or place & 32)
    if where == "line begin":
        return bool(begin or place & 8)
    if where == "line end":
        return bool(end or place & 16)
    return bool(boundary) if where == "boundary" else not boundary


@dataclass(slots=True, frozen=True)
class _Node:
    """A part of an expression: what takes a character, a place, or one of ``all``, ``any``, ``repeat`` of parts."""

    kind: str
    takes: Callable[[str], object] | None = None
    where: str = ""
    parts: tuple["_Node", ...] = ()
    least: int = 0
    most: int | None = None


class _Builder:
    """Parses an expression and writes it out as states."""

    def __init__(self, pattern: str) -> None:
        try:
            re.compile(pattern, re.DOTALL)  # what is not one for Python is none here
        except (re.error, OverflowError, RecursionError) as error:
            raise NotRegular(f"the regular expression is not one for Python: {error}") from error
        self._pattern = pattern
        self._position = 0
        self._nesting = 0
        self._tests: dict[tuple[str, int], Callable[[str], object]] = {}
        self.flags = int(re.DOTALL)
        self.states: list[_State] = []
        parsed = self._alternatives()
        if self._position < len(pattern):
            raise NotRegular("the regular expression closes a group that was not open")
        self.end = self._add(_State())
        self.start = self._write(parsed, self.end)

    def _alternatives(self) -> _Node:
        self._nesting += 1
        if self._nesting > _MAX_NESTING:
            raise NotRegular(f"the regular expression is nested deeper than {_MAX_NESTING}")
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        self._nesting -= 1
        return parts[0] if len(parts) == 1 else _Node("any", parts=tuple(parts))

    def _sequence(self) -> _Node:
        parts = []
        while self._position < len(self._pattern) and self._pattern[self._position] not in "|)":
            atom = self._atom()
            if atom is not None:
                parts.append(self._repeated(atom))
        return _Node("all", parts=tuple(parts))

    def _atom(self) -> _Node | None:
        char = self._pattern[self._position]
        if char == "(":
            return self._group()
        if char == "[":
            return self._one(_CLASS)
        if char == "\\":
            anchor = _ANCHORS.get(self._pattern[self._position + 1 : self._position + 2])
            if anchor is not None:
                self._position += 2
                return _Node("place", where=anchor)
            return self._one(_ESCAPE)
        self._position += 1
        if char in "^$":
            lines = self.flags & re.MULTILINE
            start, end = ("line begin", "line end") if lines else ("begin", "end or last line feed")
            return _Node("place", where=start if char == "^" else end)
        return _Node("char", takes=self._test(char if char == "." else re.escape(char)))

    def _one(self, form: re.Pattern[str]) -> _Node:
        found = form.match(self._pattern, self._position)
        if found is None:
            raise NotRegular("the regular expression refers back")
        self._position = found.end()
        return _Node("char", takes=self._test(found[0]))

    def _test(self, text: str) -> Callable[[str], object]:
        key = (text, self.flags)
        if key not in self._tests:
            try:
                self._tests[key] = re.compile(text, self.flags).fullmatch
            except re.error as error:
                raise NotRegular(f"the regular expression is not one for Python: {error}") from error
        return self._tests[key]

    def _group(self) -> _Node | None:
        self._position += 1
        before = self.flags
        if self._pattern.startswith("?", self._position):
            found = _GROUP.match(self._pattern, self._position)
            if found is None or not set(found["on"] or "") <= set(_FLAGS):
                raise NotRegular("the regular expression looks around, refers back or sets what is not supported")
            self._position = found.end()
            for name in found["on"] or "":
                self.flags |= _FLAGS[name]
            if found["scope"] == ")":
                return None  # at the beginning only, for Python: for all that follows
        inner = self._alternatives()
        if not self._take(")"):
            raise NotRegular("the regular expression leaves a group open")
        self.flags = before
        return inner

    def _repeated(self, atom: _Node) -> _Node:
        while True:
            bounds = self._bounds()
            if bounds is None:
                return atom
            if self._take("+"):
                raise NotRegular("the regular expression has a possessive repetition")
            self._take("?")  # how much is taken first does not matter to whether there is a match
            atom = _Node("repeat", parts=(atom,), least=bounds[0], most=bounds[1])

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        found = _BOUNDS.match(self._pattern, self._position)
        if found is None or found[0] in ("{}", "{,}"):
            if found is not None and found[0] == "{,}":
                self._position = found.end()
                return 0, None
            return None
        self._position = found.end()
        least = int(found[1] or 0)
        most = (int(found[3]) if found[3] else None) if found[2] else least
        return least, most

    def _take(self, sign: str) -> bool:
        if not self._pattern.startswith(sign, self._position):
            return False
        self._position += len(sign)
        return True

    # Writing out, from the end to the beginning: each part is told where to go on.

    def _add(self, state: _State) -> int:
        if len(self.states) >= MAX_STATES:
            raise NotRegular(f"the regular expression is larger than {MAX_STATES} once its repetitions are written out")
        self.states.append(state)
        return len(self.states) - 1

    def _write(self, node: _Node, onward: int) -> int:
        if node.kind == "char" or node.kind == "place":
            return self._add(_State(node.takes, node.where, (onward,)))
        if node.kind == "all":
            for part in reversed(node.parts):
                onward = self._write(part, onward)
            return onward
        if node.kind == "any":
            return self._add(_State(next=tuple(self._write(part, onward) for part in node.parts)))
        return self._write_repeat(node.parts[0], node.least, node.most, onward)

    def _write_repeat(self, part: _Node, least: int, most: int | None, onward: int) -> int:
        if most is None:
            fork = self._add(_State())
            self.states[fork].next = (self._write(part, fork), onward)
            onward = fork
        else:
            if most - least > MAX_STATES or least > MAX_STATES:
                self._too_large()
            end = onward
            for _ in range(most - least):
                onward = self._add(_State(next=(self._write(part, onward), end)))
        if least > MAX_STATES:
            self._too_large()
        for _ in range(least):
            onward = self._write(part, onward)
        return onward

    def _too_large(self) -> None:
        raise NotRegular(f"the regular expression is larger than {MAX_STATES} once its repetitions are written out")
