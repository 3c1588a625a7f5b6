"""Where records go, as a delivery sees it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from daemon.ports.outbox import OutboxRow

Pending = Callable[[int], Sequence[OutboxRow]]  # the next rows after a position, in order; empty when there are none


class Sink(Protocol):
    """Takes records in order and says up to which they are durable.

    Attributes:
        name: ``KIND:PLACE``, such as ``file:/var/lib/x.ndjson``; under it the ledger keeps the sink's mark.
        max_held: rows that it is given at most before some of them are durable; None: it says when it has enough.
    """

    name: str
    max_held: int | None

    def tell(self, wake: Callable[[], None]) -> None:
        """Be given what to call, from any thread, when it has got on without being asked."""

    def recover(self, delivered: int, pending: Pending) -> int | None:
        """Find out how far the records are durable, given the mark in the ledger; returns the position up to which.

        Called until it gives one, before the first `write`; None means that the destination has not said yet. It may be
        past the mark, never before it: what a crash cut off between making durable and moving the mark is found here,
        by what the destination holds. One that cannot be asked gets what follows the mark again, and has to know a
        record by its key.

        Raises:
            SinkError: when it cannot just now; it will be called again.
        """

    def write(self, rows: Sequence[OutboxRow]) -> int:
        """Take the rows; returns the position up to which everything that was ever offered is durable.

        A sink may hold rows back (until a scan ends, until a broker has confirmed them) by returning an earlier
        position: they stay in the ledger. It is then offered the rows that follow, or none, when there are none: to say
        how far it has got. A process that ends holds nothing: what was not durable is offered again to the next.

        Raises:
            SinkError: when it cannot just now. Everything after the position that it last returned will be offered
                again, so it must forget what it holds.
        """

    def close(self) -> None:
        """Give everything back; what is held is not durable."""
