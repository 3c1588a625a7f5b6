"""The tables: the same whatever the order of the scans and however often each comes."""

import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.fleet.fleet import Fleet
from daemon.fleet.records import news_alert, read_row, silence_alert, write_alert, write_row
from daemon.fleet.row import MAX_NEWS, MAX_SCOPES, merge
from daemon.fleet.scan import Place, Scan, read_scan
from tests.daemon.fleet.made import DAY, HOUR, NOON, SPANS, issue, real, scan
from tests.depth import examples

LEVELS = ("info", "low", "medium", "high", "critical")


def iso(at: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at / 1000, UTC).isoformat()


@st.composite
def scans(draw: st.DrawFn) -> Scan:
    """Any scan of a few hosts, of which many fall together in everything that could be told apart."""
    at = NOON - draw(st.integers(0, 12)) * 20 * HOUR
    issues = [
        issue(name, level=draw(st.sampled_from(LEVELS)), baseline=draw(st.sampled_from(({"new": 1}, {"recurring": 2}))),
              status=draw(st.sampled_from(("open", "unknown"))))
        for name in draw(st.sets(st.sampled_from(("a", "b", "c")), max_size=3))
    ]  # fmt: skip
    return scan(
        Place(draw(st.integers(0, 1)), draw(st.integers(0, 30)), at + draw(st.integers(-2, 40)) * HOUR),
        host=draw(st.sampled_from(("h1", "h2", "h3"))), scan_id=f"s{draw(st.integers(0, 5))}", at=iso(at),
        profile=draw(st.sampled_from((None, *(f"p{one}" for one in range(9))))), issues=issues,
    )  # fmt: skip


def fed(*found: Scan) -> Fleet:
    fleet = Fleet(SPANS)
    for one in found:
        fleet.apply(one)
    return fleet


def consistent(found: list[Scan]) -> list[Scan]:
    """One that comes again is the same again, wherever it stands: what has one id and one time has one content."""
    first: dict[tuple[str, str, str, int], Scan] = {}
    made = []
    for one in found:
        content = first.setdefault((one.host, one.scope, one.scan_id, one.at), one)
        made.append(Scan(one.host, one.scan_id, one.scope, one.at, one.place, content.complete, content.counts,
                         content.issues))  # fmt: skip
    return made


@given(st.lists(scans(), max_size=25), st.randoms(use_true_random=False))
@settings(max_examples=examples(300))
def test_any_order_with_doubles_and_replays_gives_the_same_rows(found: list[Scan], chance: random.Random) -> None:
    found = consistent(found)
    again = [*found, *chance.choices(found, k=len(found))] if found else []
    chance.shuffle(again)
    assert fed(*again).rows == fed(*found).rows


@given(st.lists(scans(), min_size=1, max_size=25), st.integers(0, 25))
def test_restored_from_what_was_published_and_read_on_from_anywhere_it_is_the_same(found: list[Scan], cut: int) -> None:
    found = consistent(found)
    before = fed(*found[:cut])
    after = Fleet(SPANS)
    after.restore((read_row(write_row(row, SPANS.scope)) for row in before.rows.values()), {0, 1})
    for one in found[cut // 2 :]:
        after.apply(one)
    assert after.rows == fed(*found).rows
    assert after.view(NOON) == fed(*found).view(NOON)


@given(st.lists(scans(), max_size=25))
def test_the_newest_scan_of_each_scope_is_what_stands_there(found: list[Scan]) -> None:
    """Said once more in the plainest words: sort, and take the last."""
    found = consistent(found)
    fleet = fed(*found)
    for host in {one.host for one in found}:
        newest: dict[str, tuple[int, str]] = {}
        for one in sorted((one for one in found if one.host == host), key=lambda one: one.order):
            newest[one.scope] = one.order
        expected = sorted(((order, scope) for scope, order in newest.items()), reverse=True)[:MAX_SCOPES]
        assert [(one.order, one.scope) for one in fleet.rows[host].scans] == expected
    assert len(fleet.rows) == len({one.host for one in found})


@given(st.lists(scans(), max_size=25))
def test_prevalence_is_what_counting_by_hand_gives(found: list[Scan]) -> None:
    fleet = fed(*found)
    counted: Counter[str] = Counter()
    for row in fleet.rows.values():
        near = [one for one in row.scans if one is row.scans[0] or one.at > row.scans[0].at - SPANS.scope]
        byid = {}
        for one in reversed(near):
            byid.update({each.id: each.situation for each in one.issues if each.status == "open"})
        counted.update(set(byid.values()))
    view = fleet.view(NOON + DAY)
    assert {one.id: one.hosts for one in view.situations} == dict(counted)


def test_news_come_once_and_late_ones_count_without_changing_the_posture() -> None:
    fleet = Fleet(SPANS)
    late = scan(Place(0, 5, NOON), scan_id="s1", at=iso(NOON - 3 * HOUR), issues=[issue("early")])
    row, news = fleet.apply(scan(Place(0, 9, NOON), scan_id="s2", at=iso(NOON - HOUR), issues=[issue("now")]))
    assert row is not None and [one.id for one in news] == ["now"]
    row, news = fleet.apply(late)
    assert row is not None and [one.id for one in news] == ["early"]
    assert [one.title for one in row.newest.issues] == ["Title of now"]
    assert fleet.apply(late) == (None, ())
    view = fleet.view(NOON)
    assert [one.news.id for one in view.fresh] == ["now", "early"]
    assert [count for _, count in view.hours if count] == [1, 1]
    assert sum(count for _, count in view.hours) == 2 and len(view.hours) == 24


def test_without_a_baseline_nothing_is_called_new() -> None:
    _, news = Fleet(SPANS).apply(scan(issues=[issue(baseline={})]))
    assert news == ()


def test_only_open_critical_issues_are_news() -> None:
    issues = [issue("a", level="high"), issue("b", status="unknown"), issue("c", baseline={"recurring": 3})]
    assert Fleet(SPANS).apply(scan(issues=[*issues, issue("d", baseline={"regressed": 1})]))[1][0].id == "d"


def test_what_a_host_brings_is_bounded() -> None:
    fleet = Fleet(SPANS)
    for at in range(200):
        fleet.apply(scan(Place(0, at, NOON + at), scan_id=f"s{at}", profile=f"p{at}", at=iso(NOON + at * 1000)))
    (row,) = fleet.rows.values()
    assert (len(row.scans), len(row.news)) == (MAX_SCOPES, MAX_NEWS)


def test_a_scope_that_is_no_longer_scanned_stops_counting() -> None:
    """After an update of the scanner its old scans have another scope, and are never replaced."""
    old = scan(Place(0, 1, NOON), profile="old", at=iso(NOON - 30 * HOUR), issues=[issue("mended")])
    both = scan(Place(0, 2, NOON), scan_id="s2", profile="quick", at=iso(NOON - 5 * HOUR), issues=[issue("quick")])
    new = scan(Place(0, 3, NOON), scan_id="s3", profile="new", at=iso(NOON - HOUR), issues=[])
    view = fed(old, both, new).view(NOON)
    assert [one.title for one in view.situations] == ["Title of quick"]
    assert view.hosts[0].scopes == 2
    assert view.hosts[0].count("critical") == 1


def test_hosts_come_worst_first() -> None:
    hosts = {
        "calm": [], "low": [issue(level="low", score=20)], "high": [issue(level="high", score=70)],
        "two": [issue("a"), issue("b")], "one": [issue("a"), issue("b", level="high")],
    }  # fmt: skip
    fleet = fed(*(scan(host=host, issues=issues) for host, issues in hosts.items()))
    assert [one.host for one in fleet.view(NOON).hosts] == ["two", "one", "high", "low", "calm"]


def test_a_host_goes_silent_and_is_forgotten_and_comes_back() -> None:
    fleet = fed(scan(Place(0, 0, NOON)))
    assert fleet.silent(NOON + 26 * HOUR - 1) == ()
    (silent,) = fleet.silent(NOON + 26 * HOUR)
    assert silent.host == "web-01"
    assert fleet.view(NOON + 30 * DAY - 1).silent == (silent,)
    assert fleet.view(NOON + 30 * DAY).hosts == ()
    assert [row.host for row in fleet.forget(NOON + 30 * DAY)] == ["web-01"]
    assert fleet.rows == {}
    fleet.apply(scan(Place(0, 9, NOON + 31 * DAY), at=iso(NOON + 31 * DAY), scan_id="s2"))
    assert fleet.silent(NOON + 31 * DAY) == ()


def test_a_report_that_is_sent_again_is_no_sign_of_life() -> None:
    fleet = fed(scan(Place(0, 0, NOON)), scan(Place(0, 9, NOON + 25 * HOUR)))
    assert len(fleet.silent(NOON + 26 * HOUR)) == 1


def test_alerts_have_one_id_however_often_they_are_made() -> None:
    fleet = Fleet(SPANS)
    _, news = fleet.apply(scan())
    _, again = fed().apply(scan(Place(1, 77, NOON + HOUR)))
    one, two = (news_alert("web-01", found) for found in (news[0], again[0]))
    assert one.id == two.id
    assert news_alert("web-02", news[0]).id != one.id
    silent = silence_alert(fleet.view(NOON).hosts[0], SPANS.silent)
    assert silent.id != one.id
    assert silent == silence_alert(fleet.view(NOON + HOUR).hosts[0], SPANS.silent)
    assert b'"kind":"new_critical"' in write_alert(one)
    assert b"no new scan since 2026-11-02T12:00:00Z" in write_alert(silent)


def test_it_says_how_far_each_partition_was_read() -> None:
    fleet = fed(
        scan(Place(0, 5, NOON), host="a"), scan(Place(0, 9, NOON - HOUR), host="b"), scan(Place(1, 2, NOON), host="c")
    )
    assert {at: (one.written, one.offset) for at, one in fleet.resume().items()} == {0: (NOON, 9), 1: (NOON, 2)}


def test_real_scans_side_by_side() -> None:
    lines = real("web01-ioc.json", "db02-full.json.gz", "db02-drift-1.json", "micro-default.json")
    fleet = Fleet(SPANS)
    fields: dict[str, Any] = {}
    for at, line in enumerate(lines):
        fleet.apply(read_scan(None, line, Place(0, at, NOON)))
    view = fleet.view(NOON)
    assert {one.host for one in view.hosts} == {row.host for row in fleet.rows.values()}
    assert view.hosts[0].count("critical") >= view.hosts[-1].count("critical")
    assert view.situations[0].hosts >= 2, fields
    for row in fleet.rows.values():
        assert merge(None, row.newest).newest == read_row(write_row(row, SPANS.scope)).newest
