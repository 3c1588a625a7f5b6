"""Taking records: alerts and rows follow, faults are counted, and silence is told once."""

from typing import Any

from daemon.fleet.fleet import Fleet
from daemon.fleet.keeper import Keeper
from daemon.fleet.records import read_row
from daemon.fleet.resume import OVERLAP_RECORDS, Resume, begin_at
from daemon.fleet.scan import Place
from tests.daemon.fleet.made import DAY, HOUR, NOON, SPANS, record


class Clock:
    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> float:
        return self.at / 1000


def keeper() -> tuple[Keeper, Clock]:
    clock = Clock()
    return Keeper(Fleet(SPANS), 24 * HOUR, clock), clock


def test_a_scan_gives_its_alerts_and_its_row_and_a_double_gives_nothing() -> None:
    one, _ = keeper()
    taken = one.take(b"web-01", record(), Place(0, 5, NOON))
    assert [alert.kind for alert in taken.alerts] == ["new_critical"]
    assert taken.key == b"web-01" and taken.row is not None
    assert read_row(taken.row) == one.fleet.rows["web-01"]
    assert one.take(b"web-01", record(), Place(0, 6, NOON)) == type(taken)()
    assert (one.read, one.unchanged) == (2, 1)


def test_of_what_is_old_no_alert_is_sent() -> None:
    one, clock = keeper()
    clock.at = NOON + 2 * DAY
    taken = one.take(b"web-01", record(), Place(0, 5, NOON))
    assert taken.alerts == () and taken.row is not None


def test_a_fault_of_ours_is_counted_and_the_next_record_is_taken(monkeypatch: Any) -> None:
    one, _ = keeper()

    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    with monkeypatch.context() as patch:
        patch.setattr(one.fleet, "apply", fail)
        assert one.take(b"web-01", record(), Place(0, 5, NOON)).row is None
    assert one.refused["failed"] == 1
    assert one.take(b"web-01", record(), Place(0, 6, NOON)).row is not None


def test_a_host_that_goes_silent_is_told_of_once_and_again_when_it_came_back() -> None:
    one, clock = keeper()
    one.take(b"web-01", record(), Place(0, 5, NOON))
    assert one.silence() == ()
    clock.at = NOON + 27 * HOUR
    (first,) = one.silence()
    assert one.silence() == ()
    one.take(b"web-01", record(scan_id="s2", at="2026-11-03T15:00:00Z"), Place(0, 6, clock.at))
    assert one.silence() == ()
    clock.at += 27 * HOUR
    (second,) = one.silence()
    assert first.id != second.id


def test_a_silence_that_began_long_ago_is_no_news() -> None:
    one, clock = keeper()
    one.take(b"web-01", record(), Place(0, 5, NOON))
    clock.at = NOON + 60 * HOUR
    assert one.silence() == ()


def test_it_begins_where_the_tables_may_not_know_everything() -> None:
    known = Resume(NOON, 5000)
    assert begin_at(None, 7, 9000, 9000) == 7, "nothing is known"
    assert begin_at(known, 7, 9000, 4800) == 5000 - OVERLAP_RECORDS
    assert begin_at(known, 7, 9000, 100) == 100, "so much was written in the hour before"
    assert begin_at(known, 4900, 9000, 100) == 4900, "the rest is no longer kept"
    assert begin_at(known, 0, 5000, 5000) == 0, "the topic is another one"
    assert begin_at(known, 0, 5001, 5001) == 5000 - OVERLAP_RECORDS
