"""What every sink promises, whether it writes at once or holds rows back.

A new sink is one entry in `KINDS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.ports.outbox import OutboxRow
from daemon.ports.sink import Sink
from daemon.sinks.delivery import Delivery
from daemon.sinks.ndjson_file import NdjsonFile
from tests.daemon.sinks.memory_outbox import MemoryOutbox, row
from tests.daemon.sinks.memory_sink import HoldingSink, MemorySink

SCAN = 4  # rows of a scan, its record with them


@dataclass
class Place:
    """Attributes:
    make: a new sink on the same destination, as a new process makes it.
    lines: those that the destination holds durably.
    """

    make: Callable[[], Sink]
    lines: Callable[[], list[bytes]]


def _ndjson_file(directory: Path) -> Place:
    path = directory / "out.ndjson"
    return Place(
        lambda: NdjsonFile(path, rotate_bytes=1 << 20, keep_segments=2),
        lambda: path.read_bytes().splitlines() if path.exists() else [],
    )


def _memory(directory: Path) -> Place:
    place: list[OutboxRow] = []
    return Place(lambda: MemorySink(place=place), lambda: [one.line for one in place])


def _holding(directory: Path) -> Place:
    place: list[OutboxRow] = []
    return Place(lambda: HoldingSink(place=place), lambda: [one.line for one in place])


KINDS = {"file": _ndjson_file, "memory": _memory, "holding": _holding}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return KINDS[request.param](tmp_path)


def scans(number: int) -> list[OutboxRow]:
    return [row(at, kind="scan" if at % SCAN == 0 else "finding") for at in range(1, SCAN * number + 1)]


def pages(rows: list[OutboxRow]) -> Callable[[int], list[OutboxRow]]:
    return lambda position: [one for one in rows if one.position > position][:2]


def lines(rows: list[OutboxRow]) -> list[bytes]:
    return [one.line for one in rows]


def test_a_name_says_the_kind_and_stays_the_same(place: Place) -> None:
    assert place.make().name == place.make().name


def test_everything_up_to_the_position_that_it_returns_is_there_and_nothing_comes_twice(place: Place) -> None:
    rows = scans(3)
    sink = place.make()
    durable = sink.recover(0, pages(rows))
    assert durable == 0
    for at in range(0, len(rows), 3):  # pieces that are no scans
        before, durable = durable, sink.write(rows[at : at + 3])
        assert before <= durable <= rows[at : at + 3][-1].position
        assert place.lines() == lines(rows[:durable])
    assert durable == len(rows)
    sink.close()
    assert place.lines() == lines(rows)


def test_without_rows_it_says_how_far_it_has_got(place: Place) -> None:
    rows = scans(2)
    sink = place.make()
    sink.recover(0, pages(rows))
    assert sink.write([]) == 0
    durable = sink.write(rows[:6])
    assert sink.write([]) == durable
    assert sink.write(rows[6:]) == 8 == sink.write([])


def test_a_new_one_goes_on_from_the_mark(place: Place) -> None:
    rows = scans(2)
    sink = place.make()
    sink.recover(0, pages(rows))
    mark = sink.write(rows[:5])
    sink.close()
    again = place.make()
    assert again.recover(mark, pages(rows)) == mark
    assert again.write(rows[mark:]) == 8
    assert place.lines() == lines(rows)


def test_what_is_durable_though_the_mark_was_not_moved_is_found_and_not_written_again(place: Place) -> None:
    rows = scans(2)
    sink = place.make()
    sink.recover(0, pages(rows))
    durable = sink.write(rows[:5])
    again = place.make()  # the process was killed before it could mark anything
    found = again.recover(0, pages(rows))
    assert found == durable
    again.write(rows[found:])
    assert place.lines() == lines(rows)


def test_a_delivery_carries_everything_to_it_once_and_keeps_what_it_holds_in_the_outbox(place: Place) -> None:
    outbox = MemoryOutbox()
    outbox.add(*scans(2)[:6])
    sink = place.make()
    delivery = Delivery(outbox, sink, lambda: 0.0)
    while delivery.step():
        assert outbox.marks[sink.name] + delivery.held <= 6
    assert place.lines() == lines(outbox.rows[: outbox.marks[sink.name]])
    outbox.add(*scans(2)[6:])
    while delivery.step():
        pass
    assert (outbox.marks[sink.name], delivery.held, delivery.records) == (8, 0, 8)
    assert place.lines() == lines(outbox.rows)
