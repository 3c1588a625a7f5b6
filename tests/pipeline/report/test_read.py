"""Whole files: what is used, what is left out, what waits."""

import gzip
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Incomplete, ReportError
from pipeline.finding import ParsedReport
from pipeline.report.limits import Limits
from pipeline.report.read import Document, is_stream, read_document
from tests.depth import examples

SCANS = Path(__file__).parents[2] / "data" / "scans"
SMALL = (SCANS / "web01-audit-partial.json").read_bytes()
PRETTY = (SCANS / "web01-base-pretty.json").read_bytes()
SARIF = (SCANS / "web01-base-default.sarif").read_bytes()
NDJSON = (SCANS / "web01-audit-error.ndjson").read_bytes()
SPICE = (b"{", b"}", b"[", b"]", b'"', b"\\", b"\n", b",", b":", b"\x00", b"\xff", b"NaN", b"1e999", b'"type":"meta"')


def report(*findings: bytes, extra: bytes = b"") -> bytes:
    body = b",".join(findings)
    return b'{"meta":{"hostname":"h"},"results":[{"scanner":"s","findings":[' + body + b"]}]" + extra + b"}"


def finding(**changes: bytes) -> bytes:
    fields = {"id": b'"x"', "severity": b'"low"', "title": b'"t"', "description": b'"d"', **changes}
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), value) for name, value in fields.items()) + b"}"


def only(raw: bytes) -> ParsedReport:
    (parsed,) = read_document(raw, Limits()).reports
    return parsed


def refusal(raw: bytes, final: bool = False) -> tuple[str, bool]:
    with pytest.raises(ReportError) as caught:
        read_document(raw, Limits(), final=final)
    return caught.value.reason, isinstance(caught.value, Incomplete)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_document_or_a_reason(raw: bytes) -> None:
    read_or_reason(raw)


@given(st.lists(st.sampled_from(SPICE) | st.binary(max_size=6), max_size=60).map(b"".join))
def test_any_soup_of_json_gives_a_document_or_a_reason(raw: bytes) -> None:
    read_or_reason(raw)


@settings(max_examples=examples(300))
@given(
    st.sampled_from((SMALL, SARIF[:4000] + b"]}]}", NDJSON, report(finding(), finding()))),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from(SPICE), st.integers(0, 5)), min_size=1, max_size=4),
)
def test_any_damage_gives_a_document_or_a_reason(raw: bytes, damage: list[tuple[float, bytes, int]]) -> None:
    for place, put, drop in damage:
        at = int(place * len(raw))
        raw = raw[:at] + put + raw[at + drop :]
    read_or_reason(raw)


def read_or_reason(raw: bytes) -> None:
    for final in (False, True):
        try:
            document = read_document(raw, Limits(), final=final)
        except ReportError as error:
            assert error.detail and "\n" not in error.detail
        else:
            assert isinstance(document, Document)
            orjson.dumps(document, default=bytes.hex)  # what is accepted can be written
    assert is_stream(raw, Limits()) in (True, False, None)


@pytest.mark.parametrize("raw", [SMALL, PRETTY, SARIF], ids=["compact", "pretty", "sarif"])
def test_no_cut_document_gives_a_finding(raw: bytes) -> None:
    body = raw.rstrip()
    for length in [*range(0, len(body), 97), len(body) - 1]:
        for final in (False, True):
            reason, waits = refusal(body[:length], final)
            assert (waits, reason in ("truncated", "empty")) == (True, True)


@given(st.integers(0, len(NDJSON)))
def test_a_cut_stream_gives_its_whole_lines_and_is_not_complete(length: int) -> None:
    try:
        document = read_document(NDJSON[:length], Limits())
    except ReportError as error:
        assert isinstance(error, Incomplete) or NDJSON[:length].count(b"\n") == 0
        return
    whole = only(NDJSON)
    (parsed,) = document.reports
    assert parsed.findings == whole.findings[: len(parsed.findings)]
    lines = NDJSON[:length].count(b"\n") + (length < len(NDJSON) and NDJSON[length : length + 1] == b"\n")
    assert len(parsed.findings) == max(0, lines - 3)
    assert parsed.complete is (len(parsed.findings) == len(whole.findings))


@given(st.lists(st.sampled_from((SMALL, PRETTY, SARIF)), min_size=1, max_size=4), st.sampled_from(([], [NDJSON])))
def test_whole_reports_back_to_back_are_all_read(parts: list[bytes], last: list[bytes]) -> None:
    parts = parts + last
    documents = [read_document(part, Limits()) for part in parts]
    joined = read_document(b"\n".join(part.strip() for part in parts), Limits())
    assert joined.rejects == ()
    assert [parsed.findings for parsed in joined.reports] == [
        parsed.findings for document in documents for parsed in document.reports
    ]


def test_a_report_among_the_lines_of_a_stream_is_rejected_not_lost() -> None:
    (parsed,) = read_document(NDJSON + SMALL, Limits()).reports
    assert [reject.reason for reject in parsed.rejects] == ["unknown_record"]
    assert parsed.findings == only(NDJSON).findings


def test_the_digest_is_that_of_the_report_not_of_its_file() -> None:
    first, second = read_document(SMALL + b"\n" + SMALL, Limits()).reports
    assert first == second == only(gzip.compress(SMALL)) == only(b"\n\n" + SMALL + b"\n")
    assert first.digest != only(report()).digest
    assert only(NDJSON).digest == only(NDJSON.replace(b"\n", b"\r\n\r\n")).digest


def test_a_whole_report_before_a_cut_one_waits_and_is_used_in_the_end() -> None:
    raw = SMALL + b"\n" + SMALL[:2000]
    assert refusal(raw) == ("truncated", True)
    document = read_document(raw, Limits(), final=True)
    assert document.reports == read_document(SMALL, Limits()).reports
    assert [(reject.reason, reject.offset) for reject in document.rejects] == [("truncated", len(SMALL) + 1)]


def test_a_report_behind_a_cut_one_is_used() -> None:
    document = read_document(SMALL[:2000] + b"\n" + SMALL, Limits())
    assert document.reports == read_document(SMALL, Limits()).reports
    assert [reject.offset for reject in document.rejects] == [0]


def test_a_log_line_inside_a_laid_out_report_is_taken_out() -> None:
    lines = PRETTY.split(b"\n")
    document = read_document(b"\n".join([*lines[:30], b"[WARN ] something", *lines[30:]]), Limits())
    (parsed,) = document.reports
    assert parsed.findings == only(PRETTY).findings
    assert (parsed.header.notes, [reject.reason for reject in document.rejects]) == (("log_lines",), ["log_line"])


def test_nothing_but_log_lines_waits() -> None:
    assert refusal(b"[INFO ] starting\n[INFO ] still here\n") == ("empty", True)


@pytest.mark.parametrize(
    ("changes", "reason", "path"),
    [
        ({"id": b"1.5"}, "wrong_type", "id"),
        ({"id": b"true"}, "wrong_type", "id"),
        ({"id": b'""'}, "missing_field", "id"),
        ({"id": b"NaN"}, "invalid_number", "id"),
        ({"severity": b"null"}, "wrong_type", "severity"),
        ({"severity": b'"grave"'}, "unknown_severity", "severity"),
        ({"title": b"[]"}, "wrong_type", "title"),
        ({"description": b'"a\x01b"'}, "control_character", "description"),
        ({"base_severity_score": b'"many"'}, "invalid_number", "base_severity_score"),
        ({"base_severity_score": b"1e400"}, "invalid_number", "base_severity_score"),
        ({"base_severity_score": b"9" * 30}, "invalid_number", "base_severity_score"),
        ({"metadata": b'"x"'}, "wrong_type", "metadata"),
        ({"metadata": b'{"a":[1,-Infinity]}'}, "invalid_number", "metadata.a[1]"),
        ({"metadata": b'{"a":1,"a":2}'}, "duplicate_key", "metadata.a"),
        ({"metadata": b'{"\xff":1,"\\\\xff":2}'}, "duplicate_key", "metadata.\\xff"),
        ({"metadata": b'{"a":' + b"[" * 90 + b"]" * 90 + b"}"}, "too_deep", "metadata.a"),
    ],
)
def test_a_finding_with_a_flaw_is_left_out_alone(changes: dict[str, bytes], reason: str, path: str) -> None:
    parsed = only(report(finding(), finding(**changes), finding(id=b'"y"')))
    assert [kept.id for kept in parsed.findings] == ["x", "y"]
    (reject,) = parsed.rejects
    assert (reject.reason, reject.path) == (reason, "results[0].findings[1]." + path)
    assert reject.excerpt.startswith(b'{"id":') and len(reject.excerpt) <= 512
    assert parsed.complete is False


def test_numbers_stand_for_strings_and_strings_for_numbers() -> None:
    parsed = only(
        report(finding(id=b"7", base_severity_score=b'"30"'), finding(id=b"9" * 25, base_severity_score=b"30"))
    )
    assert [(kept.id, kept.score) for kept in parsed.findings] == [("7", 30), ("9" * 25, 30)]


def test_a_big_integer_in_metadata_keeps_its_digits() -> None:
    (kept,) = only(report(finding(metadata=b'{"inode":123456789012345678901234}'))).findings
    assert kept.metadata == {"inode": "123456789012345678901234"}


def test_unknown_keys_are_kept() -> None:
    parsed = only(report(finding(colour=b'"red"'), extra=b',"weather":{"rain":true},"summary":{"new":1}'))
    assert parsed.findings[0].extra == {"colour": "red"}
    assert parsed.header.raw["weather"] == {"rain": True}
    assert parsed.header.raw["summary"] == {"new": 1}


def test_only_fields_with_bad_bytes_are_escaped_and_named() -> None:
    changes = {
        "id": b'"a\\\\\xff"',
        "title": b'"a\\\\b"',
        "metadata": b'{"p":"\\ud800","q\xfe":"\\\\"}',
        "new": b'"\x80"',
    }
    (kept,) = only(report(finding(**changes))).findings
    assert (kept.id, kept.title, kept.metadata) == ("a\\\\\\xff", "a\\b", {"p": "\\ud800", "q\\xfe": "\\"})
    assert kept.extra == {"new": "\\x80"}
    assert set(kept.escaped) == {"id", "metadata.p", "metadata.q\\xfe", "extra.new"}


def test_a_severity_is_normalised_with_its_word_kept() -> None:
    parsed = only(report(finding(severity=b'" HIGH"')))
    assert (parsed.findings[0].severity, parsed.findings[0].extra) == ("high", {"severity": " HIGH"})
    assert "severity_normalised" in parsed.header.notes


def test_an_equal_repetition_of_a_key_costs_nothing() -> None:
    parsed = only(
        report(b'{"id":"x","severity":"low","severity":"low"}', extra=b',"summary":{"finding_count_emitted":1}')
    )
    assert (len(parsed.findings), parsed.rejects, parsed.complete) == (1, (), True)


def test_repeated_results_and_findings_lose_nothing() -> None:
    section = b'{"scanner":"s","findings":[%s],"findings":[%s]}' % (finding(), finding(id=b'"y"'))
    raw = b'{"results":[%s],"meta":{"hostname":"h"},"results":[{"scanner":"t","findings":[%s]}]}'
    parsed = only(raw % (section, finding(id=b'"z"')))
    assert [(kept.scanner, kept.id) for kept in parsed.findings] == [("s", "x"), ("s", "y"), ("t", "z")]
    assert parsed.header.notes == ("duplicate_header_key",)


def test_a_header_that_contradicts_itself_claims_nothing() -> None:
    parsed = only(b'{"results":[],"meta":{"hostname":"a","hostname":"b","user":"root"}}')
    assert (parsed.header.host, parsed.header.user) == (None, "root")
    assert parsed.header.notes == ("duplicate_header_key",)


def test_findings_of_a_nameless_section_are_left_out_one_by_one() -> None:
    parsed = only(b'{"meta":{"a":1},"results":[{"findings":[%s,%s]}]}' % (finding(), finding()))
    assert [(reject.reason, reject.path) for reject in parsed.rejects] == [("missing_field", "results[0].scanner")] * 2


@pytest.mark.parametrize("value", [b"-1", b'"many"', b"1.5", b"[]", b"9" * 40, b"NaN"])
def test_a_count_that_is_none_ends_completeness(value: bytes) -> None:
    parsed = only(report(finding(), extra=b',"summary":{"finding_count_emitted":' + value + b"}"))
    assert (parsed.complete, parsed.header.emitted, "bad_header_field" in parsed.header.notes) == (False, None, True)


@pytest.mark.parametrize(
    ("stamp", "read", "note"),
    [
        ("2026-11-02T02:11:49Z", "2026-11-02T02:11:49Z", None),
        ("2026-11-02T04:11:49+02:00", "2026-11-02T02:11:49Z", None),
        ("", None, None),
        ("1970-01-01T00:00:00Z", None, None),
        ("yesterday", None, "bad_timestamp"),
        ("2026-02-30T00:00:00Z", None, "bad_timestamp"),
        ("0001-01-01T00:00:00+23:59", None, "bad_timestamp"),
    ],
)
def test_times_are_checked(stamp: str, read: str | None, note: str | None) -> None:
    parsed = only(report(extra=b',"summary":{"started_at":"%s"}' % stamp.encode()))
    assert parsed.header.started_at == read
    assert parsed.header.notes == ((note,) if note else ())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-be"])
def test_a_marked_encoding_is_read(encoding: str) -> None:
    mark = "\ufeff" if encoding.endswith("-be") else ""
    raw = (mark + SMALL.decode()).encode(encoding)
    assert read_document(raw, Limits()) == read_document(SMALL, Limits())
    assert refusal(raw[:1001]) == ("truncated", True)


def test_utf16_without_a_mark_is_refused_with_advice() -> None:
    assert refusal(SMALL.decode().encode("utf-16-le")) == ("encoding", False)


def test_line_separators_of_unicode_end_no_line() -> None:
    text = "a\u2028b\u2029c\u0085d"
    line = '{"type":"finding","scanner":"s","severity":"low","id":"' + text + '"}\n'
    assert only(line.encode()).findings[0].id == text


def test_levels_of_another_tool_follow_the_standard() -> None:
    def log(tool: str) -> bytes:
        results = ",".join(
            f'{{"ruleId":"{level}","level":"{level}"}}' for level in ("error", "warning", "note", "none")
        )
        return (
            f'{{"runs":[{{"tool":{{"driver":{{"name":"{tool}"}}}},"results":[{results},{{"ruleId":"x"}}]}}]}}'.encode()
        )

    other, own = only(log("other")), only(log("sys-scan"))
    assert [kept.severity for kept in other.findings] == ["high", "medium", "low", "info", "medium"]
    assert [kept.severity for kept in own.findings] == ["error", "medium", "low", "info"]
    assert [(reject.reason, reject.path) for reject in own.rejects] == [("missing_field", "runs[0].results[4].level")]
    assert other.findings[0].extra["level"] == "error"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"help: sys-scan [options]\n", "not_a_report"),
        (b"{}", "not_a_report"),
        (b"[1,2]", "not_a_report"),
        (b'{"results":null}', "no_results"),
        (b'{"runs":[]}', "no_results"),
        (b'{"runs":[{"results":{}}]}', "no_results"),
        (b'{"meta":{}}', "no_results"),
        (b'{"meta":{},}', "invalid_json"),
    ],
)
def test_what_is_no_report_is_refused(raw: bytes, reason: str) -> None:
    assert refusal(raw) == (reason, False)


def test_too_many_findings_or_flaws_are_refused() -> None:
    many = report(*[finding()] * 30)
    with pytest.raises(ReportError) as caught:
        read_document(many, Limits(max_findings=29))
    assert caught.value.reason == "too_large"
    for raw in (report(*[b"1"] * 30), b'{"type":"meta"}\n' + b"{}\n" * 30, b'{"a":1}\n' * 30):
        with pytest.raises(ReportError):
            read_document(raw, Limits(max_rejects=29))


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"", None),
        (b"\n\n  ", None),
        (b"\0\0\0", None),
        (b"\xef\xbb", None),
        (b"\x1f", None),
        (b"\x1f\x8b", False),
        (b"\xff\xfe{\0", False),
        (b"{", None),
        (b'{"typ', None),
        (b'{"type":"me', None),
        (b'{"type":"meta"', True),
        (b'{ "type" : "finding", ', True),
        (b"\xef\xbb\xbf" + b'{"type":"meta"', True),
        (b"\0\0" + b'{"type":"meta"', True),
        (b'{"collection_warnings":[]', False),
        (b'{"$schema":', False),
        (b'{\n  "type": "meta"', False),
        (b'{"id":"x","type":"finding"', None),
        (b'{"id":"x","type":"finding","severity":"low","scanner":"s"}\n', True),
        (b'{"id":"x"}\n', False),
        (b"[INFO ] sta", None),
        (b"[INFO ] started\n", None),
        (b'[INFO ] started\n\n{"type":"meta"', True),
        (b'[INFO ] started\n{"meta":', False),
        (b"usage: sys-scan\n", False),
    ],
)
def test_a_stream_is_told_from_its_first_bytes(head: bytes, answer: bool | None) -> None:
    assert is_stream(head, Limits()) is answer
