"""CSV that reads back as it was written, a line a finding, in which nothing that a host's owner names is a formula."""

import csv as standard
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.display import printable
from pipeline.output.formats.csv import BOM, COLUMNS, MISSING, cell, csv
from pipeline.output.formats.scan import Scan
from pipeline.output.records import EnrichedFinding
from tests.pipeline.output.any_record import any_of
from tests.pipeline.output.formats.exported import ANY_RECORD, accepted, real_scan, real_scans, scan_of, some

DOCUMENT = Path(__file__).parents[4] / "docs" / "export.md"
STARTS = "=+-@\uff1d\uff0b\uff0d\uff20"
HOSTILE = st.text(st.sampled_from("=+-@;,\"' \t\r\n|!a0\u202e\x1b\x85\u2028\uff1d"), max_size=12) | st.text(max_size=12)


def rows(*scans: Scan, bom: bool = False) -> list[dict[str, str]]:
    text = b"".join(csv(scans, bom=bom)).decode("utf-8-sig")
    return list(standard.DictReader(io.StringIO(text, newline=""), strict=True))


def test_every_real_scan_is_a_line_a_finding() -> None:
    seen = 0
    for name, scan in real_scans():
        written = b"".join(csv([scan]))
        findings = list(scan.findings())
        assert written.count(b"\r\n") == len(findings) + 1, name
        assert written.count(b"\n") == written.count(b"\r") == len(findings) + 1
        found = rows(scan)
        assert [row["dedupe_key"] for row in found] == [one.dedupe_key for one in findings]
        assert [row["level"] for row in found] == [one.risk.level for one in findings]
        assert all(None not in row and len(row) == len(COLUMNS) + 1 for row in found)
        seen += len(findings)
    assert seen > 6_000


def test_the_columns_are_the_documented_ones() -> None:
    section = DOCUMENT.read_text(encoding="utf-8").partition("## CSV")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z_]+)`", section, re.M) == [*COLUMNS, MISSING]


@given(HOSTILE)
@example("=1+1")
@example("a;=1+1")
@example(' "=1+1"')
@example("\t@SUM(1)")
@example("-2+3+cmd|' /C calc'!A0")
def test_no_cell_is_a_formula_whatever_is_in_it(text: str) -> None:
    for separator in ",;\t":
        line = f"{cell('a')},{cell(text)},{cell('b')}\r\n"
        (found,) = list(standard.reader([line], delimiter=separator))
        if separator == ",":
            assert len(found) == 3
        for value in found:
            assert not value.lstrip(' "').startswith(tuple(STARTS)), value


@given(HOSTILE)
def test_what_is_harmless_is_written_as_it_is_and_nothing_acts_on_a_terminal(text: str) -> None:
    (found,) = next(iter(standard.reader([cell(text)])))
    assert printable(found, 1_000) == found
    if text.isascii() and text.isprintable() and not any(mark in text for mark in "=+-@"):
        assert found == text


@ANY_RECORD
@given(any_of(EnrichedFinding))
def test_any_record_is_one_line(finding: EnrichedFinding) -> None:
    (row,) = rows(scan_of([finding]))
    assert row["dedupe_key"] == finding.dedupe_key
    assert row["score"] == str(finding.risk.score)


def test_a_mark_of_the_encoding_comes_only_where_it_is_asked_for() -> None:
    scan = real_scan("web01-weird-names.json")
    plain, marked = b"".join(csv([scan])), b"".join(csv([scan], bom=True))
    assert marked == BOM + plain
    assert not plain.startswith(BOM)
    assert list(rows(scan, bom=True)[0]) == list(rows(scan)[0])


def test_an_acceptance_says_who_until_when_and_why() -> None:
    (row,) = rows(scan_of([accepted(some())]))
    assert (row["status"], row["accepted_by"], row["accepted_until"]) == ("accepted", "ops", "2027-01-31")
    assert row["accepted_why"] == "replaced in January"


def test_what_was_not_analysed_and_what_is_missing_stand_in_the_line() -> None:
    base = some()
    analysis = replace(base.analysis, origin="rules", fallback_reason="internal_error")
    (row,) = rows(scan_of([replace(base, analysis=analysis)], None, "Of 5 findings, 1 is here."))
    assert row["not_analysed"] == "internal_error"
    assert row[MISSING].startswith("Of 5 findings, 1 is here. The record of the scan is not in the input")
    whole = real_scan("web01-ioc.json")
    assert {row[MISSING] for row in rows(whole)} == {""}


@pytest.mark.parametrize("name", ["/tmp/\u202egnp.sh", "/tmp/a\x1b[2Jb", "/tmp/a\nb", "/tmp/a\x9bb"])
def test_a_name_that_acts_on_a_terminal_is_escaped(name: str) -> None:
    base = some()
    (row,) = rows(scan_of([replace(base, slots={"path": name}, finding=replace(base.finding, title=name))]))
    assert row["about"].isprintable()
    assert "\\" in row["about"]
    assert row["title"] == row["about"]
