"""What the sink needs of a Kafka client: the seam to the library.

A connection is one transactional producer with the right to write for one ledger. Opening one takes that right from
every other; what they had not committed is gone then, and the mark that is read *after* that cannot become stale.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True, frozen=True)
class Record:
    """One record for one topic; those with the same key stay in order.

    Attributes:
        position: of its row in the outbox.
        id: of its row: the dedupe key of a finding, the id of a scan.
    """

    position: int
    id: str
    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(slots=True, frozen=True)
class Mark:
    """How far a ledger's records are committed: the position of the last one, and its id."""

    position: int
    id: str


class Connection(Protocol):
    """The right to write, as long as nobody else has taken it.

    Attributes:
        mark: what was committed last before this connection was opened; None where there is nothing.
    """

    mark: Mark | None

    async def commit(self, records: Sequence[Record]) -> None:
        """Make the records readable, all of them or none, together with the mark of the last one.

        Raises:
            SinkError: when it is not known to be done. Close the connection: the next one says what became of it.
        """

    async def close(self) -> None:
        """Give everything back within a few seconds; never raises."""


Connect = Callable[[], Awaitable[Connection]]  # raises SinkError
