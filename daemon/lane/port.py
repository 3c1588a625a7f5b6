"""What a lane needs of a Kafka client: the seam to the library, and to its thread.

The client has a thread with an event loop of its own. Everything here is called from one other thread, that of the
ledgers, and returns at once; what takes time gives a `Future`.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from daemon.lane.mailbox import Mailbox
from daemon.lane.mark import Mark
from pipeline.errors import SinkError


class Fenced(SinkError):
    """Raised when somebody else has taken the right to commit for a partition."""


@dataclass(slots=True, frozen=True)
class Outgoing:
    """One record for one topic, into the partition of the same number as that of the input."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True, frozen=True)
class Acquired:
    """The right to commit for a partition was taken, and this was found after it.

    Attributes:
        mark: of whoever had it before; None where nothing was ever committed.
        first, end: offsets of the input, of the oldest record that is there and behind the latest.
        partitions: how many the input topic has.
    """

    mark: Mark | None
    first: int
    end: int
    partitions: int


class Client(Protocol):
    """The connection of a process; one for all of its partitions."""

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to connect; `changed` is called, from any thread, whenever what follows may say something else."""

    def assigned(self) -> frozenset[int] | None:
        """Give the partitions that are ours as far as we know; None before that was ever said."""

    def confirmed(self, since: float) -> bool:
        """Say whether the group has confirmed, later than `since` (monotonic seconds), that they are."""

    @property
    def fault(self) -> str | None:
        """Say what keeps it from reading, or None."""

    def failure(self) -> Exception | None:
        """Give what makes it pointless to go on, or None."""

    def mailbox(self, partition: int) -> Mailbox:
        """Give where records of a partition arrive; nothing does before `read`."""

    def read(self, partition: int, offset: int) -> "Future[None]":
        """Begin to read at an offset."""

    def leave(self, partition: int) -> "Future[None]":
        """Read no more of a partition, and give the right to commit back."""

    def acquire(self, partition: int) -> "Future[Acquired]":
        """Take the right to commit for a partition from whoever has it.

        Raises (the future):
            SinkError: why it cannot just now.
            ConfigError: what a person must change.
        """

    def commit(self, partition: int, records: Sequence[Outgoing], mark: Mark) -> "Future[None]":
        """Make records readable, all of them or none, together with the mark.

        Raises (the future):
            SinkError: when it is not known to be done. The right is given up; acquiring it anew says what became of it.
        """

    def states(self, partition: int) -> "Future[Mapping[str, bytes]]":
        """Read the latest states of a partition, by key.

        Raises (the future):
            SinkError: why it cannot just now.
        """

    def peek(self, partition: int, offset: int) -> "Future[str | None]":
        """Give the digest of the record at an offset; None where there is none.

        Raises (the future):
            SinkError: why it cannot just now.
        """

    def place_of(self, key: bytes, partitions: int) -> int:
        """Say into which of so many partitions producers put a key, if they do as producers usually do."""

    def stop(self) -> None:
        """Disconnect, and end the thread."""


class Verdicts(Protocol):
    """The log of verdicts that all workers share, on its way into a file here; one for all lanes of a process."""

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to follow it; `changed` is called, from any thread, whenever what follows may say something else."""

    @property
    def looked(self) -> bool:
        """Say whether the file is as far as the log was a moment ago, or there is nothing to be had just now."""

    @property
    def absent(self) -> bool:
        """Say whether there is no such log, so that no verdict counts."""

    @property
    def strange(self) -> int:
        """Count what is in the log and is no verdict of it, because it does not follow the one before."""

    @property
    def problem(self) -> str | None:
        """Say what keeps verdicts from coming in, or None."""

    @property
    def conflict(self) -> str | None:
        """Say why the file is not a copy of the log, or None: then nothing is to be judged by it."""

    def stop(self) -> None:
        """Disconnect."""
