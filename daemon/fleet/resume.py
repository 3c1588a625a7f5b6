"""Where reading begins: never behind what the tables may not know, whatever was committed for the group."""

from dataclasses import dataclass

# What a process that died had not published stood behind what it had, but for what was under way at the same time.
OVERLAP_MS = 3600 * 1000
OVERLAP_RECORDS = 1000


@dataclass(slots=True, frozen=True)
class Resume:
    """How far the rows of a partition reach: the latest time at which one of their scans was written, and its place."""

    written: int
    offset: int


def begin_at(known: Resume | None, first: int, end: int, by_time: int) -> int:
    """Say at which offset to begin.

    Args:
        known: how far the tables reach in this partition; None where they do not know it.
        first, end: of what is in it.
        by_time: the first record that was written not long before the last one that the tables know, or later.
    """
    if known is None or known.offset >= end:  # the topic was created anew
        return first
    return max(first, min(by_time, known.offset - OVERLAP_RECORDS))
