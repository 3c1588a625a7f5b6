"""The page and the metrics: whole, harmless whatever hosts are called, and legible."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.fleet.fleet import Fleet
from daemon.fleet.gauges import metrics
from daemon.fleet.keeper import Keeper
from daemon.fleet.page import MAX_HOSTS, State, render
from daemon.fleet.scan import Place
from daemon.fleet.style import POLICY, SHEET
from daemon.meant import names_this_machine
from pipeline.output.markup import Markup, element
from tests.daemon.fleet.made import DAY, HOUR, NOON, SPANS, issue, scan

QUIET = State((), 0)
VOID = {"meta", "br", "hr"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>', "' onclick='alert(1)", "</title><h1>", "&lt;", "\x1b[2J",
    "a\u202eb", "{{7*7}}", "\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
]  # fmt: skip


class Page(HTMLParser):
    """What a browser makes of it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def page(*scans: Any, now: int = NOON, state: State = QUIET) -> Page:
    fleet = Fleet(SPANS)
    for one in scans:
        fleet.apply(one)
    return Page(render(fleet.view(now), state))


SHAPE = sorted({tag for tag, _ in page(scan()).tags} | {"details", "summary"})
NAMES = {name for _, attributes in page(scan()).tags for name in attributes}


@pytest.mark.parametrize("evil", HOSTILE)
def test_no_name_from_a_host_becomes_part_of_the_page(evil: str) -> None:
    bad = issue(evil, title=evil, labels=[evil], split={evil: evil}, do_first={"summary": evil}, **{"class": evil})
    seen = page(scan(host=evil, issues=[bad]), state=State((evil,), 1))
    assert {tag for tag, _ in seen.tags} <= set(SHAPE)
    assert {name for _, attributes in seen.tags for name in attributes} <= NAMES | {"role", "class"}
    assert not any(name.startswith("on") for _, attributes in seen.tags for name in attributes)
    if evil.isprintable():
        assert evil in seen.text, "it is shown as it is written"
    assert "\u202e" not in seen.text and "\x1b" not in seen.text


@given(st.text(), st.text())
def test_any_text_comes_out_as_text(text: str, value: str) -> None:
    made = element("p", text, title=value)
    assert re.fullmatch(r'<p title="[^"<>]*">[^<>"]*</p>', made)
    assert isinstance(made, Markup)


def test_it_needs_nothing_from_anywhere() -> None:
    seen = page(scan(), scan(host="b", place=Place(0, 1, NOON - 2 * DAY), at="2026-10-30T00:00:00Z"))
    assert not {"script", "link", "img", "iframe", "form", "object"} & {tag for tag, _ in seen.tags}
    for _, attributes in seen.tags:
        assert not {"src", "style", "srcset", "action"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert "url(" not in SHEET and "@import" not in SHEET
    digest = base64.b64encode(hashlib.sha256(SHEET.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in POLICY and "default-src 'none'" in POLICY and "unsafe" not in POLICY
    assert f"<style>{SHEET}</style>" in render(Fleet(SPANS).view(NOON), QUIET)


def test_every_section_is_there_when_there_is_nothing_and_when_there_is() -> None:
    for seen in (page(), page(scan())):
        anchors = {attributes.get("id") for tag, attributes in seen.tags if tag == "h2"}
        assert anchors == {"hosts", "fresh", "situations", "silent"}
        targets = {attributes["href"] for tag, attributes in seen.tags if tag == "a"}
        assert targets == {f"#{one}" for one in anchors}
    assert "No host has been heard of." in page().text
    assert ("html", {"lang": "en"}) in page().tags


def test_it_says_how_old_what_it_shows_is() -> None:
    text = page(scan(at="2026-11-02T09:00:00Z"), state=State(("Nothing was heard.",), 1234)).text
    assert "2026-11-02 09:00 UTC" in text and "3 h ago" in text
    assert "1,234 scan records behind" in text and "Nothing was heard." in text


def test_a_large_fleet_is_cut_and_says_so() -> None:
    seen = page(*(scan(Place(0, at, NOON), host=f"h{at}") for at in range(MAX_HOSTS + 10)))
    assert f"The first 500 of {MAX_HOSTS + 10} hosts" in seen.text
    assert sum(1 for tag, _ in seen.tags if tag == "tr") < MAX_HOSTS + 400


def _luminance(colour: str) -> float:
    full = colour * 2 if len(colour) == 3 else colour
    parts = [int(full[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    if len(colour) == 3:
        parts = [int(one * 2, 16) / 255 for one in colour]
    red, green, blue = (one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_colour_of_text_can_be_read_on_both_backgrounds_in_light_and_in_dark() -> None:
    light, dark = SHEET.split("prefers-color-scheme:dark")
    for theme in (light, dark):
        colours = dict(re.findall(r"--(\w+):#([0-9a-f]+)", theme))
        for name in ("ink", "dim", "critical", "high", "medium", "low", "info", "calm"):
            for ground in ("paper", "card"):
                one, other = sorted((_luminance(colours[name]), _luminance(colours[ground])))
                assert (other + 0.05) / (one + 0.05) >= 4.5, (name, ground)


def test_metrics_say_the_same_as_the_page() -> None:
    fleet = Fleet(SPANS)
    keeper = Keeper(fleet, 24 * HOUR, clock=lambda: NOON / 1000)
    from tests.daemon.fleet.made import record

    keeper.take(b"a", record(host="a"), Place(0, 1, NOON))
    keeper.take(b"a", record(host="a"), Place(0, 2, NOON))
    keeper.take(
        b"b", record(host="b", issues=[issue(level="low")], at="2026-10-31T00:00:00Z"), Place(1, 1, NOON - 2 * DAY)
    )
    keeper.take(b"b", b"{", Place(1, 2, NOON))
    text = metrics(fleet.view(NOON), keeper, {0: 0, 1: 6}, 0.0, 0)
    for line in (
        'sysscan_fleet_hosts{state="heard"} 1', 'sysscan_fleet_hosts{state="silent"} 1',
        'sysscan_fleet_hosts_worst{level="critical"} 1', 'sysscan_fleet_hosts_worst{level="low"} 1',
        'sysscan_fleet_findings{level="critical"} 1', "sysscan_fleet_new_criticals 1",
        "sysscan_fleet_records_read_total 4", "sysscan_fleet_records_unchanged_total 1",
        'sysscan_fleet_records_refused_total{reason="not_json"} 1', 'sysscan_fleet_alerts_total{kind="new_critical"} 1',
        'sysscan_fleet_lag{partition="0"} 0', 'sysscan_fleet_lag{partition="1"} 6', "sysscan_fleet_partitions 2",
    ):  # fmt: skip
        assert f"\n{line}\n" in text, line
    assert len(re.findall(r"^# HELP", text, re.M)) == len(re.findall(r"^# TYPE", text, re.M)) == 13


@pytest.mark.parametrize("host", ["127.0.0.1:9475", "localhost", "LOCALHOST:1", "[::1]:9475", "127.9.9.9"])
def test_a_request_for_this_machine_is_answered(host: str) -> None:
    assert names_this_machine(host)


@pytest.mark.parametrize(
    "host", [None, "", "rebound.example", "localhost.example", "10.0.0.1", "[::2]:1", "[", "0.0.0.0"]
)
def test_a_request_under_another_name_is_not(host: str | None) -> None:
    assert not names_this_machine(host)
