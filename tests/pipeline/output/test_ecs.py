"""Lines for the Elastic Common Schema: its fields have its types, and the record in them is whole."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.output.cut import LineRecord
from pipeline.output.ecs import ecs_line, plain_line
from pipeline.output.lines import LONGEST, line_of, scan_records
from pipeline.output.records import EnrichedFinding, IssueRecord, ScanLine, VerdictRecord
from pipeline.output.write import write
from tests.pipeline.output.any_record import full
from tests.pipeline.output.formats.exported import real_scan
from tests.pipeline.output.test_lines import hostile, made

KINDS: tuple[type, ...] = (EnrichedFinding, IssueRecord, ScanLine, VerdictRecord)

# Copied by hand from the ECS field reference, version 8.11
# (https://www.elastic.co/guide/en/ecs/8.11/ecs-field-reference.html): "array" is what it notes so.
TYPES = {
    "@timestamp": "date",
    "ecs.version": "keyword",
    "event.action": "keyword",
    "event.category": "keyword array",
    "event.dataset": "keyword",
    "event.end": "date",
    "event.id": "keyword",
    "event.kind": "keyword",
    "event.module": "keyword",
    "event.outcome": "keyword",
    "event.provider": "keyword",
    "event.reason": "keyword",
    "event.risk_score": "float",
    "event.severity": "long",
    "event.start": "date",
    "event.type": "keyword array",
    "host.architecture": "keyword",
    "host.hostname": "keyword",
    "host.name": "keyword",
    "host.os.full": "keyword",
    "host.os.kernel": "keyword",
    "host.os.type": "keyword",
    "message": "match_only_text",
    "observer.product": "keyword",
    "observer.type": "keyword",
    "observer.version": "keyword",
    "related.hosts": "keyword array",
    "rule.category": "keyword",
    "rule.id": "keyword",
    "rule.name": "keyword",
    "rule.ruleset": "keyword",
    "rule.version": "keyword",
    "threat.framework": "keyword",
    "threat.technique.id": "keyword array",
    "threat.technique.name": "keyword array",
    "user.name": "keyword",
}
# The allowed values that the same reference lists for these, as far as they are ours.
ALLOWED = {
    "event.kind": {"alert", "event", "state"},
    "event.category": {"configuration", "host"},
    "event.type": {"info", "change"},
    "event.outcome": {"success", "failure", "unknown"},
    "host.os.type": {"linux", "macos", "unix", "windows", "ios", "android"},
}
REQUIRED = {"@timestamp", "ecs.version", "event.kind", "event.dataset", "event.id", "message"}
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


FITS: dict[str, Callable[[object], bool]] = {
    "date": lambda value: isinstance(value, str) and _DATE.fullmatch(value) is not None,
    "long": lambda value: type(value) is int,
    "float": lambda value: type(value) is float,
}


def fields(document: dict[str, Any], way: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from fields(value, f"{way}{key}.")
        else:
            yield f"{way}{key}", value


def check(line: bytes) -> dict[str, Any]:
    """Hold a line to the types; gives it."""
    document: dict[str, Any] = orjson.loads(line)
    assert isinstance(document.pop("sysscan"), dict)
    found = dict(fields(document))
    assert found.keys() >= REQUIRED
    for name, value in found.items():
        kind = TYPES[name]
        values = value if kind.endswith("array") else [value]
        assert isinstance(values, list) and values, name
        for one in values:
            assert FITS.get(kind.split()[0], _is_text)(one), (name, one)
            assert one in ALLOWED.get(name, {one}), (name, one)
    return document


def records() -> Iterator[LineRecord]:
    scan = real_scan("web01-ioc.json")
    yield from scan.findings()
    assert scan.record is not None
    yield from scan_records(write(scan.record))


def test_every_field_has_the_type_of_the_schema_and_the_record_comes_back() -> None:
    seen = set()
    for record in records():
        line = ecs_line(record)
        seen |= {name for name, _ in fields(check(line))}
        assert plain_line(line) == plain_line(line + b"\n") == line_of(record)
        assert len(line) < LONGEST
    assert seen >= {"rule.id", "threat.technique.id", "host.os.kernel", "event.outcome", "observer.version"}


def test_a_finding_says_what_it_is_in_their_fields() -> None:
    (finding,) = (one for one in real_scan("web01-ioc.json").findings() if one.class_ == "ioc.deleted_executable")
    document = check(ecs_line(finding))
    assert document["@timestamp"] == finding.observed_at
    assert document["host"]["name"] == "web01"
    assert document["event"]["kind"] == "alert"
    assert (document["event"]["severity"], document["event"]["risk_score"]) == (99, 90.0)
    assert document["rule"]["id"] == finding.class_
    assert document["message"].endswith(finding.analysis.assessment[-40:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_holds_everything_fits_the_schema(kind: type) -> None:
    check(ecs_line(full(kind)))


@hostile
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 1 << 30), share=st.sampled_from([0.05, 1.0]))
def test_a_line_is_short_enough_whatever_is_in_it(kind: type, seed: int, share: float) -> None:
    record = made(kind, seed, share)
    line = ecs_line(record)
    assert len(line) < LONGEST
    check(line)
    if len(write(record)) > LONGEST:
        assert orjson.loads(line)["sysscan"]["cut"]["parts"]


def test_text_of_a_report_cannot_pass_for_the_record() -> None:
    finding = next(real_scan("web01-ioc.json").findings())
    title = 'x","sysscan":{"schema":"sysscan.enriched/1"}}'
    named = replace(finding, finding=replace(finding.finding, title=title), host='h","sysscan":{}}')
    assert plain_line(ecs_line(named)) == write(named)


@pytest.mark.parametrize("line", [b"", b"{}", b'{"@timestamp":1}', b'{"@timestamp":1,"sysscan":{}', b"not json"])
def test_another_line_stays_as_it_is(line: bytes) -> None:
    assert plain_line(line) == line
