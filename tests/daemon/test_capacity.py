"""Memory for scans in hand: shared by the workers of a process, and given in order."""

from dataclasses import replace
from pathlib import Path

from daemon.capacity import Capacity, Ticket
from daemon.checkpoints import Checkpoints
from daemon.ledger import Ledger
from daemon.ports.work import ClosedScan
from daemon.worker import Worker
from tests.daemon.ledger.reports import SINK, admit
from tests.pipeline.sessions import report, resources


def closed(tmp_path: Path, size: int = 0) -> ClosedScan:
    """Give a real scan that takes so many bytes, whatever it has."""
    with Ledger.open(tmp_path / "ledger", clock=lambda: 0.0) as ledger:
        admit(ledger, report("web01-ioc.json"), path="/w/web01-ioc.json")
        scan = ledger.work.next_scan()
    assert scan is not None
    return replace(scan, bytes=size, findings=0)


def granted(*tickets: Ticket) -> list[bool]:
    return [one.granted.done() for one in tickets]


def test_as_many_scans_are_in_hand_as_there_is_room_for(tmp_path: Path) -> None:
    capacity, scan = Capacity(100), closed(tmp_path, 40)
    first, second, third = (capacity.ask(scan) for _ in range(3))
    assert granted(first, second, third) == [True, True, False]
    capacity.give_back(first)
    assert granted(third) == [True]


def test_a_scan_that_is_larger_than_the_room_is_worked_on_alone(tmp_path: Path) -> None:
    capacity, scan = Capacity(100), closed(tmp_path, 40)
    small = capacity.ask(scan)
    large = capacity.ask(replace(scan, bytes=1000))
    assert granted(small, large) == [True, False]
    capacity.give_back(small)
    later = capacity.ask(scan)
    assert granted(large, later) == [True, False]
    capacity.give_back(large)
    assert granted(later) == [True]


def test_small_scans_do_not_pass_a_large_one_that_waits(tmp_path: Path) -> None:
    capacity, scan = Capacity(100), closed(tmp_path, 40)
    holder = capacity.ask(scan)
    large = capacity.ask(replace(scan, bytes=90))
    small = capacity.ask(scan)
    assert granted(holder, large, small) == [True, False, False]
    capacity.give_back(large)  # it was set aside, or its partition is another's by now
    assert granted(small) == [True]


def test_every_finding_takes_room_beside_its_text(tmp_path: Path) -> None:
    capacity, scan = Capacity(1 << 20), closed(tmp_path)
    many = replace(scan, findings=200)
    assert granted(capacity.ask(many), capacity.ask(many)) == [True, False]


class Shop:
    """A ledger with a scan, and a worker on it."""

    def __init__(self, directory: Path, capacity: Capacity) -> None:
        self.ledger = Ledger.open(directory, clock=lambda: 1_800_000_000.0)
        self.ledger.outbox.register(SINK)
        admit(self.ledger, report("web01-ioc.json"), path="/w/web01-ioc.json")
        self.checkpoints = Checkpoints(directory / "checkpoints.db")
        self.worker = Worker(self.ledger.work, resources(), self.checkpoints, 16, clock=lambda: 0.0, capacity=capacity)

    def close(self) -> None:
        self.checkpoints.close()
        self.ledger.close()


def test_a_worker_waits_until_another_has_ended_its_scan(tmp_path: Path) -> None:
    capacity = Capacity(1)
    one, other = Shop(tmp_path / "one", capacity), Shop(tmp_path / "other", capacity)
    assert one.worker.step()
    for _ in range(3):
        assert other.worker.step()  # there is something to do, but not now
    assert other.worker.awaited.waiting
    assert not one.worker.awaited.waiting
    while one.worker.step():
        pass
    assert (one.worker.finished, other.worker.finished) == (1, 0)
    while other.worker.step():
        assert not other.worker.awaited.waiting
    assert other.worker.finished == 1
    one.close()
    other.close()


def test_a_worker_that_is_closed_keeps_no_room(tmp_path: Path) -> None:
    capacity = Capacity(1)
    one, other = Shop(tmp_path / "one", capacity), Shop(tmp_path / "other", capacity)
    assert one.worker.step()
    assert other.worker.step()
    assert other.worker.awaited.waiting
    one.worker.close()  # in the middle of its scan: the partition is another process's by now
    assert not other.worker.awaited.waiting
    while other.worker.step():
        pass
    assert other.worker.finished == 1
    one.close()
    other.close()


def test_a_scan_that_is_set_aside_keeps_no_room(tmp_path: Path) -> None:
    capacity = Capacity(1)
    one, other = Shop(tmp_path / "one", capacity), Shop(tmp_path / "other", capacity)
    with one.ledger.database.write() as connection:
        connection.execute("UPDATE inbox SET finding = x'00'")
    assert one.worker.step()
    assert one.ledger.aside.count() == 1
    assert other.worker.step()
    assert not other.worker.awaited.waiting
    one.close()
    other.close()
