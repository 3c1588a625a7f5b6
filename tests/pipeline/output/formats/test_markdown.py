"""Markdown that an auditor can use, in which a name is a name: no markup, no link, no cell of its own."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from pipeline.display import printable
from pipeline.output.formats.markdown import markdown, name, prose
from pipeline.output.formats.scan import Scan
from pipeline.output.records import EnrichedFinding, ExpiredEntry, PolicySection, VerdictsInUse
from pipeline.rules.review import Review
from tests.pipeline.output.any_record import any_of
from tests.pipeline.output.formats.exported import ANY_RECORD, accepted, real_scan, real_scans, scan_of, some

PARSER = MarkdownIt("commonmark").enable("table")
HOSTILE = st.text(st.sampled_from("|`\\*_[]()<>#!&~$^@:/.hwt \n\r\t-+=1a\u202e\x1b\x85\u2028"), max_size=16) | st.text(
    max_size=16
)
HARMLESS = {"text", "text_special", "code_inline", "entity"}


def text(*scans: Scan) -> str:
    return b"".join(markdown(scans)).decode()


def cells(document: str) -> Iterator[list[Token]]:
    """The inline tokens of each cell of each table."""
    for token in PARSER.parse(document):
        if token.type == "inline":
            yield token.children or []


def shown(tokens: list[Token]) -> str:
    return "".join(token.content for token in tokens)


@given(HOSTILE)
@example("a|b")
@example("`|`")
@example("[x](javascript:alert(1))")
@example("<img src=x onerror=alert(1)>")
@example("&lt;b&gt;")
@example("\\|")
@example("![a](https://example.org/x)")
@example("``` \n# b")
def test_no_text_is_more_than_a_text(hostile: str) -> None:
    for write in (prose, name):
        document = f"| a | b |\n| --- | --- |\n| {write(hostile)} | end |\n"
        kinds = [token.type for token in PARSER.parse(document)]
        assert kinds.count("td_open") == 2
        assert kinds.count("th_open") == 2
        (*_, cell, end) = cells(document)
        assert {token.type for token in cell} <= HARMLESS
        assert shown(end) == "end"


@given(HOSTILE)
def test_a_text_shows_as_it_is(hostile: str) -> None:
    plain = printable(hostile)
    (*_, cell, _) = cells(f"| a | b |\n| --- | --- |\n| {prose(hostile)} | end |\n")
    assert shown(cell) == plain.strip(" ")
    if plain.strip(" "):
        (*_, cell, _) = cells(f"| a | b |\n| --- | --- |\n| {name(hostile)} | end |\n")
        assert shown(cell).strip(" ") == plain.strip(" ")


@pytest.mark.parametrize("link", ["https://example.org/x", "www.example.org", "HTTP://example.org", "mailto:a@b.cd"])
def test_what_github_would_make_a_link_of_is_broken(link: str) -> None:
    assert not re.search(r"(?i)(https?:|www\.|mailto:|[a-z]@)", prose(link))


@ANY_RECORD
@given(any_of(EnrichedFinding))
def test_any_record_makes_sound_tables(finding: EnrichedFinding) -> None:
    made = text(scan_of([finding]))
    assert_sound(made)
    assert printable(made.replace("\n", ""), 10**9) == made.replace("\n", "")


def assert_sound(document: str) -> None:
    """Nothing but text in all cells, and as many in each row as its table has columns."""
    columns = 0
    for token in PARSER.parse(document):
        if token.type == "thead_open":
            columns = 0
        columns += token.type == "th_open"
        assert token.type not in ("html_block", "fence", "code_block"), token
        if token.type == "inline":
            assert {child.type for child in token.children or []} <= HARMLESS | {"strong_open", "strong_close"}
    for line in document.splitlines():
        if line.startswith("|"):
            assert line.endswith(" |")


def test_every_real_scan_makes_sound_tables_and_says_all_that_fails() -> None:
    seen = 0
    for name_, scan in real_scans():
        made = text(scan)
        if "full" not in name_:  # the same kinds of findings, three thousand times
            assert_sound(made)
        record = scan.record
        assert record is not None
        for gap in record.compliance:
            section = made.partition(f"## {prose(gap.title)}\n")[2].partition("\n## ")[0]
            for kind in (gap.failing.sourced, gap.failing.derived, gap.failing.inferred):
                for control in kind:
                    row = next(line for line in section.splitlines() if line.startswith(f"| `{control.control}` |"))
                    assert "**failing**" in row
                    assert prose(control.title) in row
                    seen += 1
            assert f"{gap.coverage.named:,} of {gap.coverage.total:,} controls" in section
    assert seen > 500


def test_the_basis_of_a_control_is_that_of_the_scan_record() -> None:
    scan = real_scan("web01-ioc.json")
    assert scan.record is not None
    made = text(scan)
    for gap in scan.record.compliance:
        section = made.partition(f"## {prose(gap.title)}\n")[2].partition("\n## ")[0]
        for basis in ("sourced", "derived", "inferred"):
            for control in getattr(gap.failing, basis):
                row = next(line for line in section.splitlines() if line.startswith(f"| `{control.control}` |"))
                assert f" | {basis} | " in row


def test_an_accepted_risk_has_owner_last_day_and_who_decided_and_stays_evidence() -> None:
    base = some()
    review = Review(7, "accept", "finding", "eve", "2026-11-20T12:00:00Z", "x", "open", "high")
    finding = replace(accepted(base), review=review)
    finding = replace(finding, provenance=replace(finding.provenance, verdicts=VerdictsInUse(9, "a" * 64)))
    made = text(scan_of([finding]))
    row = next(line for line in made.splitlines() if line.startswith(f"| `{base.fingerprint}`"))
    for said in ("accepted", "ops", "2027-01-31", "replaced in January", "verdict 7, eve, 2026-11-20T12:00:00Z"):
        assert said in row
    assert f"up to number 9, `{'a' * 64}`" in made
    assert "of the failing accepted 1" in made
    assert made.count(base.fingerprint) == 2  # among the accepted ones, and as evidence


def test_an_acceptance_that_has_ended_is_named() -> None:
    record = real_scan("web01-ioc.json").record
    assert record is not None
    ended = ExpiredEntry("ops", "until the move", "2026-10-01", "mounts.tmp_noexec_missing", None)
    made = text(scan_of([some()], replace(record, policy=PolicySection("default", (ended,)))))
    section = made.partition("### Acceptances that have ended")[2].partition("\n## ")[0]
    assert "| `mounts.tmp_noexec_missing` | ops | 2026-10-01 | until the move |" in section


def test_what_is_missing_and_what_was_not_analysed_is_said() -> None:
    base = some()
    analysis = replace(base.analysis, fallback_reason="internal_error")
    made = text(scan_of([replace(base, analysis=analysis)], None, "Of 5 findings, 1 is here."))
    section = made.partition("## What this does not say")[2].partition("\n## ")[0]
    assert "that one is met, no scan can show" in section
    assert "- Of 5 findings, 1 is here." in section
    assert "- The record of the scan is not in the input" in section
    assert "- Not analysed because of a fault in the agent: 1." in section


def test_the_worst_comes_first() -> None:
    made = text(real_scan("web01-ioc.json"))
    section = made.partition("### At stake")[2].partition("\n## ")[0]
    levels = re.findall(r"^\| (critical|high|medium|low|info) \|", section, re.M)
    order = ["critical", "high", "medium", "low", "info"]
    assert levels == sorted(levels, key=order.index)
    assert levels[0] == "critical"


def test_the_same_scan_gives_the_same_bytes() -> None:
    scan = real_scan("web01-weird-names.json")
    assert text(scan) == text(scan)
