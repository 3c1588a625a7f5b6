"""Cuts a record so that its line is no longer than asked for, and says in it what was cut.

Lists end earlier and texts end with an ellipsis, at first only very long ones, then ever shorter ones, until the line
fits. What has a form (keys, times, words of a closed list) is never cut. A command is whole or not there: half of one
would do something else.
"""

import types
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import orjson

from pipeline.contract import Items, Pattern, record_fields
from pipeline.harmless import LONGEST_SPELT, harmless
from pipeline.output.records import (
    Cut,
    CutPart,
    EnrichedFinding,
    FirstAction,
    IssueRecord,
    ScanLine,
    ScanRecord,
    VerdictRecord,
)
from pipeline.output.records.cut import MOST_PARTS
from pipeline.output.write import write
from pipeline.retrieval.likely import FirstLook
from pipeline.rules.remediate import Action

LineRecord = EnrichedFinding | IssueRecord | ScanLine | VerdictRecord
Record = TypeVar("Record", bound=LineRecord | ScanRecord)


class _Stage(NamedTuple):
    """What may stay: items of a list or an object, bytes of a text, bytes of a command."""

    items: int
    text: int
    command: int


_STAGES: Final = (
    _Stage(1024, 8192, 4096), _Stage(512, 4096, 4096), _Stage(256, 2048, 2048), _Stage(192, 2048, 2048),
    _Stage(128, 1024, 2048), _Stage(96, 1024, 2048), _Stage(80, 1024, 2048), _Stage(64, 1024, 2048),
    _Stage(48, 512, 1024), _Stage(32, 512, 1024), _Stage(24, 256, 1024), _Stage(16, 256, 1024),
    _Stage(10, 256, 512), _Stage(6, 128, 256), _Stage(2, 96, 96),
)  # fmt: skip
_LAST_WITH_FREE: Final = 256  # bytes of a text; below that nothing stays of what a report made up
_DEEPEST: Final = 8  # levels of lists and objects in what a report made up
_ELLIPSIS: Final = "…"
_SHELL: Final = ("command", "check", "rollback", "acceptance")


def shortened(record: Record, most: int, whole: str) -> Record:
    """Give a record whose line has at most `most` bytes; the same object where it has anyway.

    Of a list that says in `cut` that it was longer, that is what it is said to have been.

    Args:
        most: without the line end; any record fits 32 KiB.
        whole: the command that gives the whole of it.
    """
    before = record.cut
    if before is not None and not before.whole:
        before = replace(before, whole=whole)
        record = replace(record, cut=before)
    if len(write(record)) <= most:
        return record
    record = replace(record, cut=None)
    for stage in _STAGES:
        cutter = _Cutter(stage)
        made: Record = replace(cutter.record(record, ""), cut=cutter.mark(whole, before))
        if len(write(made)) <= most:
            break
    return made


class _Cutter:
    """Cuts everything to one measure and counts what it cut."""

    def __init__(self, stage: _Stage) -> None:
        self._stage = stage
        self._parts: dict[tuple[str, Literal["items", "bytes"]], tuple[int, int]] = {}

    def mark(self, whole: str, before: Cut | None) -> Cut:
        """Say what was cut, lists first and of these the longest, because they tell most.

        Args:
            before: what was cut already.
        """
        for part in before.parts if before is not None else ():
            kept, _ = self._parts.get((part.what, part.unit), (part.kept, 0))
            self._parts[part.what, part.unit] = kept, part.of
        parts = [CutPart(what, unit, kept, of) for (what, unit), (kept, of) in self._parts.items()]
        parts.sort(key=lambda part: (part.unit == "bytes", part.kept - part.of, part.what))
        others = max(0, len(parts) - MOST_PARTS) + (before.others if before is not None else 0)
        return Cut(tuple(parts[:MOST_PARTS]), whole, others)

    def record(self, record: Any, way: str) -> Any:
        """Cut the fields of a record.

        Args:
            way: dotted name of where it stands, empty for the line itself.
        """
        kind: type = type(record)
        made = self._shell(record, way) if isinstance(record, Action | FirstAction) else {}
        for field in record_fields(kind):
            if field.name in made:
                continue
            below = f"{way}.{field.key}" if way else field.key
            made[field.name] = self._value(field.hint, getattr(record, field.name), below)
        return kind(**made)

    def _shell(self, record: Action | FirstAction, way: str) -> dict[str, Any]:
        """Keep what is for a shell, or none of it: a command without its check, or a way back alone, is of no use."""
        shell = {name: getattr(record, name) for name in _SHELL if hasattr(record, name)}
        too_long = {name: text for name, text in shell.items() if text and _size(text) > self._stage.command}
        for name, text in too_long.items():
            self._note(f"{way}.{name}", "bytes", 0, _size(text))
        return dict.fromkeys(shell, None) if too_long else shell

    def _value(self, hint: Any, value: Any, way: str) -> Any:
        origin, arguments = get_origin(hint), get_args(hint)
        if value is None or origin is Literal:
            return value
        if origin is Annotated:
            if any(isinstance(one, Pattern) for one in arguments[1:]):
                return value
            least = max((one.least for one in arguments[1:] if isinstance(one, Items)), default=0)
            assert least <= _STAGES[-1].items
            return self._value(arguments[0], value, way)
        if origin in (Union, types.UnionType):
            (inner,) = (one for one in arguments if one is not type(None))
            if inner is FirstLook and _size(value.command) > self._stage.command:
                self._note(way, "bytes", 0, len(write(value)))
                return None
            return self._value(inner, value, way)
        if origin is tuple:
            return tuple(self._value(arguments[0], one, f"{way}[]") for one in self._few(value, way))
        if origin is Mapping:
            return self._mapping(arguments, value, way)
        if is_dataclass(hint):
            return self.record(value, way)
        return self._text(value, way) if hint is str else value

    def _mapping(self, hints: tuple[Any, ...], value: Mapping[Any, Any], way: str) -> Any:
        if get_origin(hints[0]) is Literal:
            return value
        if hints[1] is Any:
            return self._free(value, way)
        few = self._few(sorted(value), way)
        return {self._text(name, way): self._text(value[name], way) for name in few}

    def _few(self, items: Any, way: str) -> Any:
        few = items[: self._stage.items]
        if len(few) < len(items):
            self._note(way, "items", len(few), len(items))
        return few

    def _text(self, text: str, way: str) -> str:
        if len(text) * LONGEST_SPELT <= self._stage.text:
            return text
        size = _size(text)
        if size <= self._stage.text:
            return text
        room = self._stage.text - len(_ELLIPSIS.encode())
        length = bisect_right(range(room + 1), room, key=lambda count: _size(text[:count])) - 1
        kept = text[:length] + _ELLIPSIS
        self._note(way, "bytes", _size(kept), size)
        return kept

    def _free(self, value: Mapping[str, Any], way: str) -> Mapping[str, Any]:
        """Cut what a report made up: any keys and values."""
        of = len(harmless(orjson.dumps(value)))
        if of <= self._stage.text:
            return value
        kept = self._loose(value, 0) if self._stage.text >= _LAST_WITH_FREE else {}
        size = len(harmless(orjson.dumps(kept)))
        if size < of:
            self._note(way, "bytes", size, of)
        return kept if isinstance(kept, dict) else {}

    def _loose(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return _Cutter(self._stage)._text(value, "")
        if not isinstance(value, list | dict):
            return value
        if depth == _DEEPEST:
            return None
        if isinstance(value, list):
            return [self._loose(one, depth + 1) for one in value[: self._stage.items]]
        names = [name for name in sorted(value) if _size(name) <= self._stage.text][: self._stage.items]
        return {name: self._loose(value[name], depth + 1) for name in names}

    def _note(self, what: str, unit: Literal["items", "bytes"], kept: int, of: int) -> None:
        before = self._parts.get((what, unit), (0, 0))
        self._parts[what, unit] = (before[0] + kept, before[1] + of)


def _size(text: str) -> int:
    """Count the bytes of a text as it is written, without its quotes."""
    return len(harmless(orjson.dumps(text))) - 2
