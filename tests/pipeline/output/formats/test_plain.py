"""Our own records: what is written is read back as the same, and held to the published schemas."""

import json as standard
from dataclasses import replace

from hypothesis import given

from pipeline.output.formats.plain import json, ndjson
from pipeline.output.lines import scan_lines, without_samples
from pipeline.output.read import read_finding, read_scan, read_verdict
from pipeline.output.records import EnrichedFinding, VerdictRecord
from pipeline.output.write import write
from tests.pipeline.output.any_record import any_of, full
from tests.pipeline.output.formats.exported import ANY_RECORD, real_scan, real_scans, scan_of, some
from tests.pipeline.schemas import contract


def test_lines_are_the_ones_that_were_saved() -> None:
    for name, scan in real_scans():
        assert scan.record is not None
        written = b"".join(ndjson([scan])).splitlines()
        saved = [write(finding) for finding in scan.findings()]
        assert written == [*saved, *scan_lines(scan.record)], name


@ANY_RECORD
@given(any_of(EnrichedFinding))
def test_any_record_is_read_back_as_the_same(finding: EnrichedFinding) -> None:
    (line,) = b"".join(ndjson([scan_of([finding])])).splitlines()
    read = read_finding(line)
    assert replace(read, cut=None) == replace(finding, cut=None)
    assert (read.cut and read.cut.parts) == (finding.cut and finding.cut.parts), "the command is written anew"


def test_verdicts_come_behind() -> None:
    record: VerdictRecord = full(VerdictRecord)
    *_, last = b"".join(ndjson([scan_of([some()])], [record])).splitlines()
    assert read_verdict(last) == record


def test_a_document_holds_the_same_records() -> None:
    scans = [real_scan("web01-ioc.json"), real_scan("db02-default.json")]
    record: VerdictRecord = full(VerdictRecord)
    document = standard.loads(b"".join(json(scans, [record])))
    assert (document["schema"], len(document["verdicts"])) == ("sysscan.export/1", 1)
    contract("export-1").whole.validate(document)
    for scan, held in zip(scans, document["scans"], strict=True):
        assert (held["scan_id"], held["host"], held["missing"]) == (scan.scan_id, scan.host, [])
        assert [read_finding(standard.dumps(one).encode()) for one in held["findings"]] == list(scan.findings())
        assert scan.record is not None
        assert read_scan(standard.dumps(held["record"]).encode()) == without_samples(scan.record)
        for one in held["findings"]:
            contract("enriched-1").check(one)
        contract("scan-1").check(held["record"])


def test_a_document_says_what_is_missing() -> None:
    document = standard.loads(b"".join(json([scan_of([some()], None, "Of 5 findings, 1 is here.")])))
    contract("export-1").whole.validate(document)
    (scan,) = document["scans"]
    assert scan["record"] is None
    assert [one["id"] for one in scan["missing"]] == ["input", "no_record"]
    assert scan["missing"][0]["text"] == "Of 5 findings, 1 is here."


def test_no_scans_are_an_empty_document() -> None:
    assert standard.loads(b"".join(json([]))) == {"schema": "sysscan.export/1", "scans": [], "verdicts": []}
