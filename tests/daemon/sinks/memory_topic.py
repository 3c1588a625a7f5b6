"""A topic in memory, behind the seam to a Kafka client: what is committed, and what each transaction comes to."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Literal

from daemon.sinks.kafka.connection import Connection, Mark, Record
from pipeline.errors import SinkError

# What a transaction comes to: it is committed; it is, and the answer is lost; it is not; or the client itself breaks.
Outcome = Literal["committed", "unanswered", "aborted", "broken"]
PATIENCE_S = 30.0


class MemoryTopic:
    """Attributes:
    records: that are committed, in order.
    mark: committed with the last of them.
    outcomes: of the transactions to come; "committed" where none is left.
    unreachable: connections to come that fail.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.mark: Mark | None = None
        self.outcomes: list[Outcome] = []
        self.unreachable = 0
        self.changed = threading.Condition()  # for all of them
        self._allowed = 0

    async def connect(self) -> Connection:
        """Open a connection, as `daemon.sinks.kafka.connection.Connect`."""
        with self.changed:
            if self.unreachable:
                self.unreachable -= 1
                raise SinkError("the brokers cannot be reached")
            return _Connection(self, self.mark)

    def allow(self, transactions: int) -> None:
        """Let so many transactions come to their end."""
        with self.changed:
            self._allowed += transactions
            self.changed.notify_all()

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait for what changes here."""
        with self.changed:
            assert self.changed.wait_for(until, PATIENCE_S), "it hangs"

    @property
    def allowed(self) -> int:
        """Count the transactions that may still come to their end."""
        return self._allowed

    def end(self, records: Sequence[Record]) -> Outcome:
        with self.changed:
            assert self.changed.wait_for(lambda: self._allowed > 0, PATIENCE_S), "nobody let it end"
            self._allowed -= 1
            self.changed.notify_all()
            outcome = self.outcomes.pop(0) if self.outcomes else "committed"
            if outcome in ("committed", "unanswered"):
                self.records += records
                self.mark = Mark(records[-1].position, records[-1].id)
            return outcome


class _Connection:
    def __init__(self, topic: MemoryTopic, mark: Mark | None) -> None:
        self.mark = mark
        self._topic = topic

    async def commit(self, records: Sequence[Record]) -> None:
        outcome = await asyncio.to_thread(self._topic.end, records)
        if outcome == "broken":
            raise RuntimeError("what the library does not declare")
        if outcome != "committed":
            raise SinkError("the brokers do not answer")

    async def close(self) -> None:
        """There is nothing to give back."""
