"""A byte order mark is no content, wherever a document, a line or a compressed member begins."""

import gzip
import json

import pytest

from pipeline.report.limits import Limits
from pipeline.report.read import is_stream, read_document

MARK = b"\xef\xbb\xbf"
META = b'{"type":"meta","tool_version":"6.0.0","schema":"2","hostname":"vm","cmdline":"sys-scan --ndjson "}\n'


def report(name: str) -> bytes:
    finding = {"id": name, "title": "t", "description": "d", "severity": "low"}
    return json.dumps({"meta": {"hostname": "vm"}, "results": [{"scanner": "s", "findings": [finding]}]}).encode()


def line(name: str) -> bytes:
    return b'{"type":"finding","scanner":"s","id":"%s","severity":"low"}\n' % name.encode()


def ids(raw: bytes) -> list[str]:
    document = read_document(raw, Limits(), final=True)
    assert document.rejects == ()
    return [finding.id for one in document.reports for finding in one.findings]


@pytest.mark.parametrize("between", [b"", b"\n", b" ", b"\r\n\r\n", b"\0\0"])
@pytest.mark.parametrize("mark", [MARK, MARK + MARK, b"\n" + MARK, MARK + b"\n", MARK + b"\0" + MARK])
def test_reports_behind_each_other(between: bytes, mark: bytes) -> None:
    assert ids(mark + report("1") + between + mark + report("2") + between + mark + report("3")) == ["1", "2", "3"]


def test_a_mark_at_the_end_is_none_either() -> None:
    assert ids(report("1") + MARK) == ["1"]
    assert ids(MARK + report("1") + b"\n" + MARK + b"\n") == ["1"]


def test_a_mark_before_a_report_does_not_change_which_one_it_is() -> None:
    plain, marked = (read_document(raw, Limits()).reports[0].digest for raw in (report("1"), MARK + report("1")))
    assert plain == marked


def test_lines() -> None:
    raw = MARK + META + MARK + MARK + line("1") + b" " + MARK + line("2")
    assert ids(raw) == ["1", "2"]
    assert is_stream(raw, Limits()) is True
    assert is_stream(b"\n" + MARK + META, Limits()) is True
    assert is_stream(b"[INFO ] started\n" + MARK + META, Limits()) is True


def test_a_stream_behind_a_report() -> None:
    assert ids(report("1") + b"\n" + MARK + META + line("2")) == ["1", "2"]


def test_compressed_members() -> None:
    assert ids(gzip.compress(MARK + report("1")) + gzip.compress(MARK + report("2"))) == ["1", "2"]


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_wide_characters(name: str) -> None:
    text = f"﻿{report('1').decode()}\n﻿{report('2').decode()}"
    assert ids(text.encode(name)) == ["1", "2"]


def test_a_mark_inside_of_a_value_is_content() -> None:
    assert ids(report("1").replace(b'"id": "1"', b'"id": "' + MARK + b'1"')) == ["﻿1"]


def test_a_cut_report_before_a_marked_one_is_left_out_alone() -> None:
    document = read_document(report("1")[:-9] + b"\n" + MARK + report("2"), Limits(), final=True)
    assert [finding.id for one in document.reports for finding in one.findings] == ["2"]
    assert [reject.reason for reject in document.rejects] == ["invalid_json"]
