"""The reader: what was written comes back equal, earlier versions' records too, and nothing else is a record."""

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from pipeline.errors import RecordError
from pipeline.output.read import _ADDED, read_finding, read_issue, read_scan, read_scan_line, read_verdict
from pipeline.output.records import Analysis, EnrichedFinding, Issue, IssueRecord, ScanLine, ScanRecord, VerdictRecord
from pipeline.output.write import write
from pipeline.rules.compliance import FrameworkGap
from tests.depth import examples
from tests.pipeline.output.any_record import any_of, full, keys_of
from tests.pipeline.schemas import contract
from tests.pipeline.sessions import all_by_rules, lines_of, report, session_of, shared

PUBLISHED = [
    ("enriched-1", EnrichedFinding, read_finding),
    ("issue-1", IssueRecord, read_issue),
    ("scan-line-1", ScanLine, read_scan_line),
    ("scan-1", ScanRecord, read_scan),
    ("verdict-1", VerdictRecord, read_verdict),
]


@contextmanager
def _put(holder: dict[str, Any], key: str, value: object) -> Iterator[None]:
    """Let a key hold another value for a while."""
    before = holder[key]
    holder[key] = value
    yield
    holder[key] = before


@contextmanager
def _dropped(holder: dict[str, Any], key: str) -> Iterator[None]:
    """Let a key be missing for a while."""
    before = holder.pop(key)
    yield
    holder[key] = before


thorough = settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@thorough
@given(any_of(EnrichedFinding))
def test_any_finding_comes_back_equal_and_is_as_published(record: EnrichedFinding) -> None:
    assert read_finding(write(record)) == record
    contract("enriched-1").whole.validate(orjson.loads(write(record)))


@thorough
@given(any_of(ScanRecord))
def test_any_scan_record_comes_back_equal_and_is_as_published(record: ScanRecord) -> None:
    assert read_scan(write(record)) == record
    contract("scan-1").whole.validate(orjson.loads(write(record)))


def test_what_real_scans_give_is_written_again_byte_by_byte() -> None:
    for _, lines, record in all_by_rules():
        for line in lines[::7]:
            assert write(read_finding(line.line)) == line.line
        assert write(read_scan(orjson.dumps(record))) == orjson.dumps(record, option=orjson.OPT_SORT_KEYS)


def test_a_session_s_record_comes_back_equal() -> None:
    session = session_of(report("web01-ioc.json"), shared(), {})
    lines_of(session)
    assert read_scan(write(session.record())) == session.record()


@pytest.mark.parametrize(("name", "record", "read"), PUBLISHED)
def test_a_key_that_is_missing_or_of_the_wrong_type_is_refused_by_schema_and_reader(
    name: str, record: type, read: Any
) -> None:
    whole, document = contract(name).whole, orjson.loads(write(full(record)))
    whole.validate(document)
    forgiven, tried = set(), 0
    for way, holder in list(keys_of(document)):
        key = way[-1]
        assert isinstance(key, str)
        for wrong in (17.5, [17.5], {"surprise": 17.5}):
            if isinstance(wrong, dict) and isinstance(holder[key], dict):  # its own keys have their turn
                continue
            with _put(holder, key, wrong):
                assert not whole.is_valid(document), way
                with pytest.raises(RecordError):
                    read(orjson.dumps(document))
        with _dropped(holder, key):
            if not whole.is_valid(document):
                try:
                    read(orjson.dumps(document))
                    forgiven.add(key)
                except RecordError as error:
                    assert key in str(error) and "is missing" in str(error)
        tried += 1
    assert tried > (35 if record in (VerdictRecord, IssueRecord) else 60)
    kinds: dict[type, set[type]] = {
        EnrichedFinding: {Analysis}, ScanRecord: {Issue, ScanRecord, FrameworkGap}, ScanLine: {FrameworkGap},
    }  # fmt: skip
    of = kinds.get(record, set())
    assert forgiven == {key for kind, key in _ADDED if kind in of}


def test_a_line_from_before_a_model_could_answer_is_read() -> None:
    document = orjson.loads(write(full(EnrichedFinding)))
    for key in ("text_by", "action", "controls", "techniques"):
        del document["analysis"][key]
    analysis = read_finding(orjson.dumps(document)).analysis
    assert analysis.text_by == analysis.origin == document["analysis"]["origin"]
    assert (analysis.action, analysis.controls, analysis.techniques) == (None, (), ())


def test_a_scan_record_of_the_first_version_is_read() -> None:
    document = orjson.loads(write(full(ScanRecord)))
    del document["min_severity"], document["issues"][0]["assessment"], document["issues"][0]["impact"]
    record = read_scan(orjson.dumps(document))
    assert record.min_severity is None
    assert (record.issues[0].assessment, record.issues[0].impact) == ("", "")


@pytest.mark.parametrize(("name", "record", "read"), PUBLISHED)
def test_keys_that_a_newer_version_added_are_passed_over(name: str, record: type, read: Any) -> None:
    made = full(record)
    document = orjson.loads(write(made))
    plain = copy.deepcopy(document)
    for way, holder in list(keys_of(document)):
        parent = way[-2] if len(way) > 1 and isinstance(way[-2], str) else ""
        if parent not in ("status", "level", "baseline", "states"):  # there, keys are words
            holder.setdefault("surprise", 1)
    if "baseline" in plain:
        document.setdefault("baseline", plain["baseline"])
    assert read(orjson.dumps(document)) == made


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "expected an object, not a list"),
        (b"{}", "schema: is missing"),
        (b'{"schema":"sysscan.enriched/2"}', "schema: 'sysscan.enriched/2' is none of sysscan.enriched/1"),
        (b'{"schema":1}', "schema: expected text, not a number"),
    ],
)
def test_what_is_no_finding_is_refused_with_place_and_reason(line: bytes, why: str) -> None:
    with pytest.raises(RecordError, match=re.escape(why)):
        read_finding(line)


def test_the_reason_names_the_way_to_the_value() -> None:
    document = orjson.loads(write(full(ScanRecord)))
    document["issues"][0]["do_first"]["command"] = 5
    with pytest.raises(RecordError, match=re.escape("issues[0].do_first.command: expected text, not a number")):
        read_scan(orjson.dumps(document))
    document = orjson.loads(write(full(ScanRecord)))
    document["counts"]["level"]["grave"] = 5
    with pytest.raises(RecordError, match=re.escape("counts.level.grave: 'grave' is none of info, low")):
        read_scan(orjson.dumps(document))


def test_what_may_be_left_out_is_never_null() -> None:
    document = orjson.loads(write(full(EnrichedFinding)))
    document["compliance"][0]["caution"] = None
    with pytest.raises(RecordError, match=re.escape("compliance[0].caution: must not be null")):
        read_finding(orjson.dumps(document))
    assert not contract("enriched-1").whole.is_valid(document)
