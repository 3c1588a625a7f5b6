"""Rows of the outbox as what is sent of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from daemon.ports.outbox import OutboxRow
from daemon.sinks.network.settings import NetworkSettings
from daemon.sinks.wanted import wanted

Lines = Callable[[OutboxRow], Sequence[bytes]]


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


def as_it_is(row: OutboxRow) -> Sequence[bytes]:
    """Give a row's one line."""
    return (row.line,)


def item_maker(settings: NetworkSettings, lines: Lines = as_it_is) -> Callable[[Sequence[OutboxRow]], list[Item]]:
    """Give the function from rows to what is sent of those that are wanted.

    Args:
        lines: gives the lines of a row, always the same for the same row. Of several, the last has the row's key.
    """
    wants = wanted(changes_only=settings.emit == "changes", min_level=settings.min_level)
    kinds: frozenset[str] = frozenset(settings.kinds)

    def items(rows: Sequence[OutboxRow]) -> list[Item]:
        found: list[Item] = []
        for row in rows:
            if row.kind in kinds and wants(row):
                *first, last = lines(row)
                found += (
                    Item(row.position - 1, row.kind, f"{row.key}.{number}", row.level, line)
                    for number, line in enumerate(first, 1)
                )
                found.append(Item(row.position, row.kind, row.key, row.level, last))
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
