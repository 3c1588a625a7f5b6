"""What waits for the sinks, as a delivery sees it."""

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(slots=True, frozen=True)
class OutboxRow:
    """One durable record waiting for sinks; `line` has no line end. Positions have no gaps."""

    position: int
    kind: Literal["finding", "scan", "verdict"]
    key: str
    level: str
    changed: bool
    line: bytes


class Outbox(Protocol):
    """One ordered queue, and a mark for each sink: up to there it has everything."""

    def register(self, sink: str) -> int:
        """Make a sink known; what it has not taken is kept from then on. Returns its mark, which a known one keeps."""

    def pending(self, sink: str, limit: int, after: int | None = None) -> list[OutboxRow]:
        """Give the next rows for a sink, in order.

        Args:
            after: a position past the mark, for a sink that has rows in flight.

        Raises:
            LedgerError: when the sink is not registered.
        """

    def delivered(self, sink: str, position: int) -> None:
        """Record that a sink holds everything up to `position` durably; a mark never goes back.

        Raises:
            LedgerError: when there has been no such row or sink, or the mark cannot be stored just now.
        """
