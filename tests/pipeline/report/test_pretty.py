"""The scanner's faulty --pretty pass can be run backwards, and only it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.limits import Limits
from pipeline.report.pretty import looks_damaged, undo_pretty
from pipeline.report.read import read_document

NAMES = st.text('ab:,{}[]\\" /', max_size=8)


def faulty_pass(text: str) -> str | None:
    """Do what the scanner does; None where it aborts."""
    out, depth, in_string, before = [], 0, False, ""
    for char in text:
        if char == '"' and before != "\\":
            in_string = not in_string
        before = char
        if in_string or char == '"':
            out.append(char)
        elif char in "{[":
            depth += 1
            out.append(char + "\n" + "  " * depth)
        elif char in "}]":
            depth -= 1
            if depth < 0:
                return None
            out.append("\n" + "  " * depth + char)
        elif char == ",":
            out.append(",\n" + "  " * depth)
        elif char == ":":
            out.append(": ")
        else:
            out.append(char)
    return "".join(out)


def record(name: str) -> str:
    fields = {"type": "finding", "scanner": "ioc", "id": name + "!", "severity": "low", "title": name}
    return json.dumps(fields, separators=(",", ":"))


@given(st.lists(NAMES, min_size=1, max_size=5))
def test_what_the_pass_did_is_undone_to_the_byte(names: list[str]) -> None:
    text = "\n".join(record(name) for name in names)
    damaged = faulty_pass(text)
    if damaged is not None:
        assert undo_pretty(damaged.encode()) == text.encode()


@given(st.lists(NAMES, min_size=1, max_size=5))
def test_no_damaged_value_is_ever_used(names: list[str]) -> None:
    text = "\n".join(record(name) for name in names)
    damaged = faulty_pass(text)
    if damaged is not None:
        (report,) = read_document(damaged.encode(), Limits()).reports
        assert [(finding.id, finding.title) for finding in report.findings] == [(name + "!", name) for name in names]


def test_text_that_another_tool_laid_out_is_left_alone() -> None:
    report = {
        "meta": {"hostname": "h"},
        "results": [
            {"scanner": "ioc", "findings": [{"id": "a\\", "severity": "low", "title": "x: y", "metadata": {}}]}
        ],
    }
    text = json.dumps(report, indent=2).encode()
    assert looks_damaged(text)
    (parsed,) = read_document(text, Limits()).reports
    assert (parsed.findings[0].id, parsed.findings[0].title) == ("a\\", "x: y")
    assert "pretty_damage" not in parsed.header.notes


def test_a_time_that_cannot_be_traced_back_is_repaired_and_ends_completeness() -> None:
    text = b'{"meta":{},"results":[],"summary":{"started_at":"2026-11-02T02: 11: 49Z"}}'
    (report,) = read_document(text, Limits()).reports
    assert report.header.started_at == "2026-11-02T02:11:49Z"
    assert ("pretty_damage" in report.header.notes, report.complete) == (True, False)
