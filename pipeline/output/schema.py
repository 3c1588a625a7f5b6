"""Makes the published JSON Schemas out of the records.

``python -m pipeline.output.schema DIRECTORY`` writes them; a test holds ``docs/schema/`` to them.
"""

import json
import sys
import types
from collections.abc import Mapping
from dataclasses import MISSING, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pipeline.contract import Doc, Items, Pattern, Range, record_fields
from pipeline.output.records import (
    Analysis,
    EnrichedFinding,
    FirstAction,
    IssueRecord,
    ScanLine,
    ScanRecord,
    VerdictRecord,
)
from pipeline.output.records.export import ExportDocument
from pipeline.output.records.fleet import AlertRecord, PostureRecord
from pipeline.rules.remediate import Action

Schema = dict[str, Any]

PUBLISHED: Mapping[str, type] = {
    "enriched-1": EnrichedFinding, "issue-1": IssueRecord, "scan-line-1": ScanLine, "scan-1": ScanRecord,
    "verdict-1": VerdictRecord, "export-1": ExportDocument, "posture-1": PostureRecord, "alert-1": AlertRecord,
}  # fmt: skip
_PLACE = "https://sysscan-agent.invalid/schema/"

_PLAIN: Mapping[Any, Schema] = {
    str: {"type": "string"}, int: {"type": "integer"}, bool: {"type": "boolean"}, Any: {},
}  # fmt: skip
# What holds between the keys of one object.
_NO_HARM: Schema = {
    "if": {"properties": {"contraindicated": {"type": "string"}}},
    "then": {"properties": {"command": {"type": "null"}}},
}
_CONDITIONS: Mapping[type, Schema] = {
    Action: _NO_HARM,
    FirstAction: _NO_HARM,
    Analysis: {
        "if": {"properties": {"origin": {"const": "rules"}}},
        "then": {"properties": {"model": {"type": "null"}, "fallback_reason": {"type": "string"}}},
        "else": {"properties": {"fallback_reason": {"type": "null"}}},
    },
}


def schema_of(name: str) -> Schema:
    """Make a published schema; `PUBLISHED` names them."""
    made = _object(PUBLISHED[name])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{_PLACE}{name}.schema.json",
        "title": made["properties"]["schema"]["const"],
        **made,
    }


def written(name: str) -> str:
    """Write a published schema as its file has it."""
    return json.dumps(schema_of(name), indent=1, ensure_ascii=False) + "\n"


def _schema(hint: Any) -> Schema:
    """Describe the values of a type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _described(_schema(arguments[0]), arguments[1:])
    if origin in (Union, types.UnionType):
        (inner,) = (one for one in arguments if one is not type(None))
        return _or_null(_schema(inner))
    if origin is Literal:
        return {"enum": list(arguments)} if len(arguments) > 1 else {"const": arguments[0]}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0])}
    if origin is Mapping:
        return _mapping(*arguments)
    if isinstance(hint, type) and is_dataclass(hint):
        return _object(hint)
    return dict(_PLAIN[hint])


def _described(schema: Schema, by: tuple[object, ...]) -> Schema:
    for one in by:
        if isinstance(one, Pattern):
            schema["pattern"] = one.expression
        elif isinstance(one, Range):
            schema["minimum"] = one.least
            if one.greatest is not None:
                schema["maximum"] = one.greatest
        elif isinstance(one, Items):
            limits = {"minItems": one.least or None, "maxItems": one.most, "uniqueItems": one.unique or None}
            schema.update({key: limit for key, limit in limits.items() if limit is not None})
        elif isinstance(one, Doc):
            schema = {**schema, "description": one.text}
    return schema


def _or_null(schema: Schema) -> Schema:
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if schema["type"] == "object":
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def _mapping(key: Any, value: Any) -> Schema:
    if get_origin(key) is Literal:
        properties = {word: _schema(value) for word in get_args(key)}
        return {"type": "object", "additionalProperties": False, "properties": properties}
    inner = _schema(value)
    return {"type": "object", "additionalProperties": inner} if inner else {"type": "object"}


def _object(record: type) -> Schema:
    fields = record_fields(record)
    return {
        "description": " ".join((record.__doc__ or "").split()),
        "type": "object",
        "additionalProperties": False,
        "required": [field.key for field in fields if field.default is MISSING],
        "properties": {field.key: _property(field.hint, field.default) for field in fields},
        **_CONDITIONS.get(record, {}),
    }


def _property(hint: Any, default: Any) -> Schema:
    """Describe a key; one that may be left out never holds what leaving it out says."""
    schema = _schema(hint)
    if default is False:
        del schema["type"]
        schema["const"] = True
    elif default is None:
        schema = _not_null(schema)
    return {"description": schema.pop("description"), **schema}


def _not_null(schema: Schema) -> Schema:
    if "enum" in schema:
        return {**schema, "enum": [word for word in schema["enum"] if word is not None]}
    if "anyOf" in schema:
        inner = next(one for one in schema["anyOf"] if one["type"] != "null")
        return {**inner, "description": schema["description"]}
    return {**schema, "type": next(one for one in schema["type"] if one != "null")}


def main(directory: str) -> None:
    """Write the published schemas into a directory."""
    for name in PUBLISHED:
        (Path(directory) / f"{name}.schema.json").write_text(written(name), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
