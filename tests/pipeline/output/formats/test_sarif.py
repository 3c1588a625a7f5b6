"""SARIF that the standard's schema allows, that GitHub can use, and that is read back as what it was made from."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft4Validator

from pipeline.display import printable
from pipeline.errors import ReportError
from pipeline.finding import LEVELS
from pipeline.output.formats.sarif import MOST_RESULTS, sarif, severity_of
from pipeline.output.formats.scan import Scan
from pipeline.output.read import read_finding
from pipeline.output.records import EnrichedFinding, ReportedFinding
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.rules.score import level_of
from tests.pipeline.output.any_record import any_of
from tests.pipeline.output.formats.exported import ANY_RECORD, accepted, real_scan, real_scans, scan_of, some
from tests.pipeline.sessions import corpus, lines_of, session_of, shared

SCHEMA = json.loads((Path(__file__).parents[3] / "data" / "schemas" / "sarif-schema-2.1.0.json").read_bytes())
VALIDATOR = Draft4Validator(SCHEMA)


def log(*scans: Scan, all_: bool = True, **options: Any) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(b"".join(sarif(scans, all_=all_, **options)))
    return written


def run(*scans: Scan, all_: bool = True) -> dict[str, Any]:
    (only,) = log(*scans, all_=all_)["runs"]
    assert isinstance(only, dict)
    return only


def result(finding: EnrichedFinding) -> dict[str, Any]:
    (only,) = run(scan_of([finding]))["results"]
    assert isinstance(only, dict)
    return only


def test_every_real_scan_is_valid() -> None:
    seen = 0
    for name, scan in real_scans():
        written = log(scan)
        errors = [(list(error.absolute_path), error.message) for error in VALIDATOR.iter_errors(written)]
        assert errors == [], name
        seen += len(written["runs"][0]["results"])
    assert seen > 6_000


@pytest.mark.parametrize(
    "name", ["db02-default.json", "web01-ioc.json", "micro-nolsm.json", "web01-audit-error.ndjson"]
)
def test_problems_alone_are_valid(name: str) -> None:
    VALIDATOR.validate(log(real_scan(name), all_=False))


def test_the_schema_finds_what_is_wrong() -> None:
    written = log(scan_of([some()]))
    written["runs"][0]["results"][0]["level"] = "severe"
    assert not VALIDATOR.is_valid(written)


@ANY_RECORD
@given(any_of(EnrichedFinding))
def test_any_record_is_valid(finding: EnrichedFinding) -> None:
    VALIDATOR.validate(log(scan_of([finding])))


def test_the_same_scan_gives_the_same_bytes() -> None:
    scan = real_scan("web01-ioc.json")
    assert b"".join(sarif([scan], all_=True)) == b"".join(sarif([scan], all_=True))


def test_a_rule_stands_once_and_its_results_point_at_it() -> None:
    made = run(real_scan("db02-full.json.gz"))
    rules = made["tool"]["driver"]["rules"]
    names = [rule["id"] for rule in rules]
    assert len(names) == len(set(names)) < len(made["results"])
    assert all(names[one["ruleIndex"]] == one["ruleId"] for one in made["results"])


def test_a_rule_weighs_as_much_as_its_worst_result() -> None:
    made = run(real_scan("web01-ioc.json"))
    for rule in made["tool"]["driver"]["rules"]:
        scores = [one["rank"] for one in made["results"] if one["ruleId"] == rule["id"]]
        assert rule["properties"]["security-severity"] == severity_of(int(max(scores)))
        assert len(rule["properties"]["tags"]) <= 10


def test_githubs_levels_are_ours() -> None:
    """GitHub: critical above 9.0, high from 7.0, medium from 4.0, low from 0.1."""
    bounds = {"critical": (9.1, 10.0), "high": (7.0, 8.9), "medium": (4.0, 6.9), "low": (0.1, 3.9), "info": (0.0, 0.0)}
    said = [(level_of(score), float(severity_of(score))) for score in range(101)]
    assert all(bounds[level][0] <= severity <= bounds[level][1] for level, severity in said)
    assert [severity for _, severity in said] == sorted(severity for _, severity in said)
    assert {level for level, _ in said} == set(LEVELS)


def test_a_finding_keeps_its_fingerprint_whatever_becomes_of_it() -> None:
    before = some()
    after = replace(accepted(before), scan_id="later", dedupe_key="0" * 32)
    assert result(before)["partialFingerprints"] == result(after)["partialFingerprints"]
    assert result(before)["partialFingerprints"]["primaryLocationLineHash"] == before.fingerprint


def test_what_is_accepted_is_suppressed_with_owner_end_and_reason() -> None:
    (entry,) = result(accepted(some()))["suppressions"]
    assert entry["kind"] == "external"
    assert entry["justification"] == "accepted by ops until 2027-01-31: replaced in January"
    assert "suppressions" not in result(some())


def test_a_place_is_a_file_below_the_root_of_the_host() -> None:
    finding = replace(some(), slots={"path": "/srv/a b/ü%#?.sh"})
    (place,) = result(finding)["locations"]
    where = place["physicalLocation"]["artifactLocation"]
    assert where == {"uri": "srv/a%20b/%C3%BC%25%23%3F.sh", "uriBaseId": "HOST"}
    assert run(scan_of([finding]))["originalUriBaseIds"]["HOST"]["uri"] == "file:///"


def test_a_name_that_is_not_utf_8_is_the_bytes_that_it_stands_for() -> None:
    base = some()
    reported = replace(base.finding, id="/tmp/\\xff\\\\", escaped=("id",))
    (place,) = result(replace(base, slots={}, finding=reported))["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "tmp/%FF%5C"


def test_what_is_no_file_still_has_a_place() -> None:
    finding = replace(some(), slots={"unit": "ssh.service"}, finding=replace(some().finding, id="x", scanner="systemd"))
    (place,) = result(finding)["locations"]
    assert place["physicalLocation"]["artifactLocation"] == {"uri": "systemd/ssh.service"}
    assert place["logicalLocations"] == [{"name": "ssh.service", "kind": "resource"}]


def test_a_name_makes_no_link_and_moves_no_text() -> None:
    hostile = "[see here](https://example.org) \u202etxt.exe\x1b[2J {0}"
    base = some()
    told = result(replace(base, finding=replace(base.finding, title=hostile)))["message"]["text"]
    assert "\\[see here\\](https" in told
    assert "{{0}}" in told
    assert not {"\u202e", "\x1b"} & set(told)


def test_what_passed_is_left_out_and_said_unless_it_is_asked_for() -> None:
    scan = real_scan("db02-default.json")
    everything, problems = run(scan), run(scan, all_=False)
    left = [one for one in everything["results"] if one["kind"] in ("pass", "informational")]
    assert left
    assert len(problems["results"]) == len(everything["results"]) - len(left)
    (notice,) = [
        one for one in problems["invocations"][0]["toolExecutionNotifications"] if "left_out" in one["descriptor"]["id"]
    ]
    assert f"{len(left):,}" in notice["message"]["text"]


def test_what_is_missing_is_said() -> None:
    record = real_scan("web01-ioc.json").record
    assert record is not None
    broken = replace(
        record,
        complete=False,
        min_severity="high",
        notes=("internal_error",),
        counts=replace(record.counts, rejected=3),
    )
    (invocation,) = run(scan_of([some()], broken, "Of 5 findings, 1 is here."))["invocations"]
    assert invocation["executionSuccessful"] is False
    told = {one["descriptor"]["id"]: one["message"]["text"] for one in invocation["toolExecutionNotifications"]}
    assert told["sysscan/input"] == "Of 5 findings, 1 is here."
    assert {"sysscan/incomplete", "sysscan/rejected", "sysscan/min_severity", "sysscan/not_analysed"} <= told.keys()
    (cut,) = run(scan_of([some()]))["invocations"]
    assert [one["descriptor"]["id"] for one in cut["toolExecutionNotifications"]] == ["sysscan/no_record"]


def test_what_github_would_refuse_is_told() -> None:
    told: list[str] = []
    one = some()
    big = Scan("s", one.host, None, lambda: (one for _ in range(MOST_RESULTS + 1)))
    for _ in sarif([big], tell=told.append):
        pass
    assert told == [f"scan s has 25,001 results; GitHub takes {MOST_RESULTS:,} in a run"]
    told.clear()
    log(scan_of([one]), scan_of([one]), tell=told.append)
    assert ["GitHub takes one of them in a file" in text for text in told] == [True]
    told.clear()
    log(*(replace(scan_of([one]), host=str(number)) for number in range(21)), tell=told.append)
    assert told == ["21 scans; GitHub takes 20 in a file"]


def reported(finding: EnrichedFinding) -> ReportedFinding:
    """The finding as reported; of a suppression that came along, SARIF keeps what reading it needs."""
    extra = {key: value for key, value in finding.finding.extra.items() if key != "suppressions"}
    return replace(finding.finding, extra=extra)


# What is said of these depends on the user, the distribution or the list of scanners of the scan, or on how the scanner
# was started, which neither lines nor SARIF carry.
BY_HEADER = {
    "auditd.rules_missing", "mac.apparmor", "mac.none", "modules.anomaly_missing_file", "modules.anomaly_unsigned",
    "modules.summary", "world_writable.file_capability", "yara.pattern_match",
}  # fmt: skip


def read_back(name: str) -> list[tuple[EnrichedFinding, EnrichedFinding]]:
    """The findings of a scan, and beside each what comes of it when our SARIF is analysed."""
    (report,) = read_document(b"".join(sarif([real_scan(name)], all_=True)), Limits()).reports
    assert report.rejects == ()
    after = [read_finding(line.line) for line in lines_of(session_of(report, shared()))]
    return list(zip(real_scan(name).findings(), after, strict=True))


@pytest.mark.parametrize("name", [name for name in corpus() if "ndjson" not in name and "sarif" not in name])
def test_read_back_it_gives_the_same_findings(name: str) -> None:
    for old, new in read_back(name):
        assert new.finding == old.finding
        assert (new.fingerprint, new.class_, new.class_basis, new.slots) == (
            old.fingerprint, old.class_, old.class_basis, old.slots,
        )  # fmt: skip
        assert (new.host, new.severity, new.compliance, new.attack) == (
            old.host, old.severity, old.compliance, old.attack,
        )  # fmt: skip
        if old.class_ not in BY_HEADER:
            assert (new.status, new.risk, new.artefact, new.remediation) == (
                old.status, old.risk, old.artefact, old.remediation,
            )  # fmt: skip


@pytest.mark.parametrize("name", [name for name in corpus() if "ndjson" in name])
def test_read_back_what_was_restored_still_stands_for_the_same_thing(name: str) -> None:
    for old, new in read_back(name):
        # With a title more can be restored.
        assert new.finding.metadata.items() >= old.finding.metadata.items()
        assert replace(new.finding, restored=(), metadata={}) == replace(old.finding, restored=(), metadata={})
        assert new.class_ == old.class_
        assert new.fingerprint == old.fingerprint or old.class_ == "ambiguous"


def test_read_back_an_acceptance_stays_one() -> None:
    before = accepted(some())
    (report,) = read_document(b"".join(sarif([scan_of([before])])), Limits()).reports
    (line,) = lines_of(session_of(report, shared()))
    after = read_finding(line.line)
    assert (after.status, after.fingerprint) == ("accepted", before.fingerprint)
    assert after.suppression is not None
    assert "ops until 2027-01-31: replaced in January" in after.suppression.reason
    assert reported(after) == reported(before)


def test_a_log_that_left_something_out_is_not_complete() -> None:
    scan = real_scan("db02-default.json")
    (whole,) = read_document(b"".join(sarif([scan], all_=True)), Limits()).reports
    (part,) = read_document(b"".join(sarif([scan])), Limits()).reports
    assert (whole.complete, part.complete) == (True, False)


def test_a_log_of_several_scans_is_refused_as_one_report() -> None:
    scans = [real_scan("db02-default.json"), real_scan("web01-ioc.json")]
    with pytest.raises(ReportError, match="several scans"):
        read_document(b"".join(sarif(scans)), Limits())


def test_a_result_of_ours_without_its_finding_is_named() -> None:
    written = log(scan_of([some()]))
    del written["runs"][0]["results"][0]["properties"]
    (report,) = read_document(json.dumps(written).encode(), Limits()).reports
    (reject,) = report.rejects
    assert (reject.reason, reject.path) == ("missing_field", "runs[0].results[0].properties.sysscan.finding")
    assert printable(reject.detail) == reject.detail
