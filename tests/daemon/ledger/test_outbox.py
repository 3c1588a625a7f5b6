"""The sinks' side of the ledger."""

import pytest

from daemon.ledger import Ledger
from pipeline.errors import LedgerError
from tests.daemon.ledger.reports import SINK, admit, report, work_off


def fill(ledger: Ledger, findings: int = 3) -> None:
    """Put `findings` lines and a record into the outbox."""
    known = ledger.status()["scans_done"]
    admit(ledger, report(*map(str, range(findings)), digest=str(known)))
    work_off(ledger)


def without_sinks(ledger: Ledger) -> None:
    """As before the first start of a daemon."""
    with ledger.database.write() as connection:
        connection.execute("DELETE FROM sinks")


def positions(ledger: Ledger, sink: str = SINK, after: int | None = None) -> list[int]:
    return [row.position for row in ledger.outbox.pending(sink, 99, after)]


def test_each_sink_has_its_own_mark(ledger: Ledger) -> None:
    ledger.outbox.register("other")
    fill(ledger)
    ledger.outbox.delivered(SINK, 2)
    assert positions(ledger) == [3, 4] and positions(ledger, "other") == [1, 2, 3, 4]
    assert ledger.outbox.backlog() == {SINK: 2, "other": 4}
    assert positions(ledger, after=3) == [4] and positions(ledger, after=1) == [3, 4]


def test_registering_again_keeps_the_mark(ledger: Ledger) -> None:
    fill(ledger)
    ledger.outbox.delivered(SINK, 2)
    assert ledger.outbox.register(SINK) == ledger.outbox.register(SINK, start="end") == 2


def test_a_new_sink_begins_with_what_is_retained_or_at_the_end(ledger: Ledger) -> None:
    fill(ledger)
    ledger.outbox.delivered(SINK, 2)
    ledger.outbox.prune()
    assert ledger.outbox.register("early") == 2
    assert ledger.outbox.register("late", start="end") == 4
    ledger.outbox.delivered("early", 4)
    ledger.outbox.delivered(SINK, 4)
    ledger.outbox.prune()
    assert ledger.outbox.register("later still") == 4


def test_a_sink_that_replaces_another_goes_on_where_that_one_stopped(ledger: Ledger) -> None:
    admit(ledger, report("a", "b", "c"))
    work_off(ledger)
    first, second, *rest = (row.position for row in ledger.outbox.pending(SINK, 99))
    assert rest
    ledger.outbox.delivered(SINK, first)
    assert ledger.outbox.keep_only(["moved"]) == [SINK]
    assert ledger.outbox.sinks() == {"moved": first}
    assert ledger.outbox.pending("moved", 1)[0].position == second
    assert ledger.outbox.keep_only(["moved"]) == []
    ledger.outbox.delivered("moved", second)
    assert ledger.outbox.keep_only([SINK]) == ["moved"]
    assert ledger.outbox.sinks() == {SINK: second}


def test_the_first_sink_begins_with_what_waits(ledger: Ledger) -> None:
    admit(ledger, report("a"))
    work_off(ledger)
    waiting = len(ledger.outbox.pending(SINK, 99))
    without_sinks(ledger)
    assert ledger.outbox.keep_only(["one"]) == []
    assert len(ledger.outbox.pending("one", 99)) == waiting


def test_a_mark_never_goes_back_nor_past_the_end(ledger: Ledger) -> None:
    fill(ledger)
    ledger.outbox.delivered(SINK, 3)
    ledger.outbox.delivered(SINK, 1)
    assert ledger.outbox.sinks() == {SINK: 3}
    with pytest.raises(LedgerError, match="ends at 4"):
        ledger.outbox.delivered(SINK, 5)
    with pytest.raises(LedgerError, match="not registered"):
        ledger.outbox.delivered("nobody", 1)
    with pytest.raises(LedgerError, match="not registered"):
        ledger.outbox.pending("nobody", 1)


def test_rows_go_when_every_sink_has_them(ledger: Ledger) -> None:
    ledger.outbox.register("slow")
    fill(ledger)
    ledger.outbox.delivered(SINK, 4)
    assert ledger.outbox.prune() == 0
    ledger.outbox.delivered("slow", 3)
    assert ledger.outbox.prune(limit=2) == 2
    assert ledger.outbox.prune(limit=2) == 1
    assert positions(ledger, "slow") == [4]
    assert ledger.outbox.keep_only([SINK]) == ["slow"]
    assert ledger.outbox.prune() == 1


def test_positions_go_on_after_everything_is_pruned(ledger: Ledger) -> None:
    fill(ledger)
    ledger.outbox.delivered(SINK, 4)
    ledger.outbox.prune()
    fill(ledger, 1)
    assert positions(ledger) == [5, 6]


def test_without_a_sink_nothing_is_thrown_away(ledger: Ledger) -> None:
    without_sinks(ledger)
    fill(ledger)
    assert ledger.outbox.prune() == 0
    assert ledger.outbox.register("first ever") == 0


def test_upkeep_gives_the_space_back(ledger: Ledger) -> None:
    while ledger.idle():
        pass
    empty = ledger.status()["bytes"]
    fill(ledger, 2000)
    assert ledger.status()["bytes"] > empty + 50_000
    ledger.outbox.delivered(SINK, 2001)
    while ledger.idle():
        pass
    assert ledger.status()["outbox_rows"] == 0
    assert ledger.status()["bytes"] <= empty + 16 * 4096


def test_several_sinks_are_kept_new_ones_added_and_others_released(ledger: Ledger) -> None:
    fill(ledger)
    ledger.outbox.register("gone")
    ledger.outbox.delivered("gone", 1)
    ledger.outbox.delivered(SINK, 3)
    assert ledger.outbox.keep_only([SINK, "new"]) == ["gone"]
    assert ledger.outbox.sinks() == {SINK: 3, "new": 1}
    assert ledger.outbox.keep_only(["new", SINK, "newer"]) == []
    assert ledger.outbox.prune() == 0 and ledger.outbox.sinks()["newer"] == 0  # what is still there
    ledger.outbox.delivered("newer", 2)
    ledger.outbox.delivered("new", 4)
    assert ledger.outbox.prune() == 2  # up to the lowest mark
