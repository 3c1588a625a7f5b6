"""What every outbox promises: the ledger's own, and the one in memory that tests of deliveries use."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.ports.outbox import Outbox
from pipeline.errors import LedgerError
from tests.daemon.ledger.reports import admit, open_ledger, report, work_off
from tests.daemon.sinks.memory_outbox import MemoryOutbox, row

ROWS = 5  # findings and a record


class Filled(ABC):
    """An outbox, and how rows get into it."""

    outbox: Outbox

    @abstractmethod
    def fill(self) -> None:
        """Add `ROWS` rows."""

    @abstractmethod
    def marks(self) -> dict[str, int]: ...


class InMemory(Filled):
    def __init__(self) -> None:
        self.outbox: MemoryOutbox = MemoryOutbox()

    def fill(self) -> None:
        end = len(self.outbox.rows)
        self.outbox.add(*(row(end + at, kind="scan" if at == ROWS else "finding") for at in range(1, ROWS + 1)))

    def marks(self) -> dict[str, int]:
        return self.outbox.marks


class OfALedger(Filled):
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.outbox = ledger.outbox

    def fill(self) -> None:
        known = self._ledger.status()["scans_done"]
        admit(self._ledger, report(*map(str, range(ROWS - 1)), digest=str(known)))
        work_off(self._ledger)

    def marks(self) -> dict[str, int]:
        return self._ledger.outbox.sinks()


@pytest.fixture(params=["memory", "ledger"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Filled]:
    if request.param == "memory":
        yield InMemory()
    else:
        with open_ledger(tmp_path) as ledger:
            yield OfALedger(ledger)


def positions(outbox: Outbox, sink: str, limit: int = 99, after: int | None = None) -> list[int]:
    return [one.position for one in outbox.pending(sink, limit, after)]


def test_rows_come_in_order_without_gaps_and_no_more_than_asked_for(filled: Filled) -> None:
    filled.outbox.register("one")
    filled.fill()
    assert positions(filled.outbox, "one") == [1, 2, 3, 4, 5]
    assert positions(filled.outbox, "one", limit=2) == [1, 2]
    assert [one.kind for one in filled.outbox.pending("one", 99)] == ["finding"] * 4 + ["scan"]
    filled.fill()
    assert positions(filled.outbox, "one", after=4) == [5, 6, 7, 8, 9, 10]


def test_a_sink_goes_on_after_its_mark_or_after_what_it_has_in_flight(filled: Filled) -> None:
    filled.outbox.register("one")
    filled.fill()
    filled.outbox.delivered("one", 2)
    assert positions(filled.outbox, "one") == [3, 4, 5]
    assert positions(filled.outbox, "one", after=4) == [5]
    assert positions(filled.outbox, "one", after=1) == [3, 4, 5]
    assert positions(filled.outbox, "one", after=5) == []


def test_each_sink_has_a_mark_of_its_own_and_keeps_it_when_it_comes_back(filled: Filled) -> None:
    assert filled.outbox.register("one") == filled.outbox.register("two") == 0
    filled.fill()
    filled.outbox.delivered("one", 4)
    assert filled.marks() == {"one": 4, "two": 0}
    assert positions(filled.outbox, "two") == [1, 2, 3, 4, 5]
    assert filled.outbox.register("one") == 4


def test_a_mark_never_goes_back_nor_past_the_end(filled: Filled) -> None:
    filled.outbox.register("one")
    filled.fill()
    filled.outbox.delivered("one", 3)
    filled.outbox.delivered("one", 1)
    assert filled.marks() == {"one": 3}
    with pytest.raises(LedgerError, match="ends at 5"):
        filled.outbox.delivered("one", 6)


def test_a_sink_that_nobody_made_known_is_refused(filled: Filled) -> None:
    filled.fill()
    with pytest.raises(LedgerError, match="not registered"):
        filled.outbox.pending("nobody", 9)
    with pytest.raises(LedgerError, match="not registered"):
        filled.outbox.delivered("nobody", 1)
