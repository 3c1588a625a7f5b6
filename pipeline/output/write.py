"""The one writer of records: canonical JSON, keys sorted, the same bytes for the same record."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, is_dataclass
from operator import attrgetter
from typing import Any

import orjson

from pipeline.contract import record_fields
from pipeline.harmless import harmless
from pipeline.keys import digest_bytes
from pipeline.remembered import Remembered
from pipeline.steps import PIECE, Steps, pieces

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
_NOTHING: Mapping[str, orjson.Fragment] = {}
_MAX_PARTS = 8192  # a list of controls is 2 KB; a report can make up any number of lists

Maker = Callable[[Any], dict[str, Any]]


def write(record: object, encoded: Mapping[str, orjson.Fragment] = _NOTHING) -> bytes:
    """Write a record.

    Args:
        encoded: what some of its keys hold, already written: parts that many records share are encoded once.

    Raises:
        TypeError: if a value of the report in it cannot be written as JSON.
    """
    made = _object(record)
    made.update(encoded)
    return _dumped(made)


def write_steps(record: object) -> Steps[bytes]:
    """Do what `write` does, in steps where the record holds many others."""
    encoded: dict[str, orjson.Fragment] = {}
    for key, value in _object(record).items():
        if isinstance(value, tuple) and len(value) > PIECE:
            parts: list[bytes] = []
            for piece in pieces(value):
                parts.append(_dumped(piece)[1:-1])
                yield
            encoded[key] = orjson.Fragment(b"[" + b",".join(parts) + b"]")
        elif is_dataclass(value):
            written = yield from write_steps(value)
            encoded[key] = orjson.Fragment(written)
    return write(record, encoded)


class Parts:
    """Parts of records that many records share, written once each."""

    def __init__(self) -> None:
        self._written: Remembered[str, orjson.Fragment] = Remembered(_MAX_PARTS)

    def of(self, name: str, part: object) -> orjson.Fragment:
        """Give a part as it is written; `name` stands for all that it holds."""
        known = self._written.get(name)
        if known is None:
            known = self._written[name] = fragment(part)
        return known


def fragment(part: object) -> orjson.Fragment:
    """Write a part, for `write` to put into records."""
    return orjson.Fragment(_dumped(part))


def name_of(record: object) -> str:
    """Name a record after all that it holds."""
    return digest_bytes(write(record))


def _dumped(value: object) -> bytes:
    # A copy, because orjson hands out its whole buffer: 16 KiB for a line of two.
    return harmless(bytes(memoryview(orjson.dumps(value, _object, _OPTIONS))))


def _object(record: Any) -> dict[str, Any]:
    """Give a record as the object that it is written as."""
    return _MAKERS[type(record)](record)


class _Makers(dict[type, Maker]):
    """What gives the records of each type as objects, made when the first is written."""

    def __missing__(self, record: type) -> Maker:
        made = self[record] = dict if issubclass(record, Mapping) else _maker(record)
        return made


def _maker(record: type) -> Maker:
    """Make what gives a record of this type as an object.

    Compiled from the fields, as `dataclasses` compiles its own methods: a loop over them takes twice as long, and
    that is what writing a line spends most of its time with.
    """
    fields = record_fields(record)
    always = ", ".join(f"{field.key!r}: record.{field.name}" for field in fields if field.default is MISSING)
    required: Maker = eval(f"lambda record: {{{always}}}")  # noqa: S307 - names of our own
    optional = [(field.key, attrgetter(field.name), field.default) for field in fields if field.default is not MISSING]
    if not optional:
        return required

    def whole(record: Any) -> dict[str, Any]:
        made = required(record)
        for key, value_of, default in optional:
            value = value_of(record)
            if value != default:
                made[key] = value
        return made

    return whole


_MAKERS = _Makers()
