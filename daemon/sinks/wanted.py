"""Which rows a sink takes; the others are passed over."""

from collections.abc import Callable

from daemon.ports.outbox import OutboxRow
from pipeline.finding import LEVELS, Level


def wanted(*, changes_only: bool, min_level: Level) -> Callable[[OutboxRow], bool]:
    """Say of a row whether it is wanted: a finding by its level and by what changed; all other records are."""
    least = LEVELS.index(min_level)
    levels: tuple[str, ...] = LEVELS

    def wants(row: OutboxRow) -> bool:
        return row.kind != "finding" or ((row.changed or not changes_only) and levels.index(row.level) >= least)

    return wants
