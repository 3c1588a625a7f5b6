"""Every real report of the scanner is read whole."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.report.limits import Limits
from pipeline.report.read import is_stream, read_document

SCANS = Path(__file__).parents[2] / "data" / "scans"
INDEX = json.loads((SCANS / "index.json").read_bytes())
ENTRIES = INDEX["files"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])
def test_a_real_report_gives_all_its_findings_and_nothing_odd(entry: dict[str, Any]) -> None:
    document = read_document((SCANS / entry["file"]).read_bytes(), Limits())
    (report,) = document.reports
    assert document.rejects == report.rejects == ()
    assert (len(report.findings), report.complete, report.header.notes) == (entry["findings"], True, ())
    assert Counter(finding.severity for finding in report.findings) == entry["severity_counts"]
    if entry["format"] != "sarif":
        assert Counter(finding.scanner for finding in report.findings) == entry["findings_by_scanner"]
        assert report.header.emitted == entry["findings"]


def test_the_corpus_has_14297_findings() -> None:
    assert len(ENTRIES) == 60
    total = sum(
        len(report.findings)
        for entry in ENTRIES
        for report in read_document((SCANS / entry["file"]).read_bytes(), Limits()).reports
    )
    assert total == INDEX["findings_total"] == 14297


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])
def test_only_uncompressed_ndjson_is_a_stream(entry: dict[str, Any]) -> None:
    raw = (SCANS / entry["file"]).read_bytes()
    assert is_stream(raw, Limits()) is (entry["format"] == "ndjson" and not entry["gzip"])
    plain = gzip.decompress(raw) if entry["gzip"] else raw
    assert is_stream(plain[:4096], Limits()) is (entry["format"] == "ndjson")


def test_a_report_says_the_same_gzipped_plain_and_laid_out() -> None:
    raw = (SCANS / "web01-base-full.json.gz").read_bytes()
    plain = gzip.decompress(raw)
    laid_out = orjson.dumps(orjson.loads(plain), option=orjson.OPT_INDENT_2)
    (zipped,), (bare,), (indented,) = (read_document(data, Limits()).reports for data in (raw, plain, laid_out))
    assert zipped == bare
    assert (indented.findings, indented.header) == (bare.findings, bare.header)


def test_what_is_accepted_can_be_written_again() -> None:
    for entry in ENTRIES:
        (report,) = read_document((SCANS / entry["file"]).read_bytes(), Limits()).reports
        orjson.dumps(report)


def test_the_header_of_a_real_report_is_filled() -> None:
    (report,) = read_document((SCANS / "db02-full.json.gz").read_bytes(), Limits()).reports
    header = report.header
    assert (header.host, header.os_id, header.euid, header.user) == ("db02", "debian", "0", "root")
    assert header.started_at and header.finished_at and header.kernel and header.effective_config
    assert (header.emitted, header.scanners[0], len(header.scanners)) == (3176, "processes", len(set(header.scanners)))


def test_zeroed_times_are_none() -> None:
    (report,) = read_document((SCANS / "web01-base-canonical-zero.json").read_bytes(), Limits()).reports
    assert (report.header.started_at, report.header.finished_at, report.header.notes) == (None, None, ())


def test_a_filtered_scan_says_so_in_both_formats() -> None:
    (report,) = read_document((SCANS / "web01-base-min-high.json").read_bytes(), Limits()).reports
    assert report.header.min_severity == "high"
    line = b'{"type":"meta","cmdline":"sys-scan --ndjson --min-severity medium "}\n'
    (stream,) = read_document(line, Limits()).reports
    assert stream.header.min_severity == "medium"


def test_rules_are_known_to_have_run_in_both_formats() -> None:
    for name, expected in (("web01-wk2-rules", True), ("web01-base-default", False)):
        for suffix in (".json", ".ndjson"):
            (report,) = read_document((SCANS / (name + suffix)).read_bytes(), Limits()).reports
            assert report.header.rules_enabled is expected


def test_techniques_are_the_same_in_all_formats() -> None:
    found = []
    for suffix in (".json", ".ndjson", ".sarif"):
        (report,) = read_document((SCANS / ("web01-wk2-rules" + suffix)).read_bytes(), Limits()).reports
        found.append([(finding.id, finding.techniques) for finding in report.findings if finding.techniques])
    assert found[0] and found[0][0][1]
    assert {item for part in found for item in part} >= set(found[1])


def test_sarif_text_is_title_and_description() -> None:
    (report,) = read_document((SCANS / "web01-base-default.sarif").read_bytes(), Limits()).reports
    first = report.findings[0]
    assert (first.title, first.description) == ("/proc/sys/kernel/randomize_va_space", "ASLR should be full (2)")
    assert (first.scanner, first.score, report.header.host) == (None, 10, None)
