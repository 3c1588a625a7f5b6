"""Lines of a stream: each by itself, and together."""

from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.report.records import BadLine, BlankLine, FindingLine, HeaderLine, MetaLine, StreamRecord
from pipeline.report.stream import parse_line, stream_header

SCANS = Path(__file__).parents[2] / "data" / "scans"
RAW = (SCANS / "malformed" / "ndjson-unknown-types.ndjson").read_bytes() + (SCANS / "web01-ioc.ndjson").read_bytes()
FINDING = b'{"type":"finding","scanner":"s","id":"x","severity":"low","base_severity_score":30}'


def bad(line: bytes, limits: Limits | None = None) -> tuple[str, int | None]:
    record = parse_line(line, 100, limits or Limits())
    assert isinstance(record, BadLine)
    return record.reject.reason, record.reject.offset


def by_chunks(chunks: list[bytes]) -> list[StreamRecord]:
    """Read as a tailing source does: whole lines only, the rest kept for later."""
    records, rest, offset = [], b"", 0
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            records.append(parse_line(line, offset, Limits()))
            offset += len(line) + 1
    return records


@given(st.lists(st.integers(0, len(RAW)), max_size=12))
def test_records_do_not_depend_on_where_the_stream_was_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(RAW)]
    chunks = [RAW[start:end] for start, end in pairwise(edges)]
    assert by_chunks(chunks) == by_chunks([RAW])


@given(st.binary(max_size=80))
def test_any_line_is_a_record_with_a_reason_if_bad(line: bytes) -> None:
    record = parse_line(line, 7, Limits())
    if isinstance(record, BadLine):
        assert record.reject.detail and record.reject.offset == 7
    orjson.dumps(record, default=lambda raw: raw.hex())


def test_kinds_of_lines_are_told_apart() -> None:
    assert isinstance(parse_line(b'{"type":"meta","hostname":"h"}\n', 0, Limits()), MetaLine)
    for kind in ("summary", "summary_extension", "timing"):
        record = parse_line(b'{"type":"%s"}' % kind.encode(), 0, Limits())
        assert isinstance(record, HeaderLine) and record.kind == kind
    record = parse_line(FINDING + b"\r\n", 0, Limits())
    assert isinstance(record, FindingLine)
    assert (record.line, record.finding.id, record.finding.score) == (FINDING, "x", 30)
    assert (record.finding.title, record.finding.description, record.finding.extra) == (None, None, {})
    for blank in (b"", b"\n", b" \t\r\n", b"\0\0\0\n"):
        assert parse_line(blank, 0, Limits()) == BlankLine()


def test_a_line_behind_a_hole_is_read() -> None:
    assert isinstance(parse_line(b"\0" * 4096 + FINDING, 0, Limits()), FindingLine)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (FINDING[:-5], "truncated"),
        (FINDING + FINDING, "trailing_data"),
        (b"[INFO ] hello", "log_line"),
        (b"[1,2]", "unknown_record"),
        (b"null", "unknown_record"),
        (b'{"type":"heartbeat"}', "unknown_record"),
        (b'{"type":["finding"]}', "unknown_record"),
        (b"hello", "invalid_json"),
        (b'{"type":"finding","id":"x","severity":"low"}', "missing_field"),
        (FINDING.replace(b'"x"', b'{"a":1}'), "wrong_type"),
        (FINDING.replace(b"30", b"NaN"), "invalid_number"),
        (FINDING.replace(b'"id"', b'"id":"y","id"'), "duplicate_key"),
        (FINDING.replace(b'"x"', b'"a\x02"'), "control_character"),
        (FINDING.replace(b"30", b'30,"m":' + b"[" * 80 + b"]" * 80), "too_deep"),
    ],
)
def test_a_bad_line_says_why(line: bytes, reason: str) -> None:
    assert bad(line) == (reason, 100)


def test_a_line_past_the_limit_is_refused_and_one_at_it_is_not() -> None:
    limits = Limits.model_construct(max_line_bytes=len(FINDING))
    assert isinstance(parse_line(FINDING + b"\r\n", 0, limits), FindingLine)
    assert bad(FINDING + b"   ", limits) == ("line_too_long", 100)


def test_names_with_bad_bytes_and_techniques_are_read() -> None:
    record = parse_line(
        FINDING.replace(b'"x"', b'"x\xff"').replace(b"30", b'30,"mitre_techniques":"T1, T2,,T1"'), 0, Limits()
    )
    assert isinstance(record, FindingLine)
    assert (record.finding.id, record.finding.escaped, record.finding.techniques) == ("x\\xff", ("id",), ("T1", "T2"))


def test_a_header_comes_from_the_first_lines() -> None:
    meta = parse_line(b'{"type":"meta","hostname":"h","euid":0,"cmdline":"sys-scan --rules-enable "}', 0, Limits())
    lines = [
        b'{"type":"summary","finding_count_emitted":"3"}',
        b'{"type":"timing","scanner":"ioc"}',
        b'{"type":"timing","scanner":"mac"}',
        b'{"type":"summary","finding_count_emitted":4}',
    ]
    headers = [record for line in lines if isinstance(record := parse_line(line, 0, Limits()), HeaderLine)]
    assert isinstance(meta, MetaLine)
    header = stream_header(meta, headers)
    assert (header.host, header.euid, header.emitted, header.rules_enabled) == ("h", "0", 3, True)
    assert [timing["scanner"] for timing in header.raw["timings"]] == ["ioc", "mac"]
    assert (header.notes, header.scanners) == (("duplicate_header_key",), ())
    assert stream_header(None, []).notes == ("no_meta",)


def test_findings_before_the_first_meta_are_a_report_of_their_own() -> None:
    meta = b'{"type":"meta","hostname":"h"}'
    summary = b'{"type":"summary","finding_count_emitted":1}'
    first, second = read_document(b"\n".join([FINDING, meta, summary, FINDING]), Limits()).reports
    assert (first.header.host, first.complete, first.header.notes) == (None, False, ("no_meta",))
    assert (second.header.host, second.complete) == ("h", True)


def test_a_summary_before_its_meta_belongs_to_it() -> None:
    meta = b'{"type":"meta","hostname":"h"}'
    summary = b'{"type":"summary","finding_count_emitted":1}'
    (report,) = read_document(b"\n".join([summary, meta, FINDING]), Limits()).reports
    assert (report.header.host, report.complete) == ("h", True)


def test_a_missing_or_surplus_finding_is_noticed() -> None:
    start = b'{"type":"meta","hostname":"h"}\n{"type":"summary","finding_count_emitted":2}\n'
    for count, complete in ((1, False), (2, True), (3, False)):
        (report,) = read_document(start + (FINDING + b"\n") * count, Limits()).reports
        assert (report.complete, "count_mismatch" in report.header.notes) == (complete, not complete)
