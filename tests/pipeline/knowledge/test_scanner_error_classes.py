"""Scanners that gave up."""

import pytest

from pipeline.finding import RawFinding, ScanHeader
from tests.pipeline.knowledge.corpus import FILES, classify, knowledge, pairs, report, text

_SCANNERS = sorted({spec.scanner for spec in knowledge().classes.values()} - {"*"})


def failed(scanner: str, message: str) -> RawFinding:
    return RawFinding(scanner, f"{scanner}:error", "error", "Scanner error", message, 80)


@pytest.mark.parametrize("name", FILES)
def test_every_scanner_error_of_a_real_scan_gets_the_class(name: str) -> None:
    errors = [raw for raw in report(name).findings if raw.severity == "error"]
    found = [item for _, item in pairs(name, "scanner")]
    assert len(found) == len(errors)
    for item in found:
        assert (item.class_id, item.status, item.status_basis) == ("scanner.error", "error", "class")
        assert item.title == "Scanner error"


@pytest.mark.parametrize("scanner", _SCANNERS)
def test_any_scanner_can_fail_and_the_text_says_what_is_missing(scanner: str) -> None:
    header = ScanHeader(source_format="json", euid="0")
    raw = failed(scanner, "basic_string::at: out_of_range")
    found = classify(header, raw)
    assert (found.class_id, found.scanner) == ("scanner.error", scanner)
    assert found.features == {"scanner": scanner, "cause": "number", "user": "root"}
    assert "{message}" in text(header, raw, found)


def test_an_ordinary_user_is_told_to_run_the_scan_as_root() -> None:
    name = "web01-unpriv.json"
    ((raw, found),) = pairs(name, "scanner")
    assert found.features == {"scanner": "auditd", "cause": "permission", "user": "ordinary"}
    assert "Run the scan as root" in text(report(name).header, raw, found)


def test_ndjson_keeps_the_scanner_and_loses_the_message() -> None:
    name = "web01-audit-error.ndjson"
    ((raw, found),) = pairs(name, "scanner")
    assert (found.slots, found.description, found.restored) == ({"scanner": "auditd"}, "", ("title",))
    assert "leaves out" in text(report(name).header, raw, found)


def test_sarif_has_no_scanner_but_the_id_does() -> None:
    raw = RawFinding(None, "modules:error", "error", "Scanner error", "boom")
    found = classify(ScanHeader(source_format="sarif"), raw)
    assert (found.class_id, found.scanner) == ("scanner.error", "modules")


def test_a_scanner_that_nobody_knows_can_fail_too() -> None:
    header = ScanHeader(source_format="json")
    found = classify(header, failed("quantum", "Permission denied"))
    assert (found.class_id, found.features["scanner"]) == ("scanner.error", "other")


def test_the_absence_of_an_error_resolves_nothing() -> None:
    assert knowledge().classes["scanner.error"].absence == "not_observed"
