"""What stands as one entry in page and Markdown: the same is said of all its findings, and every finding is in one."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import escape, unescape

import pytest

from pipeline.display import printable
from pipeline.finding import RawFinding, Severity
from pipeline.output.formats import overview as counted
from pipeline.output.formats.htmlpage.page import html
from pipeline.output.formats.markdown import markdown, name, prose
from pipeline.output.formats.overview import OLDER_STORY, overview
from pipeline.output.formats.scan import Scan
from pipeline.output.records import EnrichedFinding, VerdictsInUse
from tests.pipeline.output.formats.exported import accepted, real_scan, real_scans, scan_of, scan_with, some
from tests.pipeline.output.formats.test_markdown import assert_sound
from tests.pipeline.unknown import finding as unknown

AT_STAKE = ("open", "unknown", "error")
LOOKS = "No known kind of finding"


def page(scan: Scan) -> str:
    return b"".join(html([scan])).decode()


def document(scan: Scan) -> str:
    return b"".join(markdown([scan])).decode()


BOTH = pytest.mark.parametrize("written", [page, document])
Written = Callable[[Scan], str]


def section(made: str, heading: str) -> str:
    """What stands under a heading of the page."""
    return made.partition(f">{heading}</h3>")[2].partition("<h3")[0]


def articles(made: str) -> list[str]:
    return [unescape(one) for one in section(made, "At stake").split("<article>")[1:]]


def at_stake(scan: Scan) -> Iterator[EnrichedFinding]:
    return (one for one in scan.findings() if one.status in AT_STAKE)


def without_names(text: str, finding: EnrichedFinding) -> str:
    """A text without what sets the finding apart from others of its kind."""
    values = {*finding.slots.values(), finding.finding.id, *map(str, finding.finding.metadata.values())}
    for value in sorted(map(printable, values), key=len, reverse=True):
        text = text.replace(value, "*") if len(value) > 1 else text
    return text


def said(finding: EnrichedFinding) -> tuple[str | None, ...]:
    words = finding.analysis
    return (
        finding.class_, finding.risk.level, finding.status, without_names(words.assessment, finding),
        without_names(words.impact, finding), words.action,
    )  # fmt: skip


@pytest.mark.parametrize("named", [named for named, _ in real_scans()])
def test_whatever_is_said_of_a_finding_is_said_by_an_entry(named: str) -> None:
    scan = real_scan(named)
    entries = overview(scan).worst_first()
    assert {said(entry.worst) for entry in entries} == {said(one) for one in at_stake(scan)}
    assert sum(entry.findings for entry in entries) == sum(1 for _ in at_stake(scan))
    scores = [entry.worst.risk.score for entry in entries]
    assert scores == sorted(scores, reverse=True)


def test_a_process_under_a_false_name_is_not_told_as_another_one() -> None:
    for number, words in ((512, "coin miner, xmrig"), (513, "calls itself [kworker/u8:3] like a kernel thread")):
        (entry,) = [one for one in articles(page(real_scan("web01-ioc.json"))) if f"(process {number})" in one]
        assert f"Process {number} " in entry and words in entry


@BOTH
def test_an_entry_names_what_it_is_about_the_worst_first(written: Written) -> None:
    base = some()
    findings = [replace(base, slots={"path": f"/opt/{number}"}) for number in (*range(7), 6, 6)]
    worst = replace(base, slots={"path": "/opt/worst"}, risk=replace(base.risk, score=base.risk.score + 1))
    made = written(scan_of([*findings, worst])).replace("`", "")
    assert "/opt/worst, /opt/0, /opt/1, /opt/2, /opt/3, and 5 more" in made


def test_several_lines_about_one_thing_are_no_more_names() -> None:
    base = replace(some(), slots={"path": "/opt/one"})
    made = page(scan_of([base, base, base]))
    assert '<p class="small">3 findings: /opt/one</p>' in made


@BOTH
def test_more_kinds_than_can_be_told_apart_are_counted_and_said_to_differ(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counted, "_MOST_KINDS", 2)
    scan = scan_with(*(RawFinding("new", f"new:{number}", "high", f"Odd {number}", "") for number in range(6)))
    entries = overview(scan).worst_first()
    assert [entry.findings for entry in entries] == [4, 1, 1]
    assert written(scan).count("Too many kinds to tell apart") == 1


@BOTH
def test_a_kind_that_nobody_knows_has_the_scanners_words(written: Written) -> None:
    raw = unknown("docker:socket")
    made = written(scan_with(raw))
    words = f"{raw.title}: {raw.description}"
    assert LOOKS in made
    assert (
        f"The scanner says: <q>{escape(words)}</q>" if written is page else f"The scanner says: {name(words, 999)}"
    ) in made


def test_hosts_side_by_side_have_the_scanners_words_too() -> None:
    scans = [scan_with(unknown("docker:socket")), real_scan("db02-default.json")]
    made = b"".join(html(scans)).decode()
    assert "The scanner says: <q>" in made.partition("Hosts side by side")[2].partition("</table>")[0]


@BOTH
def test_kinds_that_nobody_knows_are_one_entry_for_each_title(written: Written) -> None:
    raws = [RawFinding("new", f"new:{number}", "high", f"Odd {number % 2}", f"seen {number}") for number in range(4)]
    made = written(scan_with(*raws))
    assert ("Odd 0: seen 0" in made) and ("Odd 1: seen 1" in made)
    # What one of them says is not said of the others.
    assert "The scanner says of " in made and "The scanner says: " not in made


@BOTH
def test_the_scanners_words_are_words_and_their_end_is_marked_where_they_are_cut(written: Written) -> None:
    hostile = "</q><script>alert(1)</script> `|` [x](https://example.org) Nothing is at stake. "
    made = written(scan_with(RawFinding("new", "new:1", "high", hostile, "long " * 1_000)))
    if written is page:
        assert "<script" not in made and "<q>&lt;/q&gt;&lt;script&gt;" in made
    else:
        assert_sound(made)
    assert re.search(r"long (l|lo|lon|long)?…", made)


def test_a_known_kind_has_no_words_of_the_scanner() -> None:
    assert "The scanner says" not in page(real_scan("web01-ioc.json"))


def test_where_there_is_no_action_a_first_look_is_the_first_thing() -> None:
    raw = unknown("docker:socket")
    scan = scan_with(raw)
    (line,) = scan.findings()
    assert line.likely is not None and line.likely.look is not None
    todo = unescape(section(page(scan), "What to do first"))
    assert f"<strong>Look first: {line.likely.look.summary}</strong>" in todo and line.likely.look.command in todo
    assert str(raw.title) in todo and "Nothing that can be named." not in todo


@pytest.mark.parametrize(("severity", "read"), [("critical", True), ("high", True), ("low", False)])
def test_what_is_urgent_and_has_not_even_a_look_is_to_be_read(severity: Severity, read: bool) -> None:
    scan = scan_with(RawFinding("sock", "sock:1", severity, "Zzyzx", "qwpo"))
    (line,) = scan.findings()
    assert line.likely is None or line.likely.look is None
    todo = section(page(scan), "What to do first")
    assert ("Read what the scanner says" in todo and "<q>Zzyzx: qwpo</q>" in todo) is read
    assert ("Nothing that can be named." in todo) is not read


def test_a_long_title_hides_no_description() -> None:
    made = page(scan_with(RawFinding("sock", "sock:1", "critical", "t" * 5_000, "all may write")))
    assert re.search("<q>t{150,199}…: all may write</q>", made)


def test_one_thing_to_do_is_told_once_with_all_that_it_is_for() -> None:
    todo = section(page(real_scan("web01-ioc.json")), "What to do first")
    assert todo.count("Save evidence of process") == 1
    assert (
        "The same for: /tmp/.cache-helper (process 509), /usr/bin/sleep (process 512), /usr/bin/sleep (process 513)"
        in todo
    )
    assert todo.count('<div class="first">') == 3


@BOTH
@pytest.mark.parametrize(("known", "used", "older"), [(None, 3, True), (2, 3, True), (3, 3, False), (3, None, False)])
def test_a_story_from_before_the_verdicts_says_so(
    written: Written, known: int | None, used: int | None, older: bool
) -> None:
    scan = real_scan("web01-ioc.json")
    assert scan.record is not None

    def upto(seq: int | None) -> VerdictsInUse | None:
        return VerdictsInUse(seq, "a" * 64) if seq else None

    record = replace(scan.record, provenance=replace(scan.record.provenance, verdicts=upto(known)))
    first, *others = scan.findings()
    first = replace(first, provenance=replace(first.provenance, verdicts=upto(used)))
    made = written(scan_of([first, *others], record))
    assert (OLDER_STORY in made) is older


def test_what_the_input_lacks_stands_under_the_numbers() -> None:
    lacks = "Of lines about one thing the worst is here: 94 findings stand for 97 lines."
    alone = page(scan_of([some()], None, lacks))
    assert alone.index('class="verdict"') < alone.index(f'<p class="note">{lacks}</p>') < alone.index("<nav")
    several = b"".join(html([real_scan("db02-default.json"), scan_of([some()], None, lacks)])).decode()
    (host,) = [one for one in several.split('<section class="host"') if lacks in one]
    assert several.count(f'<p class="note">{lacks}</p>') == 1
    assert host.index('class="verdict"') < host.index(lacks) < host.index("<nav")
    made = document(scan_of([some()], None, lacks))
    assert made.index(prose(lacks)) < made.index("## What this does not say")


@BOTH
@pytest.mark.parametrize("named", ["web01-ioc.json", "web01-weird-names.json", "web01-fs-hygiene.json"])
def test_patterns_are_told_with_what_is_part_of_them(written: Written, named: str) -> None:
    scan = real_scan(named)
    assert scan.record is not None and scan.record.correlations
    seen, made = overview(scan), written(scan)
    told = made.partition("What belongs together</h3>" if written is page else "## What belongs together")[2]
    for group in scan.record.correlations:
        members = list(dict.fromkeys(seen.members[key] for key in group.members))
        more = group.findings - len(group.members)
        if written is page:
            listed = ", ".join(members) + (f", and {more} more." if more else ".")
            assert f"{group.findings} findings are part of it: {escape(listed)}" in told
            assert escape(group.why) in told and escape(group.first) in told
        else:
            assert f"{group.findings}: {', '.join(map(name, members))}" in told
            assert prose(group.why) in told and prose(group.first) in told


@BOTH
def test_a_part_of_a_pattern_that_is_settled_or_not_at_hand_says_so(written: Written) -> None:
    scan = real_scan("web01-ioc.json")
    assert scan.record is not None
    helper = next(one for one in scan.findings() if one.slots.get("pid") == "509")
    made = written(scan_of([accepted(helper)], scan.record))
    assert "/tmp/.cache-helper (process 509) [accepted]" in made and ", and 2 more" in made
    elsewhere = scan_of([some("db02-default.json")], scan.record)
    assert written(elsewhere).count("not at hand here") == len(scan.record.correlations)


@BOTH
def test_patterns_beyond_those_that_are_told_are_counted(written: Written) -> None:
    scan = real_scan("web01-ioc.json")
    assert scan.record is not None
    groups = scan.record.correlations * 20
    made = written(scan_of(scan.findings(), replace(scan.record, correlations=groups)))
    assert len(groups) == 60 and re.search(r"And 10 (patterns )?more, none of a higher level\.", made)
