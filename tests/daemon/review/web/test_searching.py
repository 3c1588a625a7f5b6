"""A search for a text: what it finds, and that nobody waits for it but who asked."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from daemon.ledger import Ledger
from daemon.ledger.reviews import Filter
from daemon.ledger.searching import holding
from daemon.review.web import desk
from tests.daemon.review.web.served import Client, Served

TEXTS = (
    "/tmp/.cache-helper", "/TMP/.cache-helper", "updater", "web01", "no such text", "", "*", "?", "[", "]", "a*b",
    "[a-z]", "<script>document.title='owned'</script>", '"\'>', "\\", "\x1b]0;owned\x07", "\u202eexe", "{{7*7}}",
    "%", "_", '"', '","', "x" * 3000, "é",
)  # fmt: skip


@pytest.fixture
def ledger(scanned: Path) -> Iterator[Ledger]:
    with Ledger.open(scanned / "state", clock=lambda: 0.0, read_only=True, exclusive=False) as one:
        yield one


def naive(ledger: Ledger, text: str, wanted: Filter) -> set[str]:
    """Look at each line by itself."""
    rows = ledger.reviews.findings(Filter())
    there = {one.row for one in ledger.reviews.findings(wanted)}
    lines = ledger.reviews.lines([one.row for one in rows])
    spelt = orjson.dumps(text)[1:-1]
    return {
        one.situation
        for one in rows
        if one.row in there and (spelt in lines[one.row] or any(text in key for key in one.keys))
    }


@pytest.mark.parametrize("which", ["scanned", "hostile"])
def test_it_finds_a_text_exactly_as_it_is_written(which: str, request: pytest.FixtureRequest) -> None:
    state = request.getfixturevalue(which) / "state"
    with Ledger.open(state, clock=lambda: 0.0, read_only=True, exclusive=False) as ledger:
        found = {text: asyncio.run(holding(state, text, Filter())) for text in TEXTS}
        assert found == {text: naive(ledger, text, Filter()) for text in TEXTS}
    assert found["no such text"] == set() and sum(len(some) > 0 for some in found.values()) > 5


def test_a_finding_has_to_fit_the_filter_and_hold_the_text(scanned: Path, ledger: Ledger) -> None:
    for wanted in (Filter(host="db02"), Filter(level="high"), Filter(class_="ioc.*", statuses=("open",))):
        some = asyncio.run(holding(scanned / "state", "web01", wanted))
        assert some == naive(ledger, "web01", wanted)
    assert asyncio.run(holding(scanned / "state", "web01", Filter(host="web01")))
    one = ledger.reviews.findings(Filter())[-1]
    assert one.situation in asyncio.run(holding(scanned / "state", one.keys[0], Filter()))


def test_the_loop_goes_round_while_it_looks(scanned: Path) -> None:
    async def rounds() -> int:
        looking = asyncio.create_task(holding(scanned / "state", "no such text", Filter()))
        count = 0
        while not looking.done():
            await asyncio.sleep(0)
            count += 1
        return count

    assert asyncio.run(rounds()) > 2  # it would be one if it kept the thread


def test_others_are_answered_while_somebody_waits_for_a_search(
    page: Served, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def held_up(state: Path, text: str, wanted: Filter) -> frozenset[str]:
        begun.set()
        await asyncio.to_thread(go_on.wait)
        return await holding(state, text, wanted)

    monkeypatch.setattr(desk, "holding", held_up)
    answers: list[int] = []
    ben = Client(page.where).enter()
    waiting = threading.Thread(target=lambda: answers.append(ben.get("/?q=updater").status))
    waiting.start()
    try:
        assert begun.wait(60)
        form = alice.get(alice.get("/").links("/finding/")[0]).deciding
        assert alice.send(form, kind="approve", scope="host", reason="looked at").status == 200
        assert len(page.verdicts()) == 1 and answers == []
    finally:
        go_on.set()
        waiting.join(60)
    assert answers == [200]


def test_what_was_found_is_not_looked_for_again_after_a_verdict(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    searches = []

    async def counted(state: Path, text: str, wanted: Filter) -> frozenset[str]:
        searches.append(text)
        return await holding(state, text, wanted)

    monkeypatch.setattr(desk, "holding", counted)
    listed = alice.get("/?q=/usr/sbin")
    after = alice.send(alice.get(listed.links("/finding/")[0]).deciding, kind="approve", scope="host", reason="fine")
    assert after.status == 200 and len(alice.get("/?q=/usr/sbin").listed) == len(listed.listed) - 1
    assert searches == ["/usr/sbin"]
