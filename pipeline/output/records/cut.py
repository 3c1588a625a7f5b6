"""What a line says of what was cut from it, so that it is no longer than a shipper takes."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pipeline.contract import Count, Doc, Items

MOST_PARTS = 12


@dataclass(slots=True, frozen=True)
class CutPart:
    """One list or text of which not all is in the line."""

    what: Annotated[str, Doc("Dotted name of the key; `[]` stands for all items of a list, taken together.")]
    unit: Annotated[Literal["items", "bytes"], Doc("Items of lists and objects, or bytes of texts as written here.")]
    kept: Annotated[Count, Doc("How many are in the line.")]
    of: Annotated[Count, Doc("How many there were.")]


@dataclass(slots=True, frozen=True)
class Cut:
    """What is not in a line because it would be too long."""

    parts: Annotated[tuple[CutPart, ...], Items(1, MOST_PARTS), Doc("What was cut, by name.")]
    whole: Annotated[str, Doc("The command that gives the whole of it, on the host whose ledger has the scan.")]
    others: Annotated[Count, Doc("Further keys that were cut. Left out where all are in `parts`.")] = 0
