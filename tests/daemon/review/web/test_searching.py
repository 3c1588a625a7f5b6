"""A search for a text: what it finds, and that nobody waits for it but who asked."""

import asyncio
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import orjson
import pytest

from daemon.ledger import Ledger
from daemon.ledger.retained import Filter
from daemon.ledger.searching import held_in, holding
from daemon.review.web import desk
from pipeline.harmless import as_json
from tests.daemon.ledger.reports import SINK, open_ledger
from tests.daemon.ledger.test_faults import reviewable
from tests.daemon.ledger.test_reviewing import scan_with
from tests.daemon.review.web.served import Client, Served, copied

OLD = Path(__file__).parents[3] / "data" / "ledgers" / "schema-8.db"

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
    spelt = as_json(text)[1:-1]
    return {
        one.situation
        for one in rows
        if one.row in there and (spelt in lines[one.row] or any(text in key for key in one.keys))
    }


WORDS = {
    "taken": "SELECT 1",
    "not taken": "UPDATE retained_words SET words = NULL",
    "taken of some": "UPDATE retained_words SET words = NULL WHERE row % 3 = 0",
}


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("which", ["scanned", "hostile"])
def test_it_finds_a_text_exactly_as_it_is_written(
    which: str, words: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    state = copied(request.getfixturevalue(which), tmp_path / "copy")
    with closing(sqlite3.connect(state / "ledger.db")) as connection, connection:
        assert connection.execute("SELECT count(*) FROM retained_words WHERE words IS NULL").fetchone() == (0,)
        connection.execute(WORDS[words])
    with Ledger.open(state, clock=lambda: 0.0, read_only=True, exclusive=False) as ledger:
        texts = (*TEXTS, *pieces(ledger))
        found = {text: held_in(state, text, Filter()) for text in texts}
        assert found == {text: naive(ledger, text, Filter()) for text in texts}
    assert found["no such text"] == set() and sum(len(some) > 0 for some in found.values()) > 5


def pieces(ledger: Ledger) -> list[str]:
    """Cut texts out of lines, wherever words and strings begin and end; and some of them put together to what no line
    has."""
    chance = Random(1)
    lines = [line.decode() for _, line in sorted(ledger.reviews.lines(list(range(1, 40))).items())]
    cut = []
    for _ in range(40):
        line = chance.choice(lines)
        start = chance.randrange(len(line))
        with suppress(ValueError):  # a piece may begin or end amid what JSON escapes
            cut.append(str(orjson.loads('"' + line[start : start + chance.choice((2, 5, 20, 60))] + '"')))
        cut.append(line[start : start + chance.choice((4, 30))])
    return [*cut, *(f"{one} {other}" for one, other in zip(cut, cut[7:], strict=False))]


def test_what_is_found_follows_what_is_kept(tmp_path: Path) -> None:
    """A later scan has other words, what is no longer kept is not found, and nothing is left of its words."""
    with open_ledger(tmp_path) as ledger:
        ledger.outbox.register(SINK)
        first = replace(reviewable(1), line=b'{"path":"/usr/bin/old","note":"common words"}')
        like = replace(reviewable(2), situation=first.situation, line=b"/usr/bin/other, common words")
        scan_with(ledger, 1, first, like)
        for _ in range(2):  # before their words are taken, and after
            assert held_in(tmp_path, "bin/old", Filter()) == {first.situation}
            assert held_in(tmp_path, "bin/other", Filter()) == {first.situation}
            assert held_in(tmp_path, "common words", Filter()) == {first.situation}
            while ledger.idle():
                pass
        scan_with(ledger, 2, replace(first, line=b'{"path":"/usr/bin/new","note":"common words"}'))
        for _ in range(2):
            assert held_in(tmp_path, "bin/old", Filter()) == set()
            assert held_in(tmp_path, "bin/new", Filter()) == {first.situation}
            while ledger.idle():
                pass
        assert ledger.fsck() == []
        ledger.reviews.keep(90, 0)
        while ledger.idle():
            pass
        for table in ("retained", "retained_words", "situation_words"):
            assert ledger.database.connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


def test_what_words_take_counts_as_kept(tmp_path: Path) -> None:
    def kept(ledger: Ledger) -> int:
        total: int = ledger.database.connection.execute("SELECT sum(bytes) FROM retained").fetchone()[0]
        return total

    with open_ledger(tmp_path) as ledger:
        ledger.outbox.register(SINK)
        scan_with(ledger, 1, *(replace(reviewable(one), line=b'{"path":"/a/%d"}' % one) for one in range(9)))
        lines = kept(ledger)
        while ledger.idle():
            pass
        words = "(SELECT sum(length(words)) FROM retained_words) + (SELECT sum(length(words)) FROM situation_words)"
        assert kept(ledger) - lines == ledger.database.connection.execute(f"SELECT {words}").fetchone()[0] > 0


def test_a_ledger_of_schema_8_is_searched_at_once_and_gets_its_words_when_idle(tmp_path: Path) -> None:
    shutil.copy(OLD, tmp_path / "ledger.db")
    with open_ledger(tmp_path) as ledger:
        kept = ledger.reviews.findings(Filter())
        texts = ("/proc/", "web01", "db02", kept[0].fingerprint[:9], "no such text", *pieces(ledger))
        expected = {text: naive(ledger, text, Filter()) for text in texts}
        assert expected["web01"] and expected["db02"] and not expected["no such text"]
        for _ in range(2):
            assert {text: held_in(tmp_path, text, Filter()) for text in texts} == expected
            assert ledger.fsck() == []
            while ledger.idle():
                pass
        counted = ledger.database.connection.execute("SELECT count(*), count(words) FROM retained_words").fetchone()
        assert counted == (len(kept), len(kept)) and len(kept) > 20
    with open_ledger(tmp_path / "new") as new, open_ledger(tmp_path) as old:
        schemas = [
            one.database.connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE name GLOB '*word*' ORDER BY name"
            ).fetchall()
            for one in (new, old)
        ]
    assert schemas[0] == schemas[1] and len(schemas[0]) == 3


def test_no_words_are_taken_on_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To deliver what waits comes before; the findings are found all the same."""
    with open_ledger(tmp_path) as ledger:
        ledger.outbox.register(SINK)
        scan_with(ledger, 1, replace(reviewable(1), line=b'{"path":"/usr/bin/old"}'))
        full = os.statvfs_result((4096, 4096, 1 << 20, 0, 0, 1 << 20, 1 << 20, 1 << 20, 0, 255))
        with monkeypatch.context() as patched:
            patched.setattr(os, "statvfs", lambda path: full)
            ledger.idle()
            assert ledger.database.connection.execute("SELECT count(words) FROM retained_words").fetchone() == (0,)
            assert held_in(tmp_path, "bin/old", Filter()) == {reviewable(1).situation}
        while ledger.idle():
            pass
        assert ledger.database.connection.execute("SELECT count(words) FROM retained_words").fetchone() == (1,)


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
