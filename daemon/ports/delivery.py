"""What carries records out of a ledger, as its shard sees it."""

from collections.abc import Callable
from typing import Protocol


class Delivering(Protocol):
    """Goes on in steps, however long the destination takes.

    Attributes:
        records: rows that became durable, or were passed over as unwanted, since the start.
        faults: attempts that failed, since the start.
        fault: what went wrong in the last attempt, or None.
        starved: it failed for want of a descriptor, which another part may be able to spare.
    """

    records: int
    faults: int
    fault: str | None
    starved: bool

    @property
    def name(self) -> str:
        """Name the sink, as the ledger does."""

    @property
    def held(self) -> int:
        """Count the rows that are under way."""

    @property
    def recovering(self) -> bool:
        """Say whether it has yet to find out how far the destination is."""

    @property
    def failing(self) -> bool:
        """Say whether the last attempt failed."""

    @property
    def unfinished(self) -> bool:
        """Say whether there is more to deliver than the rows that wait."""

    def tell(self, wake: Callable[[], None]) -> None:
        """Have this called, from any thread, when another step is worth while."""

    def step(self) -> bool:
        """Go on; returns False when nothing came of it."""

    def close(self) -> None:
        """Give everything back."""
