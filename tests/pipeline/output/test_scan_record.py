"""The scan record says what is wrong, what to do first, and nothing that the scan cannot know."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.analysis.answers import MemoryStore
from pipeline.finding import RawFinding
from pipeline.keys import canonical
from pipeline.output.grouping import _DoFirst
from pipeline.rules.remediate import Action
from tests.pipeline.analysts import PlainAnalyst
from tests.pipeline.sessions import (
    Baseline,
    all_by_rules,
    documents,
    lines_of,
    made_up,
    record_of,
    report,
    resources,
    session_of,
    shared,
)

SCAN = "web01-ioc.json"
AT_STAKE = {"open", "unknown", "error"}
Scan = tuple[str, list[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def scans() -> list[Scan]:
    """Every real scan; of its lines only what the tests below look at."""
    keys = ("dedupe_key", "fingerprint", "class", "status", "risk", "remediation", "correlations", "compliance")
    return [
        (name, [{key: line[key] for key in keys} for line in documents(lines)], record)
        for name, lines, record in all_by_rules()
    ]


def test_counts_of_lines_and_of_different_findings(scans: list[Scan]) -> None:
    for name, lines, record in scans:
        counts = record["counts"]
        assert counts["lines"] == len(lines), name
        assert sum(counts["status"].values()) == counts["distinct"] <= counts["lines"]
        assert sum(counts["level"].values()) == sum(counts["status"].get(status, 0) for status in AT_STAKE)
        assert counts["issues"] == len(record["issues"])
    (db02,) = [record for name, _, record in scans if name == "db02-full.json.gz"]
    assert (db02["counts"]["lines"], db02["counts"]["distinct"]) == (3176, 1629)
    assert len(db02["issues"]) < 100


def test_every_line_at_stake_is_in_one_issue_and_examples_exist_as_lines(scans: list[Scan]) -> None:
    for name, lines, record in scans:
        by_key = {line["dedupe_key"]: line for line in lines}
        at_stake = [line for line in lines if line["status"] in AT_STAKE]
        assert sum(issue["lines"] for issue in record["issues"]) == len(at_stake), name
        per_class = Counter((line["class"], line["status"]) for line in at_stake)
        told: Counter[tuple[str, str]] = Counter()
        for issue in record["issues"]:
            told[issue["class"], issue["status"]] += issue["lines"]
            examples = [by_key[key] for key in issue["examples"]]
            assert {(line["class"], line["status"]) for line in examples} == {(issue["class"], issue["status"])}
            assert len({line["fingerprint"] for line in examples}) == len(examples) == len(issue["labels"])
            assert len(examples) == min(5, issue["distinct"])
        assert told == per_class


def test_issues_stand_worst_first_and_top_names_the_first(scans: list[Scan]) -> None:
    for _, lines, record in scans:
        scores = [issue["score"] for issue in record["issues"]]
        assert scores == sorted(scores, reverse=True)
        assert record["top"] == [issue["id"] for issue in record["issues"][:10]]
        assert len({issue["id"] for issue in record["issues"]}) == len(record["issues"])
        worst = max((line["risk"]["score"] for line in lines if line["status"] in AT_STAKE), default=None)
        assert worst == (scores[0] if scores else None)


def test_what_to_do_first_never_does_harm(scans: list[Scan]) -> None:
    seen = Counter[str]()
    for name, lines, record in scans:
        possible = {
            (line["class"], line["status"], orjson.dumps(action["command"]), action["id"])
            for line in lines for action in line["remediation"]
        }  # fmt: skip
        for issue in record["issues"]:
            first = issue["do_first"]
            if first is None:
                assert issue["actions"] == [], name
                continue
            barred_only = all(action["contraindicated"] for action in issue["actions"])
            assert (first["contraindicated"] is not None) == barred_only
            if first["contraindicated"] is not None:
                assert first["command"] is None
            assert (issue["class"], issue["status"], orjson.dumps(first["command"]), first["id"]) in possible
            seen["barred" if barred_only else "command" if first["command"] else "no command"] += 1
    assert seen["command"] > 100


def test_no_issue_says_to_set_what_would_break_a_unit() -> None:
    full = session_of(report("db02-full.json.gz"), shared(), {})
    barred = {
        (line["class"], line["slots"]["unit"])
        for line in documents(lines_of(full))
        if any(action["id"] == "systemd.accept" for action in line["remediation"])
    }
    assert ("systemd_units.NoNewPrivileges", "ssh.service") in barred
    for issue in record_of(full)["issues"]:
        command = (issue["do_first"] or {}).get("command") or ""
        for class_id, unit in barred:
            assert issue["class"] != class_id or f"/{unit}.d/" not in command


def test_of_several_actions_one_that_does_harm_is_the_last_choice() -> None:
    (judgement,) = [
        judged for judged in map(session_of(report(SCAN), shared(), {}).judge.judge, range(97)) if judged.remediation
    ][:1]
    good = replace(judgement.remediation[0], id="good", contraindicated=None)
    bad = replace(good, id="bad", contraindicated="breaks login", command=None)

    def first(*actions: list[Action]) -> str | None:
        chosen = _DoFirst()
        for each in actions:
            chosen.consider(replace(judgement, remediation=tuple(each)))
        return chosen.action.id if chosen.action is not None else None

    assert first([bad, good], [good]) == "good"
    assert first([bad], [good]) == "good"
    assert first([bad], [bad]) == "bad"
    assert first([], [bad]) == "bad"
    assert first([], []) is None


def test_correlations_name_lines_and_lines_name_them(scans: list[Scan]) -> None:
    seen = 0
    for _, lines, record in scans:
        of_lines = Counter(group["group"] for line in lines for group in line["correlations"])
        of_record = {group["group"]: group for group in record["correlations"]}
        assert set(of_lines) == set(of_record)
        keys = {line["dedupe_key"] for line in lines}
        for name, count in of_lines.items():
            assert of_record[name]["findings"] == count
            assert set(of_record[name]["members"]) <= keys
            seen += 1
    assert seen > 20


def test_the_gap_analysis_speaks_of_evidence_only(scans: list[Scan]) -> None:
    for _, lines, record in scans:
        text = canonical(record["compliance"]).decode().lower()
        for word in ('"passing', "compliant", "satisfied", "fulfilled"):
            assert word not in text
        keys = {line["dedupe_key"] for line in lines}
        failing = {
            (control["framework"], control["control"])
            for line in lines
            for control in line["compliance"]
            if control["evidence"] == "failing" and "caution" not in control
        }
        told = set()
        for framework in record["compliance"]:
            for basis in ("sourced", "derived", "inferred"):
                for control in framework["failing"][basis]:
                    told.add((framework["framework"], control["control"]))
                    assert set(control["sample"]) <= keys
        assert told == failing


def test_a_record_of_nothing_is_whole() -> None:
    record = record_of(session_of(made_up([]), shared(), {}))
    assert record["counts"]["lines"] == 0
    assert (record["issues"], record["top"], record["correlations"]) == ([], [], [])
    assert record["baseline"]["compared"] is True


def test_a_title_of_an_unknown_kind_acts_on_no_terminal() -> None:
    finding = RawFinding("novel", "x", "high", "evil\x1b]8;;http://x\x07\u202e", "d", 70, {})
    (issue,) = record_of(session_of(made_up([finding]), shared(), {}))["issues"]
    assert issue["title"] == "evil\\x1b]8;;http://x\\x07\\u202e"


def test_what_was_not_observed_is_listed_in_part_and_counted_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.output.scan_record._UNSEEN", 2)
    (real,) = (finding for finding in report("db02-drift-1.json").findings if finding.id == "/usr/local/sbin/maint")
    memory, where = Baseline(), shared()
    for number in range(1, 5):
        memory.session(made_up([replace(real, id=f"/usr/local/sbin/{number}")]), where, number)
    told = record_of(memory.session(made_up([]), where, 5))["baseline"]
    assert [one["label"] for one in told["not_observed"]] == ["/usr/local/sbin/4", "/usr/local/sbin/3"]
    assert told["not_observed_count"] == 4


def test_the_documentation_names_every_key_of_both_schemas() -> None:
    docs = Path(__file__).parents[3] / "docs"
    text = (docs / "output.md").read_text("utf-8")
    for name in ("enriched-1", "scan-1"):
        schema = orjson.loads((docs / "schema" / f"{name}.schema.json").read_bytes())
        missing = [key for key in schema["properties"] if f"`{key}`" not in text]
        assert missing == [], name


def test_a_level_that_a_model_raised_stands_in_lines_and_record_alike() -> None:
    session = session_of(report("web01-ioc.json"), resources(analyst=PlainAnalyst(level="critical")))
    lines = documents(lines_of(session, 4096))
    record = record_of(session)
    assert {line["risk"]["level"] for line in lines} == {"critical"}
    assert any(line["risk"]["floor"] != "critical" for line in lines)
    assert set(record["counts"]["level"]) == {"critical"}
    assert {issue["level"] for issue in record["issues"]} == {"critical"}
    assert {group["level"] for group in record["correlations"]} == {"critical"}


def test_an_answer_that_came_after_its_line_does_not_change_the_record() -> None:
    """`analyze` in another process shares the cache, and may have found the memory that the daemon had not."""
    store, told = MemoryStore(), report("web01-ioc.json")
    session = session_of(told, resources(analyst=PlainAnalyst(silent=lambda question: True), store=store))
    lines = documents(lines_of(session, 4096))
    lines_of(session_of(told, resources(analyst=PlainAnalyst(level="critical"), store=store)), 4096)
    assert store.rows
    at_stake = {line["risk"]["level"] for line in lines if line["status"] in ("open", "unknown", "error")}
    assert set(session.record().counts.level) == at_stake != {"critical"}


def test_an_issue_says_what_the_line_of_its_worst_finding_says() -> None:
    for analyst in (None, PlainAnalyst()):
        session = session_of(report("web01-ioc.json"), resources(analyst=analyst))
        said = {line["dedupe_key"]: line["analysis"] for line in documents(lines_of(session, 4096))}
        texts = {(analysis["assessment"], analysis["impact"]) for analysis in said.values()}
        issues = session.record().issues
        assert issues
        for issue in issues:
            assert (issue.assessment, issue.impact) in texts


def test_what_an_analysis_picks_out_is_in_the_lists_that_it_is_picked_from() -> None:
    for analyst in (None, PlainAnalyst()):
        for line in documents(lines_of(session_of(report("web01-ioc.json"), resources(analyst=analyst)), 4096)):
            picked = line["analysis"]
            mapped = {(control["framework"], control["control"]) for control in line["compliance"]}
            assert {(one["framework"], one["control"]) for one in picked["controls"]} <= mapped
            assert set(picked["techniques"]) <= {technique["technique"] for technique in line["attack"]}
            fitting = {action["id"] for action in line["remediation"] if action["contraindicated"] is None}
            assert picked["action"] is None or picked["action"] in fitting


def test_the_rules_pick_the_first_action_and_the_strongest_controls() -> None:
    lines = documents(lines_of(session_of(report("web01-ioc.json"), shared()), 4096))
    (line,) = [line for line in lines if line["class"] == "kernel_params.kptr_restrict"]
    assert line["analysis"]["action"] == line["remediation"][0]["id"]
    assert {"framework": "nist_800_53_r5", "control": "CM-6"} in line["analysis"]["controls"]
    assert line["analysis"]["techniques"] == [technique["technique"] for technique in line["attack"]]


def test_where_a_model_raises_the_level_its_own_words_say_why() -> None:
    made = resources(analyst=PlainAnalyst(level="high"), texts="best")
    lines = documents(lines_of(session_of(report("web01-ioc.json"), made), 4096))
    ruled = documents(lines_of(session_of(report("web01-ioc.json"), shared()), 4096))
    raised = {one["risk"]["level"] != other["risk"]["level"] for one, other in zip(lines, ruled, strict=True)}
    assert raised == {True, False}
    for one, other in zip(lines, ruled, strict=True):
        assert (one["analysis"]["text_by"] == "model") == (one["risk"]["level"] != other["risk"]["level"])


@pytest.mark.parametrize("name", ["web01-ioc.json", "web01-base-default.sarif"])
def test_a_model_s_analysis_is_told_in_the_words_of_the_knowledge_where_it_has_some(name: str) -> None:
    best, own, ruled = (
        documents(lines_of(session_of(report(name), made), 4096))
        for made in (resources(analyst=PlainAnalyst(), texts="best"), resources(analyst=PlainAnalyst()), shared())
    )
    for shown, model, rules in zip(best, own, ruled, strict=True):
        assert (shown["analysis"]["origin"], shown["risk"]["level"]) == ("model", model["risk"]["level"])
        told = rules if shown["analysis"]["text_by"] == "rules" else model
        assert shown["analysis"]["assessment"] == told["analysis"]["assessment"]
        assert (model["analysis"]["text_by"], rules["analysis"]["text_by"]) == ("model", "rules")
        if shown["class_candidates"]:  # nobody wrote anything for "one of several"
            assert shown["analysis"]["text_by"] == "model"
    assert {"rules"} <= {shown["analysis"]["text_by"] for shown in best}
    assert len({documents(lines_of(session_of(report(name), resources(analyst=PlainAnalyst(), texts=texts)), 4096))[0]
                ["provenance"]["runtime"] for texts in ("best", "model")}) == 2  # fmt: skip
