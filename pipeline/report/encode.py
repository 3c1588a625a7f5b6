"""How findings and headers are kept: objects to compact bytes and back."""

import json
from dataclasses import fields
from typing import Any, get_origin, get_type_hints

import orjson

from pipeline.finding import RawFinding, ScanHeader

# What decoding raises over bytes that are not those that were encoded.
DAMAGE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)

_SLOW = b"~"  # marks what only the standard library can carry: integers past 64 bits, lone surrogates, deep nesting
_HEADER_FIELDS = tuple(f.name for f in fields(ScanHeader))
_HEADER_TUPLES = tuple(name for name, type_ in get_type_hints(ScanHeader).items() if get_origin(type_) is tuple)


def dumps(value: Any, *, sort_keys: bool = False) -> bytes:
    """Write JSON that `loads` gives back unchanged, whatever integers or surrogates it holds.

    Args:
        sort_keys: for hashing; the same as `pipeline.keys.canonical`, which refuses what orjson cannot write.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort_keys else None)
    except TypeError:
        return _SLOW + json.dumps(value, separators=(",", ":"), sort_keys=sort_keys).encode()


def loads(data: bytes) -> Any:
    return json.loads(data[1:]) if data[:1] == _SLOW else orjson.loads(data)


def weight(data: bytes) -> int:
    """Say what stored text takes in memory: Python holds text with one wide character in it at four bytes each."""
    return len(data) if data.isascii() else 4 * len(data)


def encode_finding(finding: RawFinding) -> bytes:
    return dumps(
        (
            finding.scanner,
            finding.id,
            finding.severity,
            finding.title,
            finding.description,
            finding.score,
            finding.metadata,
            finding.techniques,
            finding.extra,
            finding.escaped,
        )
    )


def decode_finding(data: bytes) -> RawFinding:
    scanner, id_, severity, title, description, score, metadata, techniques, extra, escaped = loads(data)
    return RawFinding(
        scanner, id_, severity, title, description, score, metadata, tuple(techniques), extra, tuple(escaped)
    )


def encode_header(header: ScanHeader) -> bytes:
    return dumps({name: getattr(header, name) for name in _HEADER_FIELDS})


def decode_header(data: bytes) -> ScanHeader:
    values = loads(data)
    for name in _HEADER_TUPLES:
        values[name] = tuple(values[name])
    return ScanHeader(**values)
