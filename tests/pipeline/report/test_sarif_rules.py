"""What SARIF leaves to the rule is read from it: id, level, text, taxa; from driver, extensions and invocations."""

import json
from typing import Any

import pytest

from pipeline.errors import ReportError
from pipeline.finding import RawFinding, ScanHeader
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.report.sarif_state import acceptance_of, status_of


def read(results: list[Any], rules: Any = (), driver: dict[str, Any] | None = None, **run: Any) -> list[RawFinding]:
    tool = {"driver": {"name": "other", "rules": list(rules), **(driver or {})}, **run.pop("tool", {})}
    log = {"version": "2.1.0", "runs": [{"tool": tool, "results": results, **run}]}
    (report,) = read_document(json.dumps(log).encode(), Limits()).reports
    assert report.rejects == ()
    return list(report.findings)


def one(result: dict[str, Any], rules: Any = (), **run: Any) -> RawFinding:
    (finding,) = read([{"message": {"text": "t"}, **result}], rules, **run)
    return finding


def level(name: str) -> dict[str, Any]:
    return {"defaultConfiguration": {"level": name}}


@pytest.mark.parametrize(
    ("word", "severity"), [("error", "high"), ("warning", "medium"), ("note", "low"), ("none", "info")]
)
def test_a_missing_level_is_the_rules(word: str, severity: str) -> None:
    rules = [{"id": "R0"}, {"id": "R1", **level(word)}]
    for result in ({"ruleId": "R1", "ruleIndex": 1}, {"ruleId": "R1"}, {"ruleIndex": 1}, {"rule": {"index": 1}}):
        assert one(result, rules).severity == severity
        assert one(result, rules).id == "R1"
    assert one({"ruleId": "R1", "level": "error"}, rules).severity == "high"
    assert one({"ruleId": "R0"}, rules).severity == "medium"  # neither says: the standard's own


def test_where_index_and_id_contradict_each_other_the_id_counts() -> None:
    rules = [{"id": "R0", **level("note")}, {"id": "R1", **level("error")}]
    assert one({"ruleId": "R1", "ruleIndex": 0}, rules).severity == "high"
    assert one({"ruleId": "R9", "ruleIndex": 0}, rules).severity == "medium"


@pytest.mark.parametrize("index", [-1, 2, True, "0", 1.0, None, 10**30])
def test_an_index_of_nothing_is_none(index: Any) -> None:
    assert one({"ruleId": "R1", "ruleIndex": index}, [{"id": "R0", **level("error")}]).severity == "medium"


def test_an_id_may_tell_results_of_one_rule_apart() -> None:
    finding = one({"ruleId": "R1/a/b"}, [{"id": "R1", **level("error")}])
    assert (finding.id, finding.severity) == ("R1/a/b", "high")


def test_rules_of_extensions() -> None:
    tool = {
        "extensions": [
            {"name": "first", "rules": []},
            {"name": "more", "guid": "g", "rules": [{"id": "X", **level("error")}]},
        ]
    }
    for place in ({"index": 1}, {"name": "more"}, {"guid": "g"}):
        assert one({"rule": {"index": 0, "toolComponent": place}}, tool=tool).severity == "high"
    assert one({"ruleId": "X"}, tool=tool).severity == "high"  # nobody says where it is from
    assert one({"rule": {"id": "X", "toolComponent": {"index": 1}}}, tool=tool).id == "X"


def test_an_invocation_may_have_changed_the_level() -> None:
    override: dict[str, Any] = {"descriptor": {"id": "R1"}, "configuration": {"level": "error"}}
    run = {"invocations": [{}, {"ruleConfigurationOverrides": [override]}]}
    rules = [{"id": "R1", **level("note")}]
    assert one({"ruleId": "R1", "provenance": {"invocationIndex": 1}}, rules, **run).severity == "high"
    assert one({"ruleId": "R1", "provenance": {"invocationIndex": 0}}, rules, **run).severity == "low"
    assert one({"ruleId": "R1"}, rules, **run).severity == "low"
    override["descriptor"] = {"index": 0}
    assert one({"ruleId": "R1", "provenance": {"invocationIndex": 1}}, rules, **run).severity == "high"


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ({"id": "default", "arguments": ["sshd_config"]}, "weak cipher in sshd_config"),
        ({"id": "default"}, "weak cipher in {0}"),
        ({"id": "default", "arguments": []}, "weak cipher in {0}"),
        ({"id": "two", "arguments": ["a", "b"]}, "b before a, {2}, {braces}"),
        ({"id": "global", "arguments": ["x"]}, "everywhere x"),
        ({"id": "nothing"}, "what R1 is about"),
        ({"text": "", "id": "default", "arguments": ["x"]}, "weak cipher in x"),
        ({"text": "found in {0}", "arguments": ["x"]}, "found in x"),
        ({"text": "{0} stands as it is"}, "{0} stands as it is"),
        ({"markdown": "**bold**"}, "**bold**"),
        ({}, "what R1 is about"),
        ({"id": 7, "arguments": {}}, "what R1 is about"),
    ],
)
def test_texts(message: dict[str, Any], title: str) -> None:
    rule = {
        "id": "R1",
        "shortDescription": {"text": "what R1 is about"},
        "messageStrings": {
            "default": {"text": "weak cipher in {0}"},
            "two": {"text": "{1} before {0}, {2}, {{braces}}"},
        },
    }
    driver = {"globalMessageStrings": {"global": {"markdown": "everywhere {0}"}}}
    (finding,) = read([{"ruleId": "R1", "message": message}], [rule], driver)
    assert finding.title == title


def test_techniques_among_the_taxa() -> None:
    run = {
        "taxonomies": [
            {"name": "CWE", "taxa": [{"id": "T1000"}]},
            {"name": "MITRE ATT&CK", "taxa": [{"id": "T1548.001"}]},
        ]
    }
    taxa = [
        {"id": "T1059", "toolComponent": {"name": "ATT&CK"}},
        {"index": 0, "toolComponent": {"index": 1}},
        {"index": 0, "toolComponent": {"index": 0}},
        {"id": "T1", "toolComponent": {"name": "ATT&CK"}},
        7,
    ]
    rule = {"id": "R1", "relationships": [{"target": {"id": "T1222", "toolComponent": {"name": "mitre att&ck"}}}]}
    finding = one({"ruleId": "R1", "taxa": taxa, "properties": {"mitreTechniqueIds": ["T1003"]}}, [rule], **run)
    assert finding.techniques == ("T1003", "T1059", "T1548.001", "T1222")
    assert one({"ruleId": "R2"}, [rule]).techniques == ()


def test_each_run_has_its_own_rules() -> None:
    runs = [
        {"tool": {"driver": {"name": "a", "rules": [{"id": "R", **level(word)}]}}, "results": [{"ruleId": "R"}]}
        for word in ("error", "note")
    ]
    (report,) = read_document(json.dumps({"runs": runs}).encode(), Limits()).reports
    assert [finding.severity for finding in report.findings] == ["high", "low"]


@pytest.mark.parametrize("broken", [None, 7, "x", [], [[]], {"a": 1}])
def test_no_type_is_trusted(broken: Any) -> None:
    rule = {"id": "R1", "defaultConfiguration": broken, "messageStrings": broken, "relationships": broken}
    for rules in ([rule], [broken], broken if isinstance(broken, list) else []):
        result = {"ruleId": "R1", "rule": broken, "taxa": broken, "provenance": broken, "kind": broken}
        result |= {"suppressions": broken, "baselineState": broken, "ruleIndex": 0}
        run = {"invocations": broken, "taxonomies": broken, "tool": {"extensions": broken}}
        assert one(result, rules, **run).id == "R1"


def test_what_a_rule_says_cannot_be_multiplied_without_end() -> None:
    rule = {"id": "R1", "messageStrings": {"default": {"text": "x" * 10_000}}}
    log = {
        "runs": [
            {
                "tool": {"driver": {"name": "o", "rules": [rule]}},
                "results": [{"ruleIndex": 0, "message": {"id": "default"}}] * 1_000,
            }
        ]
    }
    with pytest.raises(ReportError, match="take from their rules") as caught:
        read_document(json.dumps(log).encode(), Limits(max_bytes=1 << 20))
    assert caught.value.reason == "too_large"
    many = {"id": "default", "arguments": ["y" * 10_000]}
    rule["messageStrings"] = {"default": {"text": "{0}" * 1_000}}
    log["runs"][0]["results"] = [{"ruleIndex": 0, "message": many}]
    with pytest.raises(ReportError, match="take from their rules"):
        read_document(json.dumps(log).encode(), Limits(max_bytes=1 << 20))


def test_bad_results_have_a_limit() -> None:
    log = {"runs": [{"results": [7] * 11}]}
    with pytest.raises(ReportError, match=r"limits\.max_rejects"):
        read_document(json.dumps(log).encode(), Limits(max_rejects=10))


SARIF = ScanHeader("sarif")


@pytest.mark.parametrize(
    ("suppressions", "accepted"),
    [
        ([{"kind": "external", "status": "accepted"}], True),
        ([{"kind": "inSource"}], True),
        ([{"status": "rejected"}, {"status": "accepted"}], True),
        ([{"status": "rejected"}], False),
        ([{"status": "underReview"}], False),
        ([{"status": "ACCEPTED"}], False),
        ([{"status": None}], False),
        ([], False),
        (None, False),
        ([7, "x"], False),
        ({"status": "accepted"}, False),
    ],
)
def test_suppressions(suppressions: Any, accepted: bool) -> None:
    finding = one({"ruleId": "R", "suppressions": suppressions})
    assert (acceptance_of(finding, SARIF) is not None) is accepted
    assert acceptance_of(finding, ScanHeader("json")) is None


def test_a_justification_is_kept_and_bounded() -> None:
    finding = one({"ruleId": "R", "suppressions": [{"kind": "external", "justification": "j" * 10_000}]})
    found = acceptance_of(finding, SARIF)
    assert found is not None
    assert (found.kind, found.justification) == ("external", "j" * 4_000)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"kind": "pass"}, "passed"),
        ({"kind": "notApplicable"}, "info"),
        ({"kind": "informational"}, "info"),
        ({"kind": "review"}, "unknown"),
        ({"kind": "open"}, "unknown"),
        ({"kind": "fail"}, None),
        ({"kind": "novel"}, None),
        ({"baselineState": "absent"}, "passed"),
        ({"baselineState": "new"}, None),
        ({}, None),
    ],
)
def test_what_a_result_is_by_its_own_word(fields: dict[str, Any], status: str | None) -> None:
    finding = one({"ruleId": "R", **fields}, [{"id": "R", **level("error")}])
    assert status_of(finding, SARIF) == status
    assert finding.severity == ("info" if status is not None or fields.get("kind") == "novel" else "high")
