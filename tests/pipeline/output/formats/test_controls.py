"""What stands in the row of a control: only what bears its evidence and its basis."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.output.formats.controls import ControlsSeen, edition_beside
from pipeline.output.records import EnrichedFinding
from pipeline.rules.compliance import FRAMEWORKS, Control, Evidence
from tests.pipeline.output.formats.exported import real_scans, some


def about(path: str, control: Control) -> EnrichedFinding:
    return replace(some(), dedupe_key=path, slots={"path": path}, compliance=(control,))


def control(evidence: Evidence, **changes: Any) -> Control:
    base = Control("nist_800_53_r5", "AC-6", "Least Privilege", evidence, "sourced", "a book; a list")
    return replace(base, **changes)


def test_examples_are_those_that_say_what_all_say_together() -> None:
    seen = ControlsSeen()
    for number in range(9):
        seen.add(about(f"/disputed/{number}", control("disputed")))
        seen.add(about(f"/passed/{number}", control("supporting")))
    seen.add(about("/failing/a", control("failing")))
    seen.add(about("/failing/b", control("failing")))
    (row,) = seen.of("nist_800_53_r5")
    assert row.named(5) == ("/failing/a", "/failing/b")


def test_sources_are_those_of_the_basis_each_once() -> None:
    seen = ControlsSeen()
    seen.add(about("/a", control("failing", basis="inferred", source="judgement")))
    seen.add(about("/b", control("failing", source="a book; a list")))
    seen.add(about("/c", control("failing", source="a list; a page")))
    seen.add(about("/d", control("failing", basis="derived", source="a crosswalk")))
    (row,) = seen.of("nist_800_53_r5")
    assert (row.basis, row.sources_named) == ("sourced", "a book; a list; a page")
    assert row.named(2) == ("/b", "/c")


def test_sources_that_are_not_named_are_counted() -> None:
    seen = ControlsSeen()
    for number in range(8):
        seen.add(about(f"/{number}", control("failing", source=f"book {number}")))
    (row,) = seen.of("nist_800_53_r5")
    assert row.sources_named == "book 0; book 1; book 2; book 3; book 4; 3 more"


@pytest.mark.parametrize("named", ["web01-ioc.json", "db02-full.json.gz", "micro-nolsm.json"])
def test_rows_of_real_scans_bear_their_own_evidence(named: str) -> None:
    scan = next(scan for of, scan in real_scans() if of == named)
    seen = ControlsSeen()
    by_name: dict[tuple[str, str, str], set[str]] = {}
    for finding in scan.findings():
        seen.add(finding)
        path = ControlsSeen()
        path.add(finding)
        for framework in FRAMEWORKS:
            for one in path.of(framework):
                by_name.setdefault((framework, one.control, one.evidence), set()).update(one.named(1))
    rows = [row for framework in FRAMEWORKS for row in seen.of(framework)]
    assert len(rows) > 20
    for row in rows:
        assert row.named(5) and set(row.named(5)) <= by_name[row.framework, row.control, row.evidence]
        assert row.basis == "inferred" or "judgement" not in row.sources_named


@pytest.mark.parametrize(
    ("title", "edition", "beside"),
    [
        ("PCI DSS 4.0", "4.0, also valid for 4.0.1", "also valid for 4.0.1"),
        ("NIST Cybersecurity Framework 2.0", "2.0", ""),
        ("NIST SP 800-53 Rev. 5", "5.2.0", "5.2.0"),
        ("HIPAA Security Rule", "45 CFR 164", "45 CFR 164"),
    ],
)
def test_an_edition_is_said_once(title: str, edition: str, beside: str) -> None:
    assert edition_beside(title, edition) == beside
