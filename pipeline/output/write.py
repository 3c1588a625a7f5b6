"""The one writer of records: canonical JSON, keys sorted, the same bytes for the same record."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from functools import cache
from operator import attrgetter
from typing import Any

import orjson

from pipeline.contract import record_fields
from pipeline.keys import digest_bytes

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
_NOTHING: Mapping[str, orjson.Fragment] = {}


def write(record: object, encoded: Mapping[str, orjson.Fragment] = _NOTHING) -> bytes:
    """Write a record.

    Args:
        encoded: what some of its keys hold, already written: parts that many records share are encoded once.

    Raises:
        TypeError: if a value of the report in it cannot be written as JSON.
    """
    return orjson.dumps({**_object(record), **encoded} if encoded else record, _object, _OPTIONS)


class Parts:
    """Parts of records, written once each; for those that many records share and that live as long as this does."""

    def __init__(self) -> None:
        self._written: dict[int, tuple[object, orjson.Fragment]] = {}

    def of(self, part: object) -> orjson.Fragment:
        """Give a part as it is written, known by its identity."""
        known = self._written.get(id(part))
        if known is None:  # the part is kept with it, so that no other can take its identity
            known = self._written[id(part)] = part, orjson.Fragment(orjson.dumps(part, _object, _OPTIONS))
        return known[1]


def name_of(record: object) -> str:
    """Name a record after all that it holds."""
    return digest_bytes(write(record))


def _object(record: Any) -> dict[str, Any]:
    """Give a record as the object that it is written as."""
    kind: Any = type(record)
    return _maker(kind)(record)


@cache
def _maker(record: Any) -> Callable[[Any], dict[str, Any]]:
    """Make what gives a record of this type as an object.

    Compiled from the fields, as `dataclasses` compiles its own methods: a loop over them takes twice as long, and
    that is what writing a line spends most of its time with.
    """
    if issubclass(record, Mapping):
        return dict
    fields = record_fields(record)
    always = ", ".join(f"{field.key!r}: record.{field.name}" for field in fields if field.default is MISSING)
    required: Callable[[Any], dict[str, Any]] = eval(f"lambda record: {{{always}}}")  # noqa: S307 - names of our own
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
