"""One page for whoever has to decide, to act or to check: it needs no network and no script, and prints.

The latest scan of each host and scope is told whole; earlier ones that are in the input are the trend of it. Findings
go by several times, once for each part, so what is kept does not grow with their number; the list of evidence is cut
where they are many.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from pipeline.finding import LEVELS, Level
from pipeline.output.formats.htmlpage.acts import first, stake, together
from pipeline.output.formats.htmlpage.audit import MOST_LISTED, about, controls_of, evidence, limits, settled
from pipeline.output.formats.htmlpage.look import SHEET
from pipeline.output.formats.htmlpage.parts import (
    LONG,
    cell,
    count_cell,
    cut,
    head_cell,
    number,
    table,
    words_of,
)
from pipeline.output.formats.htmlpage.trend import SHOWN, trend
from pipeline.output.formats.overview import OLDER_STORY, Overview, is_story_older, overview
from pipeline.output.formats.scan import Past, Scan
from pipeline.output.markup import Markup, element, policy, sheet, text

_MOST_RESOLVED = 200


@dataclass(slots=True, frozen=True)
class _Told:
    """A scan that is told whole: with what its findings come to, and the scans before it.

    Attributes:
        name: of the host, with the scope where the page has several of one host.
    """

    scan: Scan
    seen: Overview
    past: tuple[Past, ...]
    name: str
    anchor: str


def html(scans: Iterable[Scan]) -> Iterator[bytes]:
    """Write scans as one page."""
    looked = [(scan, overview(scan), past) for scan, past in _latest(scans)]
    looked.sort(key=lambda one: [-one[1].level[level] for level in reversed(LEVELS)])
    hosts = Counter(scan.host for scan, _, _ in looked)
    told = [
        _Told(scan, seen, past, _name(scan, alone=hosts[scan.host] == 1), f"host-{number}")
        for number, (scan, seen, past) in enumerate(looked, 1)
    ]
    least = _least_listed(told)
    for piece in _page(told, least):
        yield f"{piece}\n".encode("utf-8", "replace")


def _latest(scans: Iterable[Scan]) -> list[tuple[Scan, tuple[Past, ...]]]:
    """Give the latest scan of each host and scope, the others as its past."""
    by_scope: dict[tuple[str, str], list[Scan]] = {}
    for scan in scans:
        profile = scan.record.profile if scan.record is not None else None
        by_scope.setdefault((scan.host, profile or scan.scan_id), []).append(scan)
    found = []
    for same in by_scope.values():
        same.sort(key=lambda scan: "" if scan.record is None else scan.record.as_of)
        latest = same[-1]
        past = {one.scan_id: one for one in latest.history()}
        for scan in same:
            if scan.record is not None:
                past[scan.scan_id] = Past(scan.scan_id, scan.record.as_of, scan.record.counts.level)
        found.append((latest, tuple(sorted(past.values(), key=lambda one: one.at))))
    return found


def _name(scan: Scan, *, alone: bool) -> str:
    if alone:
        return scan.host
    profile = scan.record.profile if scan.record is not None else None
    return f"{scan.host}, scope {profile[:8]}" if profile else f"{scan.host}, scan {scan.scan_id[:8]}"


def _least_listed(told: Sequence[_Told]) -> Level:
    """Give the lowest level down to which all findings of the page can be listed."""
    room = MOST_LISTED
    for level in reversed(LEVELS):
        room -= sum(one.seen.listed[level] for one in told)
        if room < 0:
            return LEVELS[min(LEVELS.index(level) + 1, len(LEVELS) - 1)]
    return LEVELS[0]


def _page(told: Sequence[_Told], least: Level) -> Iterator[str]:
    hosts = sorted({one.scan.host for one in told})
    title = f"Security findings of {hosts[0]}" if len(hosts) == 1 else f"Security findings of {len(hosts):,} hosts"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(SHEET)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        sheet(SHEET),
    )
    yield f'<!doctype html>\n<html lang="en">\n{head}\n<body>'
    yield element("a", "Skip to the findings", href="#findings", class_="skip")
    yield element("header", element("h1", title), element("p", _verdict(told), class_="verdict"))
    if len(told) == 1:
        yield from _missing(told[0].scan)
    else:
        yield _side_by_side(told)
    yield '<main id="findings">'
    for one in told:
        yield from _host(one, least, alone=len(told) == 1)
    yield "</main>\n</body>\n</html>"


def _verdict(told: Sequence[_Told]) -> str:
    """Say in a sentence how it stands."""
    counts = {level: sum(one.seen.level[level] for one in told) for level in reversed(LEVELS)}
    said = [f"{count:,} {level}" for level, count in counts.items() if count]
    if not said:
        return "Nothing is at stake in what could be seen."
    every = f"{', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else said[0]
    noun = "finding" if sum(counts.values()) == 1 else "findings"
    if counts["critical"] or counts["high"]:
        return f"At stake: {every} {noun}."
    return f"Nothing critical or high was seen; {every} {noun}."


def _missing(scan: Scan) -> Iterator[Markup]:
    """Say what the input lacks where it is read first: it is why counts differ from those of the scan itself."""
    for said in scan.missing:
        yield element("p", text(said, LONG), class_="note")


def _side_by_side(told: Sequence[_Told]) -> Markup:
    def row(one: _Told) -> Iterator[Markup]:
        record = one.scan.record
        worst = next(iter(one.seen.worst_first()), None)
        yield element("th", element("a", one.name, href=f"#{one.anchor}"), scope="row", class_="host")
        for level in SHOWN:
            yield count_cell(level.capitalize(), one.seen.level[level], level)
        yield cell("Scan", element("time", record.as_of) if record is not None else "not known")
        if worst is None:
            yield cell("Look at first", "nothing at stake")
        else:
            yield cell("Look at first", worst.worst.analysis.assessment, *words_of(worst))

    return element(
        "section",
        element("h2", "Hosts side by side, worst first", id="hosts"),
        table(("Host", *(level.capitalize() for level in SHOWN), "Scan", "Look at first"), map(row, told)),
    )


def _host(one: _Told, least: Level, *, alone: bool) -> Iterator[str]:
    scan, seen, name = one.scan, one.seen, one.anchor
    sections = {
        "first": "What to do first", "stake": "At stake", "together": "What belongs together",
        "changed": "What changed", "settled": "Accepted risks", "controls": "Compliance", "evidence": "Evidence",
        "limits": "What this does not say", "about": "About the scan",
    }  # fmt: skip
    yield f'<section class="host" id="{name}">'
    if not alone:
        yield element("h2", one.name)
        yield element("p", _verdict([one]), class_="verdict")
        yield from _missing(scan)
    links = (element("li", element("a", title, href=f"#{name}-{part}")) for part, title in sections.items())
    yield element("nav", element("ul", *links), aria_label=f"Parts about {one.name}")
    yield element("dl", *(number(level, seen.level[level]) for level in SHOWN), class_="numbers")
    if scan.record is not None and scan.record.story:
        yield element("h3", "In short", id=f"{name}-short")
        if is_story_older(seen, scan.record):
            yield element("p", OLDER_STORY, class_="note")
        for _, sentences in groupby(scan.record.story, key=lambda one: one.part):
            yield element("p", text(" ".join(one.text for one in sentences), LONG * 4))
    for part, made in (
        ("first", first(seen)),
        ("stake", stake(seen)),
        ("together", together(seen, scan.record)),
        ("changed", _changed(one)),
        ("settled", settled(scan, seen)),
        ("controls", controls_of(seen, scan.record)),
        ("evidence", evidence(scan, seen, least)),
        ("limits", limits(scan, seen)),
        ("about", about(scan, seen)),
    ):
        yield element("h3", sections[part], id=f"{name}-{part}")
        yield from made
    yield "</section>"


def _changed(one: _Told) -> Iterator[Markup]:
    record = one.scan.record
    baseline = record.baseline if record is not None else None
    if baseline is None:
        yield element("p", "There is no earlier scan to compare with.", class_="dim")
    else:
        words = {"new": "new", "changed": "changed", "regressed": "come back", "recurring": "as before"}
        said = [f"{one.seen.state[state]:,} {word}" for state, word in words.items() if one.seen.state[state]]
        yield element("p", f"Of the findings at stake: {', '.join(said) or 'none'}.")
        if not baseline.compared:
            why = "What is absent from this scan means nothing: it is not complete, or it was filtered."
            yield element("p", why, class_="dim")
        if baseline.resolved:
            yield table(
                ("Gone or passed since", "What it was", "First seen"),
                (
                    (head_cell(gone.label), cell("What it was", gone.title), cell("First seen", gone.first_seen_at))
                    for gone in baseline.resolved[:_MOST_RESOLVED]
                ),
                cut(len(baseline.resolved), _MOST_RESOLVED),
            )
    if len(one.past) > 1:
        yield trend(one.past)
        yield element("p", *(element("span", level, class_=level) for level in SHOWN), class_="key small")
        yield table(
            ("Scan", *(level.capitalize() for level in SHOWN)),
            (
                (
                    element("th", element("time", past.at), scope="row"),
                    *(count_cell(level.capitalize(), past.levels.get(level, 0), level) for level in SHOWN),
                )
                for past in reversed(one.past)
            ),
            "Different findings at stake",
        )
