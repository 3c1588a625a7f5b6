"""OSCAL that NIST's schema allows, whose parts point at each other, and that claims no more than a scan can show."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from oscal_bindings.v1.models import AssessmentResultsDocument
from pydantic import ValidationError

from pipeline.output.formats.oscal import NO_CONTROL, control_id, oscal
from pipeline.output.formats.scan import Scan
from pipeline.output.records import EnrichedFinding
from pipeline.rules.review import Review
from tests.pipeline.output.any_record import any_of
from tests.pipeline.output.formats.exported import ANY_RECORD, accepted, real_scan, real_scans, scan_of, some

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def document(*scans: Scan) -> dict[str, Any]:
    """What is written, after it was held to the schema."""
    written: dict[str, Any] = json.loads(b"".join(oscal(scans)))
    AssessmentResultsDocument.model_validate(written)
    made = written["assessment-results"]
    assert isinstance(made, dict)
    return made


def result(scan: Scan) -> dict[str, Any]:
    (only,) = document(scan)["results"]
    assert isinstance(only, dict)
    return only


def props(thing: dict[str, Any], name: str) -> list[str]:
    return [prop["value"] for prop in thing["props"] if prop["name"] == name]


def uuids(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each UUID of a document, and the key that holds it."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from uuids(one, name)
    elif isinstance(value, list):
        for one in value:
            yield from uuids(one, key)
    elif key.endswith("uuid"):
        yield key, value


def test_every_real_scan_is_valid_and_its_parts_point_at_each_other() -> None:
    seen = 0
    for name, scan in real_scans():
        made = document(scan)
        found = list(uuids(made))
        named = [value for key, value in found if key == "uuid"]
        assert len(named) == len(set(named)), name
        assert all(UUID.fullmatch(value) for _, value in found)
        assert {value for key, value in found if key != "uuid"} <= set(named), name
        assert made["import-ap"]["href"] == f"#{made['back-matter']['resources'][0]['uuid']}"
        seen += len(made["results"][0].get("observations", ()))
    assert seen > 6_000


def test_the_schema_finds_what_is_wrong() -> None:
    written = json.loads(b"".join(oscal([scan_of([some()])])))
    AssessmentResultsDocument.model_validate(written)
    first = written["assessment-results"]["results"][0]
    for wrong in ({**first, "start": "yesterday"}, {**first, "observations": []}, {**first, "unknown": 1}):
        made = {"assessment-results": {**written["assessment-results"], "results": [wrong]}}
        with pytest.raises(ValidationError):
            AssessmentResultsDocument.model_validate(made)


@ANY_RECORD
@given(any_of(EnrichedFinding))
def test_any_record_is_valid(finding: EnrichedFinding) -> None:
    document(scan_of([finding]))


def test_a_scan_without_findings_is_valid() -> None:
    made = result(Scan("s", "web01", real_scan("web01-ioc.json").record, lambda: iter(())))
    assert not {"observations", "findings", "risks"} & made.keys()
    (selection,) = made["reviewed-controls"]["control-selections"]
    assert selection["include-controls"] == [{"control-id": NO_CONTROL}]


def test_the_same_scans_give_the_same_bytes_and_others_other_names() -> None:
    one, other = real_scan("web01-ioc.json"), real_scan("db02-default.json")
    assert b"".join(oscal([one, other])) == b"".join(oscal([one, other]))
    assert document(one)["uuid"] != document(other)["uuid"] != document(one, other)["uuid"]
    assert document(one, other)["results"][0] == document(one)["results"][0]


def test_what_speaks_against_a_control_is_a_finding_and_nothing_is_satisfied() -> None:
    scan = real_scan("web01-ioc.json")
    assert scan.record is not None
    made = result(scan)
    wanted = {
        (gap.framework, control.control)
        for gap in scan.record.compliance
        for listed in (gap.failing.sourced, gap.failing.derived, gap.failing.inferred)
        for control in listed
    }
    found = {(props(one, "framework")[0], props(one, "control")[0]) for one in made["findings"]}
    assert found == wanted
    assert {one["target"]["status"]["state"] for one in made["findings"]} == {"not-satisfied"}
    assert all(1 <= len(one["related-observations"]) <= 10 for one in made["findings"])


def test_an_observation_names_its_controls() -> None:
    finding = some()
    (observation,) = result(scan_of([finding]))["observations"]
    assert props(observation, "fingerprint") == [finding.fingerprint]
    wanted = [f"{one.framework}:{one.control}" for one in finding.compliance if one.caution is None]
    assert props(observation, "control") == wanted
    assert observation["types"] == ["finding"]


def test_an_accepted_risk_has_owner_and_end_and_stays_a_finding() -> None:
    review = Review(7, "accept", "finding", "eve", "2026-11-20T12:00:00Z", "x", "open", "high")
    made = result(scan_of([replace(accepted(some()), review=review)]))
    (risk,) = made["risks"]
    assert (risk["status"], risk["deadline"]) == ("deviation-approved", "2027-01-31T23:59:59Z")
    assert (props(risk, "owner"), risk["statement"]) == (["ops"], "replaced in January")
    assert props(risk, "verdict") == ["7 by eve, 2026-11-20T12:00:00Z"]
    assert risk["related-observations"] == [{"observation-uuid": made["observations"][0]["uuid"]}]
    assert {props(one, "accepted")[0] for one in made["findings"]} == {"1"}


def test_a_false_positive_is_closed_and_no_evidence() -> None:
    base = some()
    none = tuple(replace(control, evidence="none") for control in base.compliance)
    made = result(scan_of([accepted(base, status="false_positive", compliance=none)]))
    assert made["risks"][0]["status"] == "closed"
    assert "findings" not in made


def test_what_is_missing_is_said() -> None:
    made = result(scan_of([some()], None, "Of 5 findings, 1 is here."))
    assert "Of 5 findings, 1 is here." in made["remarks"]
    assert "The record of the scan is not in the input" in made["remarks"]


def test_a_name_is_no_markup() -> None:
    base = some()
    hostile = replace(base.finding, title="[x](javascript:alert(1))\n# b\u202e")
    (observation,) = result(scan_of([replace(base, finding=hostile)]))["observations"]
    assert observation["title"].startswith("\\[x\\]\\(javascript")
    assert observation["title"].isprintable()


@pytest.mark.parametrize(
    ("framework", "control", "wanted"),
    [
        ("nist_800_53_r5", "AC-6", "ac-6"),
        ("nist_800_53_r5", "AC-6(1)", "ac-6.1"),
        ("nist_csf_2_0", "PR.DS-10", "nist_csf_2_0-pr.ds-10"),
        ("pci_dss_4_0", "1.2.5", "pci_dss_4_0-1.2.5"),
        ("hipaa", "164.308(a)(1)(ii)(D)", "hipaa-164.308.a.1.ii.d"),
    ],
)
def test_ids_of_controls(framework: Any, control: str, wanted: str) -> None:
    assert control_id(framework, control) == wanted
