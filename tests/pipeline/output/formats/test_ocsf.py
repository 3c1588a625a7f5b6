"""OCSF that the published schema allows, of the version that is written and of the newest, and that says what is so."""

import json
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from pipeline.output.formats.ocsf import VERSION, ocsf
from pipeline.output.formats.scan import Scan
from pipeline.output.formats.times import milliseconds
from pipeline.output.records import BaselineEntry, BaselineSection, EnrichedFinding, GoneFinding
from pipeline.output.write import write
from pipeline.rules.review import Review
from tests.pipeline.output.any_record import any_of
from tests.pipeline.output.formats.exported import ANY_RECORD, accepted, real_scan, real_scans, scan_of, some

VERSIONS = (VERSION, "1.8.0")
CLASSES = {2003: "compliance_finding", 2004: "detection_finding", 6007: "scan_activity"}


@lru_cache(maxsize=8)
def schema_of(version: str, class_uid: int) -> dict[str, Any]:
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
    profiles = ["host"] if class_uid == 6007 else []
    made: dict[str, Any] = schema.get_class_schema(class_name=CLASSES[class_uid], profiles=profiles)
    return made


@lru_cache(maxsize=512)
def of_key(version: str, class_uid: int, key: str) -> Draft202012Validator:
    """What a key of an event may hold."""
    schema = schema_of(version, class_uid)
    return Draft202012Validator({"$defs": schema["$defs"], **schema["properties"][key]})


def shape(value: Any, key: str = "") -> Any:
    """What a key holds, without texts, times and counts: on those the schema puts no condition but their type."""
    if isinstance(value, dict):
        return {name: shape(one, name) for name, one in value.items() if name not in ("enriched", "data")}
    if isinstance(value, list):
        return sorted({json.dumps(shape(one, key), sort_keys=True) for one in value})
    if type(value) is str or key.endswith("time") or key in ("count", "pid", "risk_score", "total", "num_detections"):
        return type(value).__name__
    return value


def errors(event: dict[str, Any], sound: set[str] | None = None) -> list[str]:
    """What the schemas say against an event; `sound` remembers what each key may hold."""
    class_uid, found = event["class_uid"], []
    for key, value in event.items():
        mark = f"{class_uid} {key} {json.dumps(shape(value, key), sort_keys=True)}" if sound is not None else ""
        if sound is not None and mark in sound:
            continue
        for version in VERSIONS:
            if key not in schema_of(version, class_uid)["properties"]:
                found.append(f"{key} is unknown")
                continue
            wrong = of_key(version, class_uid, key).iter_errors(value)
            found += [f"{key}.{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in wrong]
        if sound is not None:
            sound.add(mark)
    for version in VERSIONS:
        schema = schema_of(version, class_uid)
        assert schema["additionalProperties"] is False
        found += [f"{key} is missing" for key in schema["required"] if key not in event]
    return found


def events(*scans: Scan, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in b"".join(ocsf(scans, **options)).splitlines()]


def detection(finding: EnrichedFinding) -> dict[str, Any]:
    (only,) = [event for event in events(scan_of([finding]), all_=True) if event["class_uid"] == 2004]
    return only


def test_every_real_scan_is_valid() -> None:
    """As the version that is written, and as the newest; each shape of what a key holds is validated once."""
    sound: set[str] = set()
    seen = dict.fromkeys(CLASSES, 0)
    for name, scan in real_scans():
        for event in events(scan, all_=True, controls=True):
            assert errors(event, sound) == [], name
            seen[event["class_uid"]] += 1
    assert seen[2004] > 6_000
    assert seen[2003] > 1_000
    assert seen[6007] == len(real_scans())


def test_what_keys_hold_is_all_that_the_schema_asks() -> None:
    """A key by itself is held to what the whole event is held to."""
    for class_uid, name in CLASSES.items():
        parts = {"$schema", "$id", "title", "type", "properties", "additionalProperties", "required", "$defs"}
        assert schema_of(VERSION, class_uid).keys() <= parts, name
    (_, whole, *_) = events(real_scan("web01-ioc.json"))
    assert list(Draft202012Validator(schema_of(VERSION, 2004)).iter_errors(whole)) == []


def test_the_schema_finds_what_is_wrong() -> None:
    event = detection(some())
    assert errors(event) == []
    assert errors({**event, "severity_id": 7})
    assert errors({**event, "severety": 1})
    assert errors({key: value for key, value in event.items() if key != "finding_info"})
    assert errors({**event, "message": 1})


@ANY_RECORD
@given(any_of(EnrichedFinding))
def test_any_record_is_valid(finding: EnrichedFinding) -> None:
    for event in events(scan_of([finding]), all_=True, controls=True):
        assert errors(event) == []


def test_the_same_scan_gives_the_same_bytes() -> None:
    scan = real_scan("web01-ioc.json")
    assert b"".join(ocsf([scan], controls=True)) == b"".join(ocsf([scan], controls=True))


def test_a_finding_is_named_by_its_fingerprint_and_its_event_by_the_dedupe_key() -> None:
    finding = some()
    event = detection(finding)
    assert event["finding_info"]["uid"] == finding.fingerprint
    assert event["metadata"]["uid"] == finding.dedupe_key
    assert event["metadata"]["correlation_uid"] == finding.scan_id
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    assert event["device"]["hostname"] == finding.host
    assert json.loads(write(finding)) == event["unmapped"]["enriched"]


@pytest.mark.parametrize(
    ("level", "severity", "risk"),
    [("info", 1, 0), ("low", 2, 1), ("medium", 3, 2), ("high", 4, 3), ("critical", 5, 4)],
)
def test_levels(level: Any, severity: int, risk: int) -> None:
    finding = some()
    event = detection(replace(finding, risk=replace(finding.risk, level=level)))
    assert (event["severity_id"], event["risk_level_id"]) == (severity, risk)
    assert event["is_alert"] == (level in ("high", "critical"))


@pytest.mark.parametrize(
    ("state", "activity"), [("new", 1), ("recurring", 2), ("changed", 2), ("regressed", 2), ("resolved", 3)]
)
def test_what_becomes_of_a_finding_is_the_activity(state: Any, activity: int) -> None:
    finding = replace(some(), baseline=BaselineEntry(state, "2026-10-01T00:00:00Z", 3))
    event = detection(finding)
    assert event["activity_id"] == activity
    assert event["finding_info"]["first_seen_time"] == milliseconds("2026-10-01T00:00:00Z") == 1790812800000


def test_what_is_accepted_is_suppressed_and_no_alert() -> None:
    event = detection(accepted(some()))
    assert (event["status_id"], event["status_code"], event["is_alert"]) == (3, "accepted", False)
    assert event["status_detail"] == "by ops until 2027-01-31: replaced in January"
    assert "remediation" not in event
    assert detection(some())["remediation"]["desc"]


def test_a_reviewers_word_is_the_comment() -> None:
    review = Review(3, "correct", "finding", "eve", "2026-11-20T12:00:00Z", "seen before", "open", "high")
    assert detection(replace(some(), review=review))["comment"] == ("correct by eve, 2026-11-20T12:00:00Z: seen before")


def test_what_passed_comes_when_it_is_asked_for_or_has_been_mended() -> None:
    scan = real_scan("db02-default.json")
    codes = {event["status_code"] for event in events(scan) if event["class_uid"] == 2004}
    assert not {"passed", "info"} & codes
    codes = {event["status_code"] for event in events(scan, all_=True) if event["class_uid"] == 2004}
    assert {"passed", "info"} <= codes
    mended = replace(some(), status="passed", baseline=BaselineEntry("resolved", "2026-10-01T00:00:00Z", 3))
    (event,) = [event for event in events(scan_of([mended])) if event["class_uid"] == 2004]
    assert (event["activity_id"], event["status_id"]) == (3, 4)


def test_what_is_gone_is_closed_under_the_same_name() -> None:
    record = real_scan("web01-ioc.json").record
    assert record is not None
    gone = GoneFinding("a" * 32, "mounts.tmp_noexec_missing", "noexec", "/tmp", "2026-10-01T00:00:00Z", "gone")
    passed = replace(gone, fingerprint="b" * 32, how="passed")
    section = BaselineSection(True, {}, (gone, passed), (), 4)
    (event,) = [
        event
        for event in events(scan_of([some()], replace(record, baseline=section)))
        if event["class_uid"] == 2004 and event["status_code"] == "gone"
    ]
    assert errors(event) == []
    assert (event["activity_id"], event["status_id"], event["finding_info"]["uid"]) == (3, 4, "a" * 32)


def test_a_scan_says_what_is_missing_from_it() -> None:
    record = real_scan("web01-ioc.json").record
    assert record is not None
    first = events(real_scan("web01-ioc.json"))[0]
    assert (first["class_uid"], first["activity_id"], first["status_id"]) == (6007, 2, 1)
    assert first["total"] == record.counts.lines
    broken = replace(record, complete=False, counts=replace(record.counts, rejected=3))
    first = events(scan_of([some()], broken, "Of 5 findings, 1 is here."))[0]
    assert errors(first) == []
    assert (first["activity_id"], first["status_id"], first["num_skipped_items"]) == (6, 2, 3)
    assert first["status_code"] == "input incomplete rejected"
    assert "Of 5 findings, 1 is here." in first["status_detail"]
    (cut, _) = events(scan_of([some()]))
    assert (cut["status_id"], cut["status_code"]) == (2, "no_record")


def test_a_control_is_failing_disputed_or_supported_and_never_passed() -> None:
    for name, scan in real_scans()[:6]:
        record = scan.record
        assert record is not None
        found = [event for event in events(scan, controls=True) if event["class_uid"] == 2003]
        status = {event["metadata"]["event_code"]: event["status_code"] for event in found}
        wanted: dict[str, str] = {}
        for gap in record.compliance:
            for kind, listed in (
                ("failing", gap.failing), ("supporting", gap.supporting_only), ("disputed", gap.disputed_only)
            ):  # fmt: skip
                for controls in (listed.sourced, listed.derived, listed.inferred):
                    wanted.update({control.control: kind for control in controls})
        assert status == wanted, name
        assert not [event for event in found if event["compliance"]["status_id"] == 1]


def test_a_control_whose_failings_somebody_answers_for_is_suppressed() -> None:
    finding = accepted(some())
    found = [event for event in events(scan_of([finding]), controls=True) if event["class_uid"] == 2003]
    failing = [event for event in found if event["status_code"] == "failing"]
    assert failing
    assert {event["status_id"] for event in failing} == {3}


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-02T02:11:41Z", 1793585501000),
        ("2026-11-02T02:11:41.5Z", 1793585501500),
        ("2026-11-02T02:11:41.123456789Z", 1793585501123),
        ("2026-99-02T02:11:41Z", None),
        ("2026-W45-1T02:11:41Z", None),
        ("2026-11-02T02:11:41", None),
        ("2026-11-02T02:11:41Z | x", None),
        (None, None),
    ],
)
def test_times_are_milliseconds(at: str | None, wanted: int | None) -> None:
    assert milliseconds(at) == wanted
