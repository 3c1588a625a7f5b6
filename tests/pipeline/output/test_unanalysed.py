"""What comes out where our own code fails: as published, with all that the report says."""

from dataclasses import replace
from typing import Any

import orjson

from pipeline.output.read import read_finding
from pipeline.output.unanalysed import unanalysed_finding, unanalysed_line, unanalysed_record
from pipeline.output.write import write
from tests.pipeline.schemas import contract
from tests.pipeline.sessions import (
    context_of,
    corpus,
    knowledge,
    report,
    reports,
    session_of,
    shared,
)

SCAN = "web01-ioc.json"


def test_lines_and_records_of_every_real_scan_are_as_published() -> None:
    made_by = shared().provenance
    for name in corpus():
        for parsed in reports(name):
            context = context_of(parsed)
            for seq, finding in enumerate(parsed.findings):
                line = unanalysed_line(context, seq, finding, None, made_by).line
                contract("enriched-1").check(orjson.loads(line))
            record = unanalysed_record(context, parsed.findings, None, knowledge(), "default", made_by)
            contract("scan-1").check(orjson.loads(write(record)))


def test_a_line_holds_all_that_the_report_says() -> None:
    context, raw = context_of(report(SCAN)), report(SCAN).findings[0]
    finding = read_finding(unanalysed_line(context, 0, raw, None, shared().provenance).line).finding
    assert (finding.id, finding.title, finding.severity, finding.score) == (raw.id, raw.title, raw.severity, raw.score)
    assert (finding.description, finding.metadata, finding.extra) == (raw.description, raw.metadata, raw.extra)


def test_a_line_carries_the_keys_of_the_index_where_there_is_one() -> None:
    session, made_by = session_of(report(SCAN), shared(), {}), shared().provenance
    context, raw, member = context_of(report(SCAN)), report(SCAN).findings[0], session.index.members[0]
    with_index = unanalysed_finding(context, 0, raw, member, made_by)
    assert (with_index.dedupe_key, with_index.fingerprint) == (member.dedupe_key, member.classified.fingerprint)
    without = unanalysed_finding(context, 0, raw, None, made_by)
    assert without.dedupe_key != with_index.dedupe_key
    assert without.dedupe_key != unanalysed_finding(context, 1, raw, None, made_by).dedupe_key


def test_what_cannot_be_written_as_json_is_left_out() -> None:
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    raw = replace(report(SCAN).findings[0], metadata={"deep": deep}, extra={"deep": deep})
    line = unanalysed_line(context_of(report(SCAN)), 0, raw, None, shared().provenance).line
    contract("enriched-1").whole.validate(orjson.loads(line))
    finding = read_finding(line).finding
    assert (finding.metadata, finding.extra, finding.title) == ({}, {}, raw.title)


def test_a_record_has_one_issue_that_names_lines() -> None:
    parsed, made_by = report(SCAN), shared().provenance
    context = context_of(parsed)
    record = unanalysed_record(context, parsed.findings, None, knowledge(), "default", made_by)
    keys = {unanalysed_finding(context, seq, raw, None, made_by).dedupe_key for seq, raw in enumerate(parsed.findings)}
    (issue,) = record.issues
    assert set(issue.examples) <= keys
    assert issue.lines == record.counts.lines == len(keys)
    assert "internal_error" in record.notes
    assert unanalysed_record(context, [], None, knowledge(), "default", made_by).issues == ()
