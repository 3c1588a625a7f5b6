"""The Kafka sink with a topic in memory: whatever transactions come to, it says of no record more than is true."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.sinks import delivery as carried
from daemon.sinks.delivery import Delivery
from daemon.sinks.kafka import carrier
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sinks.kafka.topic import KafkaTopic
from tests.daemon.sinks.memory_outbox import MemoryOutbox, row
from tests.daemon.sinks.memory_topic import PATIENCE_S, MemoryTopic, Outcome
from tests.depth import examples


class World:
    """A delivery to a topic in memory, with a clock of its own; pages and transactions are of a few rows."""

    def __init__(self) -> None:
        self.topic = MemoryTopic()
        self.outbox = MemoryOutbox()
        self.now = 0.0
        self.woken = threading.Semaphore(0)
        self.sink = KafkaTopic(KafkaSettings(brokers=("kafka:9092",)), self.topic.connect)
        self.sink.max_held = 8
        self.delivery = Delivery(self.outbox, self.sink, lambda: self.now)
        self.delivery.tell(self.woken.release)

    def add(self, rows: int) -> None:
        end = len(self.outbox.rows)
        self.outbox.add(*(row(at) for at in range(end + 1, end + rows + 1)))

    def step(self) -> bool:
        """Have the delivery do something, however early it is after a fault; what it marks is there."""
        self.now += 1000.0
        moved = self.delivery.step()
        there = self.topic.records[-1].position if self.topic.records else 0
        assert self.outbox.marks.get(self.sink.name, 0) <= there
        return moved

    def connect(self) -> None:
        while self.delivery.recovering:
            self.step()
            if self.delivery.recovering:
                self.wait()

    def wait(self) -> None:
        """Wait until the sink has got on by itself."""
        assert self.woken.acquire(timeout=PATIENCE_S), "it hangs"

    def finish(self) -> None:
        """Let everything through, and see that it is there once and in order."""
        self.topic.outcomes.clear()
        self.topic.allow(1_000_000)
        while self.outbox.marks.get(self.sink.name, 0) < len(self.outbox.rows):
            if not self.step() and self.outbox.marks.get(self.sink.name, 0) < len(self.outbox.rows):
                self.woken.acquire(timeout=0.01)
        assert [one.id for one in self.topic.records] == [one.key for one in self.outbox.rows]


@contextmanager
def world() -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carried, "BATCH_ROWS", 2)
        patch.setattr(carrier, "TRANSACTION_ROWS", 4)
        made = World()
        try:
            yield made
        finally:
            made.topic.allow(1_000_000)
            made.delivery.close()


@pytest.mark.parametrize("fault", [one for one in get_args(Outcome) if one != "committed"])
def test_what_was_committed_before_a_fault_and_not_told_of_counts_when_it_is_offered_again(fault: Outcome) -> None:
    with world() as one:
        one.connect()
        one.add(8)
        one.topic.outcomes = ["committed", fault]
        while one.delivery.held < 8:
            one.step()
        one.topic.allow(2)  # and nobody asks the sink in between
        one.topic.wait(lambda: one.topic.allowed == 0)
        while not one.delivery.failing:
            one.wait()
            one.step()
        assert one.topic.records  # how many the thread took into the first transaction is its own affair
        one.finish()


@settings(max_examples=examples(150))
@given(data=st.data())
def test_whatever_transactions_and_connections_come_to_all_is_there_once_and_nothing_is_marked_before(
    data: st.DataObject,
) -> None:
    with world() as one:
        one.topic.outcomes = data.draw(st.lists(st.sampled_from(get_args(Outcome)), max_size=12), "outcomes")
        for act in data.draw(
            st.lists(st.sampled_from(("add", "step", "step", "step", "allow", "cut", "wait")), max_size=40), "acts"
        ):
            if act == "add":
                one.add(3)
            elif act == "step":
                one.step()
            elif act == "allow":
                one.topic.allow(1)
            elif act == "cut":
                one.topic.unreachable += 1
            else:  # the thread may get on meanwhile, or not: both must do
                one.woken.acquire(timeout=0.001)
        one.finish()
