"""Delivery: order, marks, and patience with a sink that fails."""

import errno
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from daemon.ports.outbox import OutboxRow
from daemon.sinks.delivery import BATCH_ROWS, Delivery
from pipeline.errors import LedgerError, SinkError
from tests.daemon.sinks.memory_outbox import MemoryOutbox, row
from tests.daemon.sinks.memory_sink import HoldingSink, MemorySink


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.outbox = MemoryOutbox()
        self.sink = MemorySink()
        self.delivery = Delivery(self.outbox, self.sink, lambda: self.now)

    @property
    def mark(self) -> int:
        return self.outbox.marks.get(self.sink.name, 0)


@pytest.fixture
def world() -> World:
    return World()


def test_rows_are_carried_in_order_and_marked_once_they_are_durable(world: World) -> None:
    world.outbox.add(*(row(number) for number in range(1, BATCH_ROWS + 3)))
    assert world.delivery.step()
    assert world.mark == BATCH_ROWS
    assert world.delivery.step()
    assert not world.delivery.step()
    assert world.sink.taken == list(range(1, BATCH_ROWS + 3))
    assert world.mark == world.delivery.records == BATCH_ROWS + 2


def test_what_the_sink_finds_written_is_marked_and_not_written_again(world: World) -> None:
    world.outbox.add(row(1), row(2), row(3))
    world.sink.adopts = 2
    world.delivery.step()
    assert world.sink.taken == [3]
    assert world.mark == 3


def test_a_failing_sink_is_tried_after_growing_delays(world: World) -> None:
    world.outbox.add(row(1))
    world.sink.faults = ["full"] * 8
    waits = []
    for _ in range(8):
        assert not world.delivery.step()
        assert world.delivery.failing
        due = world.delivery.retry_at
        assert due is not None
        waits.append(due - world.now)
        world.now = due - 0.01
        left = len(world.sink.faults)
        assert not world.delivery.step()
        assert len(world.sink.faults) == left  # too early
        world.now = due
    assert waits == [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 30.0, 30.0]
    assert world.mark == 0
    assert world.delivery.step()
    assert not world.delivery.failing
    assert world.sink.taken == [1]
    world.outbox.add(row(2))
    world.sink.faults = ["again"]
    world.delivery.step()
    assert world.delivery.retry_at == world.now + 0.5  # patience begins anew


def test_each_reason_is_logged_once_and_so_is_recovery(world: World, logs: list[Any]) -> None:
    world.outbox.add(row(1))
    world.sink.faults = ["full", "full", "read only", "full"]
    for _ in range(6):
        world.delivery.step()
        world.now += 100
    assert [(entry["event"], entry.get("error")) for entry in logs] == [
        ("sink.failed", "full"), ("sink.failed", "read only"), ("sink.failed", "full"), ("sink.recovered", None),
    ]  # fmt: skip


def test_rows_whose_mark_could_not_be_kept_are_not_written_again(world: World) -> None:
    world.outbox.add(row(1), row(2))
    world.outbox.mark_fails = True
    with pytest.raises(LedgerError):
        world.delivery.step()
    world.outbox.add(row(3))
    assert world.delivery.step()
    assert world.sink.taken == [1, 2, 3]
    assert world.mark == 3


def test_nothing_more_is_written_while_marks_cannot_be_kept(world: World) -> None:
    """What lies between mark and sink is what a crash leaves to find: never more than one batch."""
    world.outbox.add(row(1))
    world.outbox.mark_fails = True
    with pytest.raises(LedgerError):
        world.delivery.step()
    world.outbox.add(row(2))
    world.outbox.mark_fails = True
    with pytest.raises(LedgerError):
        world.delivery.step()
    assert world.sink.taken == [1]


def test_a_sink_that_cannot_recover_yet_is_asked_again(world: World) -> None:
    world.outbox.add(row(1))
    recover, faults = world.sink.recover, ["not mounted"]

    def fail_once(delivered: int, pending: Callable[[int], Sequence[OutboxRow]]) -> int:
        if faults:
            raise SinkError(faults.pop())
        return recover(delivered, pending)

    world.sink.recover = fail_once  # type: ignore[method-assign]
    assert not world.delivery.step()
    assert world.delivery.fault == "not mounted"
    world.now += 1
    assert world.delivery.step()
    assert world.sink.taken == [1]


def test_a_failing_sink_holds_no_other_up(world: World) -> None:
    other = MemorySink("other")
    second = Delivery(world.outbox, other, lambda: world.now)
    world.outbox.add(row(1), row(2))
    world.sink.faults = ["full"] * 100
    for _ in range(3):
        world.delivery.step()
        second.step()
        world.now += 60
    assert other.taken == [1, 2]
    assert world.outbox.marks == {"memory": 0, "other": 2}


def test_a_sink_without_descriptors_says_so_until_it_has_one(world: World) -> None:
    world.outbox.add(row(1))

    def no_descriptor(rows: Sequence[OutboxRow]) -> int:
        raise SinkError("too many open files") from OSError(errno.EMFILE, "Too many open files")

    write = world.sink.write
    world.sink.write = no_descriptor  # type: ignore[method-assign]
    world.delivery.step()
    assert world.delivery.starved
    world.sink.write = write  # type: ignore[method-assign]
    world.now += 1
    world.delivery.step()
    assert not world.delivery.starved


def test_rows_that_the_sink_holds_wait_in_the_outbox_and_are_offered_once(world: World) -> None:
    sink = HoldingSink()
    delivery = Delivery(world.outbox, sink, lambda: world.now)
    world.outbox.add(row(1), row(2))
    assert delivery.step() and delivery.held == 2
    assert not delivery.step()  # nothing new, and nothing nearer to being durable
    assert world.outbox.marks["holding"] == 0
    world.outbox.add(row(3, kind="scan"), row(4))
    assert delivery.step()
    assert (world.outbox.marks["holding"], delivery.held, delivery.records) == (3, 1, 3)
    assert sink.taken == [1, 2, 3]


def test_a_sink_that_fails_with_rows_in_hand_is_offered_them_again(world: World) -> None:
    sink = HoldingSink()
    delivery = Delivery(world.outbox, sink, lambda: world.now)
    world.outbox.add(row(1), row(2))
    delivery.step()
    world.outbox.add(row(3, kind="scan"))
    sink.faults = ["connection lost"]
    assert not delivery.step() and delivery.held == 0
    world.now += 1
    assert delivery.step()
    assert sink.taken == [1, 2, 3]


def test_what_is_held_becomes_durable_without_further_rows(world: World) -> None:
    """As with a broker that confirms later."""

    class Slow(MemorySink):
        def write(self, rows: Sequence[OutboxRow]) -> int:
            confirmed = len(self.place)
            self.place += rows
            return confirmed

    delivery = Delivery(world.outbox, Slow("slow"), lambda: world.now)
    world.outbox.add(row(1))
    assert delivery.step() and world.outbox.marks["slow"] == 0
    assert delivery.step() and world.outbox.marks["slow"] == 1
    assert not delivery.step()


@pytest.mark.parametrize("claim", [3, -1])
def test_a_sink_that_claims_what_cannot_be_is_not_believed(world: World, claim: int) -> None:
    world.outbox.add(row(1), row(2), row(3))
    world.outbox.rows.pop()
    world.sink.write = lambda rows: claim  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=f"calls {claim} durable"):
        world.delivery.step()
    assert world.mark == 0


def test_a_destination_that_has_not_said_how_far_it_is_gets_nothing_and_is_asked_again(world: World) -> None:
    class Slow(MemorySink):
        answers = 0

        def recover(self, delivered: int, pending: Any) -> int | None:  # type: ignore[override]
            self.answers += 1
            return None if self.answers < 3 else super().recover(delivered, pending)

    sink = Slow()
    delivery = Delivery(world.outbox, sink, lambda: world.now)
    world.outbox.add(row(1))
    assert not delivery.step()
    assert not delivery.step()
    assert (delivery.recovering, delivery.failing, sink.taken) == (True, False, [])
    assert delivery.step()
    assert (delivery.recovering, sink.taken) == (False, [1])


def test_a_sink_is_given_no_more_than_it_may_hold(world: World) -> None:
    sink = HoldingSink()  # until a scan ends, which none does
    sink.max_held = BATCH_ROWS + 1
    delivery = Delivery(world.outbox, sink, lambda: world.now)
    world.outbox.add(*(row(number) for number in range(1, 5 * BATCH_ROWS)))
    while delivery.step():
        pass
    assert delivery.held == 2 * BATCH_ROWS  # whole pages


def test_a_sink_that_takes_rows_after_a_fault_is_well_when_they_are_durable_and_not_before(world: World) -> None:
    sink = HoldingSink()
    delivery = Delivery(world.outbox, sink, lambda: world.now)
    world.outbox.add(row(1))
    sink.faults = ["the brokers are away"]
    delivery.step()
    assert delivery.failing
    world.now += 1
    delivery.step()
    assert (delivery.held, delivery.failing) == (1, True)
    world.outbox.add(row(2, kind="scan"))
    delivery.step()
    assert (delivery.held, delivery.failing) == (0, False)
