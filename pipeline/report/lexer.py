"""Finds where one JSON value ends, and mends what keeps the strict parser from reading the rest of it.

The strict parser takes a document whole or not at all. One process name with a bad byte would cost the whole
report, so a value at fault is replaced by a *mark*: a string that starts with a character that the document does not
hold, followed by a letter for the kind. `pipeline.report.marks` says what becomes of it. Only input that the strict
parser has refused comes here.
"""

import re
from dataclasses import dataclass

import orjson

from pipeline.errors import ReportError
from pipeline.report.escape import escape_literal
from pipeline.report.limits import Limits

# Possessive, so that an unterminated string costs one pass and no backtracking. A lone quote is such a string.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]|[^\s"\[\]{},:]++|"', re.S)
_AT_FAULT = re.compile(rb"[\x00-\x1f\x80-\xff]|\\u[dD][89a-fA-F]")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_CONTROL = re.compile(rb"[\x00-\x1f]")
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NOT_A_NUMBER = (b"NaN", b"Infinity", b"-Infinity", b"nan", b"inf", b"-inf", b"-nan")  # as printf and Python write it
_INT64_DIGITS = 19

KIND_ESCAPED = "e"  # held bad bytes or lone surrogates; the mark carries the escaped form
KIND_CONTROL = "c"  # held raw control characters
KIND_NUMBER = "n"  # NaN, infinity, or past the range of a double
KIND_BIG = "i"  # an integer past 64 bits; the mark carries its digits
KIND_DEEP = "d"  # nested past the limit
KIND_REPEATED = "k"  # not a value but a key of an object; see `pipeline.report.load`


@dataclass(slots=True, frozen=True)
class Value:
    """One value of the text.

    Attributes:
        start, end: of the value; `end` is where the text ends if the value is cut.
        cut: the text ends before the value does.
        mended: the value with marks in place of what was at fault.
        last_token: where the last token begins in `mended`.
    """

    start: int
    end: int
    cut: bool
    mended: bytes
    last_token: int


def pick_marker(text: bytes) -> str:
    """Choose a private-use character that `text` holds neither as itself nor as an escape.

    Raises:
        ReportError: ``encoding``, if it holds all of them, which only an attack on this function does.
    """
    lowered = text.lower()
    for code in range(0xF8FF, 0xDFFF, -1):
        if chr(code).encode() not in text and b"\\u%04x" % code not in lowered:
            return chr(code)
    raise ReportError("encoding", "holds every private-use character; no report does")


def lex(text: bytes, start: int, marker: str, limits: Limits) -> Value:
    """Find the value that begins at `start` and mend it.

    Raises:
        ReportError: ``invalid_json``, if more is at fault in it than a report can have.
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
                edit = _mend_string(text[last + 1 : stop - 1], marker)
                if edit:
                    edits.append((last, stop, edit))
        else:
            edit = _mend_atom(text[last:stop], marker)
            if edit:
                edits.append((last, stop, edit))
        if depth == 0:
            end = stop
            break
        if len(edits) > limits.max_mends:
            raise ReportError(
                "invalid_json", f"more than {limits.max_mends} values that are not JSON (limits.max_mends)", start
            )
    cut = end < 0
    end = len(text) if cut else end
    if cut and deep_start >= 0:
        last = deep_start
    elif cut and text[last:stop] != b'"':  # of a lone quote, all behind it is its string
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


def _mend_string(body: bytes, marker: str) -> bytes | None:
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


def _mend_atom(atom: bytes, marker: str) -> bytes | None:
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
