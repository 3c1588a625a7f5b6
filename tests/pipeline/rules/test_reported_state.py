"""What a SARIF report says that its results are reaches the output: accepted, passed, still evidence."""

import json
from typing import Any

import orjson

from pipeline.output.read import read_finding
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from tests.pipeline.sessions import documents, lines_of, record_of, session_of, shared

TEXT = "World-writable file: /opt/a"


def outcome(result: dict[str, Any], tool: str = "sys-scan") -> dict[str, Any]:
    result = {"ruleId": "/opt/a", "level": "medium", "message": {"text": TEXT}, **result}
    log = {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": tool}}, "results": [result]}]}
    (report,) = read_document(json.dumps(log).encode(), Limits()).reports
    session = session_of(report, shared())
    (line,) = documents(lines_of(session))
    read_finding(orjson.dumps(line))
    assert record_of(session)["counts"]["status"] == {line["status"]: 1}
    return line


def test_an_acceptance_of_the_report_settles_the_finding_and_is_shown() -> None:
    line = outcome({"suppressions": [{"kind": "external", "status": "accepted", "justification": "reviewed"}]})
    assert line["status"] == "accepted"
    assert line["suppression"] == {"owner": "the report (external)", "reason": "reviewed", "expires": None}
    assert line["risk"]["factors"][0]["why"] == "the report says that it is accepted"
    assert line["class"] == outcome({})["class"]
    evidence = {control["evidence"] for control in line["compliance"]}
    assert evidence == {control["evidence"] for control in outcome({})["compliance"]}  # accepted is not met


def test_one_that_was_rejected_or_waits_does_not() -> None:
    for status in ("rejected", "underReview"):
        line = outcome({"suppressions": [{"kind": "external", "status": status}]})
        assert (line["status"], line["suppression"]) == ("open", None)


def test_what_passed_or_is_gone_is_not_open() -> None:
    assert outcome({})["status"] == "open"
    for result in ({"kind": "pass"}, {"baselineState": "absent"}):
        line = outcome(result)
        assert (line["status"], line["status_basis"], line["remediation"]) == ("passed", "metadata", [])
        assert "failing" not in {control["evidence"] for control in line["compliance"]}
    suppressed = {"kind": "pass", "suppressions": [{"kind": "external"}]}
    assert outcome(suppressed)["status"] == "passed"  # there is nothing to accept


def test_the_same_words_in_another_format_mean_nothing() -> None:
    finding = {"id": "/opt/a", "severity": "medium", "title": TEXT, "kind": "pass", "suppressions": [{}]}
    log = {"results": [{"scanner": "world_writable", "findings": [finding]}]}
    (report,) = read_document(json.dumps(log).encode(), Limits()).reports
    (line,) = documents(lines_of(session_of(report, shared())))
    assert line["status"] not in ("passed", "accepted")
