"""Parses one JSON text with the fast strict parser, and with the tolerant one only where that fails."""

import json
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.errors import Incomplete, ReportError
from pipeline.report.lexer import KIND_REPEATED, Value, lex, pick_marker
from pipeline.report.limits import Limits

_WHITE = b" \t\r\n"
# With every digit replaced by 0, one search finds a long number.
_DIGITS = bytes(0x30 if 0x30 <= byte <= 0x39 else byte for byte in range(256))
_LONG_NUMBER = b"0" * 19
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")
_ALIKE = bytes.maketrans(b"{}", b"[]")  # so that a pass over `[{}]` takes away one level and not two
_SPACED_COLONS = (b'" :', b'"\t:', b'"\n:', b'"\r:')


@dataclass(slots=True, frozen=True)
class Loaded:
    """A parsed value; `marker` is empty when it holds no marks (see `pipeline.report.marks`)."""

    value: Any
    marker: str = ""


def load(text: bytes, limits: Limits) -> Loaded:
    """Parse `text`, which holds one value.

    Raises:
        Incomplete: ``truncated``: the text is the beginning of a value.
        ReportError: ``invalid_json``, ``trailing_data``, ``empty`` or ``encoding``.
    """
    loaded = load_strict(text, limits)
    if loaded is not None:
        return loaded
    start = len(text) - len(text.lstrip(_WHITE))
    if start == len(text):
        raise Incomplete("empty", "nothing but white space")
    marker = pick_marker(text)
    value = lex(text, start, marker, limits)
    loaded = load_value(value, marker)
    if text[value.end :].strip(_WHITE):
        raise ReportError("trailing_data", "something follows a complete value", value.end)
    return loaded


def load_strict(text: bytes, limits: Limits) -> Loaded | None:
    """Parse `text` with the strict parser; None where it fails, or where its result would not be exact."""
    # The strict parser turns integers of more than 64 bits into floats, and reads values that are nested deeper than
    # its writer can write.
    if _LONG_NUMBER in text.translate(_DIGITS) or _may_be_deep(text, limits.max_depth):
        return None
    try:
        value = _parse(text)
    except orjson.JSONDecodeError:
        return None
    if _may_repeat_keys(text, value):
        repeats = _load_with_repeats(text, pick_marker(text))
        return repeats or Loaded(value)
    return Loaded(value)


def load_value(value: Value, marker: str) -> Loaded:
    """Parse a value that `lex` has found and repaired with `marker`.

    Raises:
        Incomplete: ``truncated``, if the value is cut and valid up to there.
        ReportError: ``invalid_json``.
    """
    if value.cut:
        raise _explain_cut(value)
    try:
        parsed = _parse(value.repaired)
    except orjson.JSONDecodeError as error:
        offset = value.start + error.pos if len(value.repaired) == value.end - value.start else value.start
        raise ReportError("invalid_json", f"not JSON: {error.msg}", offset) from None
    if _may_repeat_keys(value.repaired, parsed):
        return _load_with_repeats(value.repaired, marker) or Loaded(parsed, marker)
    return Loaded(parsed, marker)


def _parse(text: bytes) -> Any:
    """Parse with the fast parser, which calls it a mistake of the text where memory runs out."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if error.msg.startswith("Not enough memory"):
            raise MemoryError(error.msg) from None
        raise


def _explain_cut(value: Value) -> ReportError:
    repaired = value.repaired
    characters = len(repaired[: value.last_token].decode("utf-8", "replace"))
    try:
        json.loads(repaired.decode("utf-8", "replace"))
    except json.JSONDecodeError as error:
        if error.pos < characters:
            return ReportError("invalid_json", f"not JSON: {error.msg}", value.start)
    return Incomplete("truncated", "ends in the middle of a document", value.end)


def _may_be_deep(text: bytes, max_depth: int) -> bool:
    """Return whether nesting may be deeper than the limit.

    Brackets inside strings can make it return True wrongly; it never returns False wrongly.
    """
    brackets = text.translate(_ALIKE, _NOT_BRACKETS)
    for _ in range(max_depth):
        if not brackets:
            return False
        shorter = brackets.replace(b"[]", b"")
        if len(shorter) == len(brackets):
            break
        brackets = shorter
    return len(brackets) > 0


def _may_repeat_keys(text: bytes, value: Any) -> bool:
    """Return whether an object may repeat a key: then there are more keys in the text than in the parsed value.

    Keys are counted as ``":``. A string that contains it is counted too, and a colon after white space would not be;
    both only cost a slower check.
    """
    if any(colon in text for colon in _SPACED_COLONS):
        return True
    keys = 0
    stack = [value]
    while stack:
        item = stack.pop()
        if type(item) is dict:
            keys += len(item)
            stack += [child for child in item.values() if type(child) is dict or type(child) is list]
        elif type(item) is list:
            stack += [child for child in item if type(child) is dict or type(child) is list]
    return text.count(b'":') != keys


def _load_with_repeats(text: bytes, marker: str) -> Loaded | None:
    """Parse again and compare the values of repeated keys; None if none of them differ.

    An object with a repeated key whose values differ gets one more key, a mark; its value is a dict from each such key
    to the list of its values. Under the key itself stands the last of them, or None for an object or a list.
    """
    found = False

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        built = dict(pairs)
        if len(built) != len(pairs):
            values: dict[str, list[Any]] = {}
            for key, value in pairs:
                values.setdefault(key, []).append(value)
            clashing = {key: several for key, several in values.items() if _differ(several)}
            if clashing:
                found = True
                for key, several in clashing.items():
                    if type(several[-1]) is dict or type(several[-1]) is list:
                        # It stands among its fellows. Here as well, and each level of nesting would double all below.
                        built[key] = None
                built[marker + KIND_REPEATED] = clashing
        return built

    value = json.loads(text, object_pairs_hook=build)
    return Loaded(value, marker) if found else None


def _differ(values: list[Any]) -> bool:
    # As text, because 1, 1.0 and True are equal in Python.
    return len(values) > 1 and len({json.dumps(value, sort_keys=True) for value in values}) > 1
