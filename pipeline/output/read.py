"""Reads records back, as this version or an earlier one wrote them.

Every key that the format had from the start must be there, and every value must have its type. Keys that were added
since may be missing (`_ADDED`), and keys that are not known are passed over: a newer version wrote them.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import orjson

from pipeline.contract import record_fields
from pipeline.errors import RecordError
from pipeline.output.records import (
    Analysis,
    Counts,
    EnrichedFinding,
    Issue,
    IssueRecord,
    ScanLine,
    ScanRecord,
    VerdictRecord,
)
from pipeline.rules.compliance import FrameworkGap

Json = Mapping[str, Any]
Reader = Callable[[Any], Any]

# Keys that version 1 did not have from the start, and what an object without them says.
_ADDED: Mapping[tuple[type, str], Callable[[Json], Any]] = {
    (Analysis, "text_by"): lambda analysis: analysis.get("origin"),  # whoever analysed it told it, too
    (Analysis, "action"): lambda analysis: None,
    (Analysis, "controls"): lambda analysis: [],
    (Analysis, "techniques"): lambda analysis: [],
    (Issue, "assessment"): lambda issue: "",
    (Issue, "impact"): lambda issue: "",
    (ScanRecord, "min_severity"): lambda scan: None,
    (FrameworkGap, "disputed_only"): lambda framework: {"sourced": [], "derived": [], "inferred": []},
}


class _Unfit(Exception):
    """Raised where a value is not what a record holds there; the way to it is put together on the way up."""

    def __init__(self, why: str) -> None:
        self.why = why
        self.way = ""

    def below(self, step: str) -> "_Unfit":
        self.way = f"{step}.{self.way}" if self.way and not self.way.startswith("[") else f"{step}{self.way}"
        return self


def read_finding(line: bytes) -> EnrichedFinding:
    """Read an enriched finding.

    Raises:
        RecordError: if it is none.
    """
    found: EnrichedFinding = _read(EnrichedFinding, line)
    return found


def read_scan(line: bytes) -> ScanRecord:
    """Read a scan record, whole.

    Raises:
        RecordError: if it is none.
    """
    found: ScanRecord = _read(ScanRecord, line)
    return found


def read_issue(line: bytes) -> IssueRecord:
    """Read the record of an issue.

    Raises:
        RecordError: if it is none.
    """
    found: IssueRecord = _read(IssueRecord, line)
    return found


def read_scan_line(line: bytes) -> ScanLine:
    """Read the line of a scan.

    Raises:
        RecordError: if it is none.
    """
    found: ScanLine = _read(ScanLine, line)
    return found


def read_counts(line: bytes) -> Counts:
    """Read the numbers of a scan record and nothing else of it.

    Raises:
        RecordError: if it is none.
    """
    body = _read(dict, line)
    try:
        counts: Counts = _reader(Counts)(body.get("counts"))
    except _Unfit as error:
        raise RecordError(f"counts.{error.way}: {error.why}") from error
    return counts


def read_verdict(line: bytes) -> VerdictRecord:
    """Read the record of a verdict.

    Raises:
        RecordError: if it is none.
    """
    found: VerdictRecord = _read(VerdictRecord, line)
    return found


def _read(record: Any, line: bytes) -> Any:
    try:
        return _reader(record)(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        raise RecordError(f"not JSON: {error}") from error
    except _Unfit as error:
        raise RecordError(f"{error.way}: {error.why}" if error.way else error.why) from error


@cache
def _reader(hint: Any) -> Reader:
    """Make what reads a value of a type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _reader(arguments[0])
    if origin in (Union, types.UnionType):
        (inner,) = (_reader(one) for one in arguments if one is not type(None))
        return lambda value: None if value is None else inner(value)
    if origin is Literal:
        return _word(arguments)
    if origin is tuple:
        return _list(_reader(arguments[0]))
    if origin is Mapping:
        return _mapping(_reader(arguments[0]), _reader(arguments[1]))
    if is_dataclass(hint):
        return _record(hint)
    return _plain(hint)


def _plain(kind: type) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise _Unfit(f"expected {_KINDS[kind]}, not {_kind_of(value)}")
        return value

    return _anything if kind is Any else read


def _anything(value: Any) -> Any:
    return value


def _word(words: tuple[Any, ...]) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not str:
            raise _Unfit(f"expected text, not {_kind_of(value)}")
        if value not in words:
            raise _Unfit(f"{value[:40]!r} is none of {', '.join(words)}; did a newer version write it?")
        return value

    return read


def _list(item: Reader) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not list:
            raise _Unfit(f"expected a list, not {_kind_of(value)}")
        found = []
        for number, one in enumerate(value):
            try:
                found.append(item(one))
            except _Unfit as error:
                raise error.below(f"[{number}]") from None
        return tuple(found)

    return read


def _mapping(key: Reader, item: Reader) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _Unfit(f"expected an object, not {_kind_of(value)}")
        found = {}
        for name, one in value.items():
            try:
                found[key(name)] = item(one)
            except _Unfit as error:
                raise error.below(name[:40]) from None
        return found

    return read


def _record(record: Any) -> Reader:
    readers = [(field, _reader(field.hint), _ADDED.get((record, field.key))) for field in record_fields(record)]

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _Unfit(f"expected an object, not {_kind_of(value)}")
        found: dict[str, Any] = {}
        for field, reader, added in readers:
            if field.key in value:
                held = value[field.key]
                # Left out is how such a key says that it holds nothing.
                if held is None and field.default is None:
                    raise _Unfit("must not be null").below(field.key)
            elif field.default is not MISSING:
                found[field.name] = field.default
                continue
            elif added is not None:
                held = added(value)
            else:
                raise _Unfit("is missing").below(field.key)
            try:
                found[field.name] = reader(held)
            except _Unfit as error:
                raise error.below(field.key) from None
        return record(**found)

    return read


_KINDS: dict[Any, str] = {
    str: "text", int: "a number", float: "a number with a fraction", bool: "true or false", list: "a list",
    dict: "an object", type(None): "null",
}  # fmt: skip


def _kind_of(value: Any) -> str:
    return _KINDS[type(value)]
