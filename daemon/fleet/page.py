"""The page: hosts worst first, what they have in common, who is silent, what is new. It needs no script."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from daemon.fleet.fleet import Fresh, Situation, View
from daemon.fleet.row import Posture
from daemon.fleet.style import SHEET
from pipeline.finding import Level
from pipeline.output.markup import Content, Markup, element, sheet, together

MAX_HOSTS = 500
MAX_SITUATIONS = 100
MAX_FRESH = 100
MAX_SILENT = 200
_SHOWN: tuple[Level, ...] = ("critical", "high", "medium", "low")
_SECTIONS = {"hosts": "Hosts", "fresh": "New criticals", "situations": "Situations", "silent": "Silent hosts"}


@dataclass(slots=True, frozen=True)
class State:
    """What the page says of the program itself.

    Attributes:
        notes: what a reader must know before the numbers are believed.
        lag: records of scans that were not read yet.
    """

    notes: tuple[str, ...]
    lag: int


def render(view: View, state: State) -> str:
    """Make the page."""
    critical = sum(1 for one in view.hosts if one.count("critical"))
    body = element(
        "body",
        element("h1", "Fleet"),
        element("p", "As of ", _time(view.at, None), f"; {state.lag:,} scan records behind.", class_="dim"),
        *(element("p", note, class_="note", role="status") for note in state.notes),
        element(
            "dl",
            _figure("Hosts", len(view.hosts)),
            _figure("With critical findings", critical, "critical"),
            _figure(f"New criticals, {len(view.hours)} h", len(view.fresh), "critical"),
            _figure("Silent", len(view.silent), "high"),
        ),
        element(
            "nav",
            *(element("a", name, href=f"#{anchor}") for anchor, name in _SECTIONS.items()),
            aria_label="Sections",
        ),
        element("main", *_hosts(view), *_fresh(view), *_situations(view), *_silent(view)),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"Fleet: {len(view.hosts)} hosts, {critical} with critical findings"),
        sheet(SHEET),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _hosts(view: View) -> Iterable[Markup]:
    silent = {one.host for one in view.silent}
    yield element("h2", "Hosts, worst first", id="hosts")
    if not view.hosts:
        yield element("p", "No host has been heard of.", class_="dim")
        return
    yield _table(
        _cut(len(view.hosts), MAX_HOSTS, "hosts"),
        ("Host", *(level.capitalize() for level in _SHOWN), "Score", "Last scan", "Look at first"),
        [_host(one, view.at, silent=one.host in silent) for one in view.hosts[:MAX_HOSTS]],
    )


def _host(host: Posture, now: int, *, silent: bool) -> Sequence[Markup]:
    notes = (["silent"] if silent else []) + ([] if host.complete else ["scan incomplete"])
    notes += [f"{host.scopes} scopes"] if host.scopes > 1 else []
    worst = host.worst
    return (
        element("th", host.host, *_below(", ".join(notes)), scope="row"),
        *(_count(level.capitalize(), host.count(level), level) for level in _SHOWN),
        element("td", host.score, class_="n", data_label="Score"),
        element("td", _time(host.at, now), data_label="Last scan"),
        element("td", element("span", "nothing open", class_="calm"))
        if worst is None
        else element(
            "td",
            element("span", worst.title, class_=worst.level),
            *_below(worst.label),
            *([element("details", element("summary", "What to do first"), worst.first)] if worst.first else []),
        ),
    )


def _situations(view: View) -> Iterable[Markup]:
    yield element("h2", "Situations, most widespread first", id="situations")
    if not view.situations:
        yield element("p", "No issue is open.", class_="dim")
        return
    yield _table(
        _cut(len(view.situations), MAX_SITUATIONS, "situations"),
        ("Situation", "Level", "Hosts", "Findings", "Among them"),
        [_situation(one, len(view.hosts)) for one in view.situations[:MAX_SITUATIONS]],
    )


def _situation(one: Situation, hosts: int) -> Sequence[Markup]:
    more = one.hosts - len(one.examples)
    return (
        element("th", one.title, *_below(f"{one.class_}{f' [{one.split}]' if one.split else ''}"), scope="row"),
        element("td", element("span", one.level, class_=one.level), data_label="Level"),
        element("td", f"{one.hosts:,} of {hosts:,}", class_="n", data_label="Hosts"),
        element("td", f"{one.things:,}", class_="n", data_label="Findings"),
        element("td", ", ".join(one.examples), f" and {more:,} more" if more else "", data_label="Among them"),
    )


def _fresh(view: View) -> Iterable[Markup]:
    yield element("h2", f"New criticals in {len(view.hours)} hours", id="fresh")
    if not view.fresh:
        yield element("p", "None.", class_="dim")
        return
    yield _chart(view.hours)
    yield _table(
        _cut(len(view.fresh), MAX_FRESH, "new criticals"),
        ("Host", "What", "Score", "Scanned"),
        [_new(one, view.at) for one in view.fresh[:MAX_FRESH]],
    )


def _new(one: Fresh, now: int) -> Sequence[Markup]:
    return (
        element("th", one.host, scope="row"),
        element("td", element("span", one.news.title, class_="critical"), *_below(one.news.label)),
        element("td", one.news.score, class_="n", data_label="Score"),
        element("td", _time(one.news.at, now), data_label="Scanned"),
    )


def _silent(view: View) -> Iterable[Markup]:
    yield element("h2", "Silent hosts", id="silent")
    if not view.silent:
        yield element("p", "None.", class_="dim")
        return
    yield _table(
        _cut(len(view.silent), MAX_SILENT, "silent hosts"),
        ("Host", "Last heard of", "Criticals then"),
        [
            (
                element("th", one.host, scope="row"),
                element("td", _time(one.written, view.at), data_label="Last heard of"),
                _count("Criticals then", one.count("critical"), "critical"),
            )
            for one in view.silent[:MAX_SILENT]
        ],
    )


def _chart(hours: Sequence[tuple[int, int]]) -> Markup:
    most = max((count for _, count in hours), default=0)
    width, height, step = 480, 100, 480 / max(1, len(hours))
    bars = [
        element(
            "rect",
            element("title", f"{count} in the hour from {_words(hour)}"),
            x=f"{at * step + 1:.1f}", width=f"{max(1.0, step - 2):.1f}",
            y=f"{100 - 92 * count / most:.1f}", height=f"{92 * count / most:.1f}",
        )
        for at, (hour, count) in enumerate(hours)
        if count
    ]  # fmt: skip
    total = sum(count for _, count in hours)
    words = f"{total} new criticals in {len(hours)} hours, at most {most} in one hour"
    since = f"From {_words(hours[0][0])} to now, by the hour; at most {most} in one." if hours else ""
    return together(
        element(
            "svg", *bars, viewBox=f"0 0 {width} {height}", preserveAspectRatio="none", role="img", aria_label=words
        ),
        *_below(since),
    )


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Markup]]) -> Markup:
    # The roles are said once more because some browsers drop them where a table is shown as blocks.
    return element(
        "table",
        *([element("caption", caption)] if caption else []),
        element(
            "thead", element("tr", *(element("th", head, scope="col") for head in heads), role="row"), role="rowgroup"
        ),
        element("tbody", *(element("tr", *row, role="row") for row in rows), role="rowgroup"),
        role="table",
    )


def _figure(name: str, value: int, class_: str = "") -> Markup:
    return element("div", element("dt", name), element("dd", f"{value:,}", class_=class_ if value else ""))


def _count(label: str, value: int, class_: str) -> Markup:
    return element("td", f"{value:,}", class_=f"n {class_ if value else 'zero'}", data_label=label)


def _below(text: str) -> Sequence[Content]:
    return (element("div", text, class_="small dim"),) if text else ()


def _cut(total: int, most: int, what: str) -> str:
    return f"The first {most:,} of {total:,} {what}" if total > most else ""


def _time(at: int, now: int | None) -> Markup:
    words = _words(at)
    machine = words.replace(" UTC", "Z").replace(" ", "T")
    if now is None:
        return element("time", words, datetime=machine)
    return together(element("time", words, datetime=machine), element("div", _age(now - at), class_="small dim"))


def _words(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _age(ms: int) -> str:
    minutes = max(0, ms) // 60_000
    if minutes < 120:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days ago"
