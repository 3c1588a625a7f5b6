"""Finds the end of one JSON value, and replaces the parts of it that the strict parser would refuse.

The strict parser accepts a document as a whole or not at all, so one process name with an invalid byte would cost the
whole report. Each such part is replaced by a *mark*: a string that begins with a character that does not occur in the
document, followed by a letter for the kind of fault. `pipeline.report.marks` resolves the marks. Only input that the
strict parser has refused comes here.
"""

import re
from dataclasses import dataclass

import orjson

from pipeline.errors import ReportError
from pipeline.report.escape import escape_literal
from pipeline.report.limits import Limits

# Possessive quantifiers: an unterminated string costs one pass, without backtracking. A lone quote is one of those.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]|[^\s"\[\]{},:]++|"', re.S)
_AT_FAULT = re.compile(rb"[\x00-\x1f\x80-\xff]|\\u[dD][89a-fA-F]")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_PRIVATE = re.compile(rb"\xee[\x80-\xbf][\x80-\xbf]|\xef[\x80-\xa3][\x80-\xbf]")  # U+E000 to U+F8FF
_PRIVATE_ESCAPED = re.compile(rb"\\[uU](?:[eE][0-9a-fA-F]|[fF][0-8])[0-9a-fA-F]{2}")
_CONTROL = re.compile(rb"[\x00-\x1f]")
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NOT_A_NUMBER = (b"NaN", b"Infinity", b"-Infinity", b"nan", b"inf", b"-inf", b"-nan")  # as printf and Python write it
_INT64_DIGITS = 19

KIND_ESCAPED = "e"  # invalid bytes or lone surrogates; the mark carries the escaped form
KIND_CONTROL = "c"  # raw control characters
KIND_NUMBER = "n"  # NaN, infinity, or out of the range of a double
KIND_BIG = "i"  # an integer of more than 64 bits; the mark carries its digits
KIND_DEEP = "d"  # nested deeper than the limit
KIND_REPEATED = "k"  # a key of an object instead of a value; see `pipeline.report.load`


@dataclass(slots=True, frozen=True)
class Value:
    """The position and the repaired text of one value.

    Attributes:
        start, end: offsets in the text; `end` is the end of the text if the value is cut.
        cut: the text ends before the value does.
        repaired: the value, with marks in place of what the strict parser refuses.
        last_token: offset of the last token in `repaired`.
    """

    start: int
    end: int
    cut: bool
    repaired: bytes
    last_token: int


def pick_marker(text: bytes) -> str:
    """Choose a private-use character that occurs in `text` neither literally nor as an escape.

    Raises:
        ReportError: ``encoding``, if all of them occur, which can only be an attack on this function.
    """
    # One pass, however many of them occur; hardly any text has one.
    taken = {found.group() for found in _PRIVATE.finditer(text)}
    escaped = {found.group()[2:].lower() for found in _PRIVATE_ESCAPED.finditer(text)}
    for code in range(0xF8FF, 0xDFFF, -1):
        if chr(code).encode() not in taken and b"%04x" % code not in escaped:
            return chr(code)
    raise ReportError("encoding", "holds every private-use character; no report does")


def lex(text: bytes, start: int, marker: str, limits: Limits) -> Value:
    """Find the end of the value that begins at `start`, and repair it.

    Raises:
        ReportError: ``invalid_json``, if it needs more than `limits.max_repairs` repairs.
    """
    max_depth = limits.max_depth
    edits: list[tuple[int, int, bytes]] = []
    depth = 0
    deep_start = -1
    last = stop = start
    end = -1
    for match in _TOKEN.finditer(text, start):
        last, stop = match.span()
        first = text[last]
        if first in b"{[":
            depth += 1
            if depth == max_depth + 1:
                deep_start = last
        elif first in b"}]":
            depth -= 1
            if deep_start >= 0 and depth == max_depth:
                edits.append((deep_start, stop, _mark(marker, KIND_DEEP)))
                deep_start = -1
            if depth <= 0:
                end = stop
                break
        elif deep_start >= 0:
            continue
        elif first == 0x22:
            if stop - last == 1:
                break
            if _AT_FAULT.search(text, last, stop):
                edit = _repair_string(text[last + 1 : stop - 1], marker)
                if edit:
                    edits.append((last, stop, edit))
        else:
            edit = _repair_atom(text[last:stop], marker)
            if edit:
                edits.append((last, stop, edit))
        if depth == 0:
            end = stop
            break
        if len(edits) > limits.max_repairs:
            raise ReportError(
                "invalid_json", f"more than {limits.max_repairs} values that are not JSON (limits.max_repairs)", start
            )
    cut = end < 0
    end = len(text) if cut else end
    if cut and deep_start >= 0:
        last = deep_start
    elif cut and text[last:stop] != b'"':  # after a lone quote, everything belongs to its string
        last = max(last, text.rfind(b",", stop), text.rfind(b":", stop))
    parts: list[bytes] = []
    position, shift = start, 0
    for begin, stop, edit in edits:
        parts += (text[position:begin], edit)
        if begin < last:
            shift += len(edit) - (stop - begin)
        position = stop
    parts.append(text[position : deep_start if cut and deep_start >= 0 else end])
    return Value(start, end, cut, b"".join(parts), last - start + shift)


def _mark(marker: str, kind: str, value: str = "") -> bytes:
    return orjson.dumps(marker + kind + value)


def _repair_string(body: bytes, marker: str) -> bytes | None:
    control = _CONTROL.search(body) is not None
    if not control and not _needs_escape(body):
        return None
    escaped = escape_literal(body)
    if escaped is None:
        return None
    return _mark(marker, KIND_CONTROL if control else KIND_ESCAPED, escaped)


def _needs_escape(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return True
    if not _SURROGATE.search(body):
        return False
    try:
        orjson.loads(b'"' + body + b'"')
    except orjson.JSONDecodeError:
        return True
    return False


def _repair_atom(atom: bytes, marker: str) -> bytes | None:
    if atom in _NOT_A_NUMBER:
        return _mark(marker, KIND_NUMBER, atom.decode())
    if len(atom) < _INT64_DIGITS and b"e" not in atom and b"E" not in atom:
        return None
    if _INTEGER.fullmatch(atom):
        # int() refuses thousands of digits, so the length decides first.
        if len(atom) > _INT64_DIGITS + 1 or not -(1 << 63) <= int(atom) < 1 << 64:
            return _mark(marker, KIND_BIG, atom.decode())
    elif _NUMBER.fullmatch(atom) and float(atom) in (float("inf"), float("-inf")):
        return _mark(marker, KIND_NUMBER, atom.decode())
    return None
