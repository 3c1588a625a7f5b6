"""Rows of the outbox as what is sent of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from daemon.ports.outbox import OutboxRow
from daemon.sinks.lines import Mapping, line_maker
from daemon.sinks.network.settings import NetworkSettings
from daemon.sinks.wanted import wanted
from pipeline.output.ecs import plain_line

_KINDS = {"sysscan.enriched": "finding", "sysscan.issue": "issue", "sysscan.scan": "scan", "sysscan.verdict": "verdict"}


@dataclass(slots=True, frozen=True)
class Item:
    """One record on its way.

    Attributes:
        position: up to which all of the outbox is done once this and what comes before it are.
        key: names the record; one that is sent twice has the same.
        line: JSON, without an end of line.
    """

    position: int
    kind: str
    key: str
    level: str
    line: bytes


def item_maker(settings: NetworkSettings, mapping: Mapping = "plain") -> Callable[[Sequence[OutboxRow]], list[Item]]:
    """Give the function from rows to what is sent of those that are wanted: the lines that a file would have."""
    changes = settings.emit == "changes"
    wants = wanted(changes_only=changes, min_level=settings.min_level)
    lines = line_maker(mapping, changes_only=changes, min_level=settings.min_level)
    kinds: frozenset[str] = frozenset(settings.kinds)
    rows_of = kinds | ({"scan"} if "issue" in kinds else frozenset())  # the issues are in the row of their scan

    def items(rows: Sequence[OutboxRow]) -> list[Item]:
        found: list[Item] = []
        for row in rows:
            if row.kind in rows_of and wants(row):
                *first, last = lines(row)
                made = [*(_item(row, line, row.position - 1) for line in first), _item(row, last, row.position)]
                found += (item for item in made if item.kind in kinds)
        return found

    return items


def in_batches(
    items: Sequence[Item], most: int, most_bytes: int, size: Callable[[Item], int]
) -> Iterator[Sequence[Item]]:
    """Cut into pieces of at most so many records and bytes; one record may be larger than that."""
    begin, taken = 0, 0
    for at, item in enumerate(items):
        bytes_ = size(item)
        if at > begin and (at - begin >= most or taken + bytes_ > most_bytes):
            yield items[begin:at]
            begin, taken = at, 0
        taken += bytes_
    if begin < len(items):
        yield items[begin:]


def _item(row: OutboxRow, line: bytes, position: int) -> Item:
    """Name a line: by the row, or by itself where a row becomes several."""
    if row.kind != "scan":
        return Item(position, row.kind, row.key, row.level, line)
    record: dict[str, Any] = orjson.loads(plain_line(line))
    kind = _KINDS.get(str(record.get("schema")).partition("/")[0], row.kind)
    level = record.get("level") if kind == "issue" else row.level
    return Item(position, kind, str(record.get("dedupe_key") or row.key), str(level), line)
