"""A cluster in memory that keeps the contract of `daemon.lane.port.Client`.

What is committed is kept over clients, epochs fence as Kafka's do, and a client can be told to fail at a step, before
or behind it, as a process that is killed there does.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

from daemon.lane.mailbox import Mailbox, digest_of
from daemon.lane.mark import Mark, read_mark
from daemon.lane.port import Acquired, Fenced, Outgoing
from daemon.sources.kafka.messages import Message

T = TypeVar("T")


class Killed(BaseException):
    """Raised where a process would have been killed."""


@dataclass
class Cluster:
    """Attributes:
    records: of each partition of the input.
    first: offset of the oldest record of each.
    sent: what was committed to the topics, in order, with its partition.
    """

    partitions: int = 1
    records: dict[int, list[Message]] = field(default_factory=dict)
    first: dict[int, int] = field(default_factory=dict)
    committed: dict[int, tuple[int, str]] = field(default_factory=dict)
    states: dict[int, dict[str, bytes]] = field(default_factory=dict)
    sent: list[tuple[int, Outgoing]] = field(default_factory=list)
    epochs: dict[int, int] = field(default_factory=dict)
    transactions: int = 0

    def produce(
        self, partition: int, key: bytes | None, value: bytes | None, at_ms: int = 1_790_000_000_000,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:  # fmt: skip
        there = self.records.setdefault(partition, [])
        offset = there[-1].offset + 1 if there else self.first.get(partition, 0)
        there.append(Message("in", partition, offset, key, value, tuple(headers), at_ms))

    def end(self, partition: int) -> int:
        there = self.records.get(partition)
        return there[-1].offset + 1 if there else self.first.get(partition, 0)

    def values(self, topic: str) -> list[bytes]:
        return [one.value for _, one in self.sent if one.topic == topic and one.value is not None]


class MemoryClient:
    """A process's connection to the cluster.

    Attributes:
        fail: called with the name of each step; raises to end the process there.
        lost: commits whose answer does not come back, though they were made: so many of the next.
    """

    def __init__(self, cluster: Cluster, state_topic: str = "sysscan.state") -> None:
        self.cluster = cluster
        self.fail: Callable[[str], None] = lambda step: None
        self.lost = 0
        self.fault: str | None = None
        self._state_topic = state_topic
        self._epochs: dict[int, int] = {}
        self._mailboxes: dict[int, Mailbox] = {}

    def start(self, changed: Callable[[], None]) -> None:
        changed()

    def assigned(self) -> frozenset[int]:
        return frozenset(range(self.cluster.partitions))

    def confirmed(self, since: float) -> bool:
        return True

    def failure(self) -> None:
        return None

    def mailbox(self, partition: int) -> Mailbox:
        return self._mailboxes.setdefault(partition, Mailbox())

    def read(self, partition: int, offset: int) -> "Future[None]":
        mailbox, first = self.mailbox(partition), self.cluster.first.get(partition, 0)
        mailbox.open(offset)
        if offset < first:
            mailbox.put_gap(first)
        end = self.cluster.end(partition)
        records = [one for one in self.cluster.records.get(partition, ()) if one.offset >= offset]
        mailbox.put(records, end, end)
        return done(None)

    def leave(self, partition: int) -> "Future[None]":
        self.mailbox(partition).close()
        self._epochs.pop(partition, None)
        return done(None)

    def acquire(self, partition: int) -> "Future[Acquired]":
        self.fail("init")
        cluster = self.cluster
        cluster.epochs[partition] = self._epochs[partition] = cluster.epochs.get(partition, 0) + 1
        self.fail("acquired")
        found = cluster.committed.get(partition)
        mark = None if found is None else read_mark(*found)
        return done(Acquired(mark, cluster.first.get(partition, 0), cluster.end(partition), cluster.partitions))

    def commit(self, partition: int, records: Sequence[Outgoing], mark: Mark) -> "Future[None]":
        self.fail("begin")
        cluster = self.cluster
        if self._epochs.get(partition) != cluster.epochs.get(partition):
            return failed(Fenced("somebody else has it"))
        cluster.transactions += 1
        cluster.committed[partition] = (mark.offset, mark.metadata())
        cluster.sent += [(partition, one) for one in records]
        for one in records:
            if one.topic == self._state_topic and one.key is not None:
                kept = cluster.states.setdefault(partition, {})
                if one.value is None:
                    kept.pop(one.key.decode(), None)
                else:
                    kept[one.key.decode()] = one.value
        self.fail("commit")
        if self.lost:
            self.lost -= 1
            return failed(Fenced("the answer is lost"))
        return done(None)

    def states(self, partition: int) -> "Future[Mapping[str, bytes]]":
        self.fail("states")
        found: Mapping[str, bytes] = dict(self.cluster.states.get(partition, {}))
        return done(found)

    def peek(self, partition: int, offset: int) -> "Future[str | None]":
        found = (one for one in self.cluster.records.get(partition, ()) if one.offset == offset)
        return done(next((digest_of(one) for one in found), None))

    def place_of(self, key: bytes, partitions: int) -> int:
        return int(key[-1:]) % partitions if key[-1:].isdigit() else 0

    def stop(self) -> None:
        pass


def done(value: T) -> "Future[T]":
    future: Future[T] = Future()
    future.set_result(value)
    return future


def failed(error: Exception) -> "Future[None]":
    future: Future[None] = Future()
    future.set_exception(error)
    return future
