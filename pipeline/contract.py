"""How the fields of a record are described: what they mean and which values they may have.

A record is a frozen dataclass that comes out as a JSON object. The published schemas, the writer and the reader are
made from it alone, by these rules:

- a key is the name of its field, without the underscore that keeps it apart from a word of Python (``class_``);
- a field with a default may be left out of the object: it is, where it holds the default;
- the first line of a record's docstring says what it is.
"""

from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from typing import Annotated, Any, get_type_hints


@dataclass(slots=True, frozen=True)
class Doc:
    """What a field means, for whoever reads the output."""

    text: str


@dataclass(slots=True, frozen=True)
class Pattern:
    """The regular expression that a text matches."""

    expression: str


@dataclass(slots=True, frozen=True)
class Range:
    """The least and the greatest number, both included."""

    least: int
    greatest: int | None = None


@dataclass(slots=True, frozen=True)
class Items:
    """How many items a list has, and whether each is there once."""

    least: int = 0
    most: int | None = None
    unique: bool = False


@dataclass(slots=True, frozen=True)
class RecordField:
    """One field of a record.

    Attributes:
        hint: its type, with what describes it.
        default: what it holds where the object lacks the key; `MISSING` where the key must be there.
    """

    name: str
    key: str
    hint: Any
    default: Any


Digest = Annotated[str, Pattern("^[0-9a-f]{32}$")]
Time = Annotated[str, Pattern(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$")]
Hash = Annotated[str, Pattern("^[0-9a-f]{64}$")]
Day = Annotated[str, Pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
TechniqueId = Annotated[str, Pattern(r"^T[0-9]{4}(\.[0-9]{3})?$")]
Count = Annotated[int, Range(0)]
Positive = Annotated[int, Range(1)]
Percent = Annotated[int, Range(0, 100)]


@lru_cache(maxsize=128)
def record_fields(record: type) -> tuple[RecordField, ...]:
    """List the fields of a record, in the order in which they stand.

    Raises:
        TypeError: if it is none.
    """
    hints = get_type_hints(record, include_extras=True)
    return tuple(
        RecordField(field.name, field.name.rstrip("_"), hints[field.name], _default(field)) for field in fields(record)
    )


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
