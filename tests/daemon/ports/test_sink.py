"""What every sink promises, whether it writes at once or holds rows back.

A new sink is one entry in `KINDS`.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.ports.outbox import OutboxRow
from daemon.ports.sink import Sink
from daemon.sinks.delivery import Delivery
from daemon.sinks.http.settings import HttpSettings
from daemon.sinks.http.sink import open_http
from daemon.sinks.ndjson_file import NdjsonFile
from daemon.sinks.opensearch.settings import OpenSearchSettings
from daemon.sinks.opensearch.sink import open_opensearch
from daemon.sinks.syslog.settings import SyslogSettings
from daemon.sinks.syslog.sink import open_syslog
from tests.daemon.sinks.memory_outbox import MemoryOutbox, row
from tests.daemon.sinks.memory_sink import HoldingSink, MemorySink
from tests.daemon.sinks.receiving import Receiving
from tests.daemon.sinks.taking_server import TakingServer
from tests.daemon.sinks.waited import Waited

SCAN = 4  # rows of a scan, its record with them


@dataclass
class Place:
    """Attributes:
    make: a new sink on the same destination, as a new process makes it.
    lines: those that the destination holds durably; of those that it was given twice, one.
    can_be_asked: the destination can say what it has.
    """

    make: Callable[[], Sink]
    lines: Callable[[], list[bytes]]
    can_be_asked: bool = True


@contextlib.contextmanager
def _ndjson_file(directory: Path) -> Iterator[Place]:
    path = directory / "out.ndjson"
    yield Place(
        lambda: NdjsonFile(path, rotate_bytes=1 << 20, keep_segments=2),
        lambda: path.read_bytes().splitlines() if path.exists() else [],
    )


@contextlib.contextmanager
def _memory(directory: Path) -> Iterator[Place]:
    place: list[OutboxRow] = []
    yield Place(lambda: MemorySink(place=place), lambda: [one.line for one in place])


@contextlib.contextmanager
def _holding(directory: Path) -> Iterator[Place]:
    place: list[OutboxRow] = []
    yield Place(lambda: HoldingSink(place=place), lambda: [one.line for one in place])


@contextlib.contextmanager
def _http(directory: Path) -> Iterator[Place]:
    with TakingServer() as server:
        settings = HttpSettings(name="one", url=server.url)
        yield Place(lambda: Waited(open_http(settings)), lambda: list(server.kept.values()), can_be_asked=False)


@contextlib.contextmanager
def _opensearch(directory: Path) -> Iterator[Place]:
    with TakingServer(bulk=True) as server:
        settings = OpenSearchSettings(name="one", url=server.url)
        yield Place(lambda: Waited(open_opensearch(settings)), lambda: list(server.kept.values()), can_be_asked=False)


@contextlib.contextmanager
def _syslog(directory: Path) -> Iterator[Place]:
    with Receiving() as receiver:
        settings = SyslogSettings(name="one", address=f"tcp://127.0.0.1:{receiver.port}")
        yield Place(lambda: Waited(open_syslog(settings)), receiver.lines, can_be_asked=False)


KINDS = {
    "file": _ndjson_file,
    "memory": _memory,
    "holding": _holding,
    "http": _http,
    "opensearch": _opensearch,
    "syslog": _syslog,
}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with KINDS[request.param](tmp_path) as one:
        yield one


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


def test_what_is_durable_though_the_mark_was_not_moved_is_found_or_counts_once_by_its_key(place: Place) -> None:
    rows = scans(2)
    sink = place.make()
    sink.recover(0, pages(rows))
    durable = sink.write(rows[:5])
    again = place.make()  # the process was killed before it could mark anything
    found = again.recover(0, pages(rows))
    assert found == (durable if place.can_be_asked else 0)
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
