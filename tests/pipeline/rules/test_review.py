"""What verdicts do to the lines of real scans: origin, floor, disagreement with the policy, expiry, same bytes."""

from dataclasses import replace
from datetime import date
from typing import Any, Literal

import orjson
import pytest

from pipeline.output.write import write
from pipeline.review.chain import Head
from pipeline.review.standing import Standing
from pipeline.review.verdict import Correction, Kind, Situation, Target, Verdict
from pipeline.rules.policy import Allow, Override, Policy
from tests.pipeline.analysts import PlainAnalyst
from tests.pipeline.schemas import contract
from tests.pipeline.sessions import (
    documents,
    lines_of,
    record_of,
    report,
    resources,
    session_of,
    shared,
)

SCAN = "web01-ioc.json"
AT = "2026-11-01T00:00:00Z"
CLASS = "ioc.deleted_executable"
_LEVELS = ["info", "low", "medium", "high", "critical"]


def policy_of(**lists: Any) -> Policy:
    return Policy(**lists, digest="0" * 32)


def standing(*verdicts: Verdict) -> Standing:
    return Standing(verdicts, Head(len(verdicts), "a" * 64))


def lines(decided: Standing | None = None, policy: Policy | None = None, **changes: Any) -> list[dict[str, Any]]:
    on = resources(policy, changes.pop("analyst", None))
    session = session_of(report(SCAN), on, {}, standing=decided or Standing(), **changes)
    found = documents(lines_of(session))
    for line in found:
        contract("enriched-1").check(line)
    contract("scan-1").check(record_of(session))
    return found


def the(found: list[dict[str, Any]], fingerprint: str) -> dict[str, Any]:
    return next(line for line in found if line["fingerprint"] == fingerprint)


def worst() -> dict[str, Any]:
    return max(lines(), key=lambda line: int(line["risk"]["score"]))


def situation(line: dict[str, Any]) -> Situation:
    return Situation(line["class"], line["status"], line["features"], tuple(line["class_candidates"]))


def verdict(kind: Kind, target: Target, seq: int = 1, **more: Any) -> Verdict:
    return Verdict(kind=kind, reason="looked at", target=target, seq=seq, at=AT, author="alice", **more)


def on(line: dict[str, Any]) -> Target:
    return Target(line["host"], line["fingerprint"])


def test_an_accepted_finding_says_who_when_and_why_and_others_stay_as_they_are() -> None:
    before = worst()
    found = lines(standing(verdict("accept", on(before), owner="ops", until="2027-01-31")))
    line = the(found, before["fingerprint"])
    assert (line["status"], line["risk"]["level"], line["analysis"]["origin"]) == ("accepted", "info", "review")
    assert line["suppression"] == {"owner": "ops", "reason": "looked at", "expires": "2027-01-31"}
    assert line["review"] == {
        "seq": 1, "verdict": "accept", "scope": "finding", "author": "alice", "at": AT, "reason": "looked at",
        "status_without": "open", "level_without": before["risk"]["level"],
    }  # fmt: skip
    assert [factor["name"] for factor in line["risk"]["factors"]] == ["status_accepted"]
    assert "verdict 1" in line["risk"]["factors"][0]["why"] and line["remediation"] == []
    for other, plain in zip(found, lines(), strict=True):
        assert other["provenance"].pop("verdicts") == {"seq": 1, "head": "a" * 64}
        if other["fingerprint"] != before["fingerprint"]:
            assert other == plain


def test_a_corrected_level_stands_over_floor_and_model_and_the_score_says_who_set_it() -> None:
    before = worst()
    for level in _LEVELS:
        decided = standing(verdict("correct", on(before), correction=Correction(level=level)))  # type: ignore[arg-type]
        for analyst in (None, PlainAnalyst()):
            risk = the(lines(decided, analyst=analyst), before["fingerprint"])["risk"]
            assert risk["level"] == level and risk["floor"] == before["risk"]["floor"]
            assert risk["score"] // 20 == _LEVELS.index(level)
            assert risk["score"] == sum(factor["points"] for factor in risk["factors"])
            assert risk["factors"][-1]["name"] == "review" and "alice" in risk["factors"][-1]["why"]


def test_no_line_is_lower_than_its_floor_but_by_a_person_s_word() -> None:
    decided = standing(
        *(verdict("correct", on(line), seq, correction=Correction(level="low")) for seq, line in enumerate(lines(), 1))
    )
    lowered = 0
    for line in lines(decided):
        risk = line["risk"]
        if _LEVELS.index(risk["level"]) < _LEVELS.index(risk["floor"]):
            assert {"review"} & {factor["name"] for factor in risk["factors"]}
            lowered += 1
    assert lowered > 5


@pytest.mark.parametrize("kind", ["accept", "false_positive"])
def test_what_is_settled_still_says_what_the_rules_say_as_its_floor(kind: Kind) -> None:
    """By a verdict as by the allow-list; what passes anyway is nothing for the rules either."""
    plain = lines()
    situations = {(line["class"], line["status"], str(line["features"])): situation(line) for line in plain}
    verdicts = [
        verdict(kind, Target(None, None, one), seq, owner="ops", until="2030-01-01")
        for seq, one in enumerate(situations.values(), 1)
    ]
    settled = lines(standing(*verdicts))
    status: Literal["accepted", "false_positive"] = "accepted" if kind == "accept" else "false_positive"
    for before, after in zip(plain, settled, strict=True):
        if before["threat_intel"]:
            continue
        assert (after["status"], after["risk"]["level"]) == (status, "info")
        assert after["risk"]["floor"] == before["risk"]["floor"] == after["review"]["level_without"]
    assert {line["risk"]["floor"] for line in settled} >= {"low", "critical"}
    expires = date(2030, 1, 1)
    allowed = [
        Allow(**{"class": line["class"]}, owner="o", reason="r", expires=expires, status=status) for line in plain
    ]
    for before, after in zip(plain, lines(policy=policy_of(allow=allowed)), strict=True):
        assert (after["status"], after["risk"]["level"]) == (status, "info")
        assert after["risk"]["floor"] == before["risk"]["floor"]


def test_a_false_positive_is_no_evidence_and_an_accepted_risk_is() -> None:
    before = worst()
    wrong = the(lines(standing(verdict("false_positive", on(before)))), before["fingerprint"])
    accepted = the(lines(standing(verdict("accept", on(before), owner="o", until="2030-01-01"))), before["fingerprint"])
    assert before["compliance"] and wrong["status"] == "false_positive" and wrong["risk"]["score"] == 0
    assert {control["evidence"] for control in accepted["compliance"]} == {
        control["evidence"] for control in before["compliance"]
    }
    assert "failing" not in {control["evidence"] for control in wrong["compliance"]}
    assert wrong["compliance"] != accepted["compliance"]


def test_texts_action_controls_and_techniques_are_the_reviewer_s_where_the_finding_has_them() -> None:
    before = next(line for line in lines() if len(line["remediation"]) > 1 and len(line["compliance"]) > 1)
    last = before["remediation"][-1]["id"]
    control = f"{before['compliance'][-1]['framework']}:{before['compliance'][-1]['control']}"
    decided = Correction(
        action=last,
        controls=(control, "nist_800_53_r5:XX-9"),
        techniques=("T9999",),
        assessment="It is\x1b[31m ours.",
    )
    line = the(lines(standing(verdict("correct", on(before), correction=decided))), before["fingerprint"])
    said = line["analysis"]
    assert (said["origin"], said["text_by"], said["action"]) == ("review", "review", last)
    assert [f"{one['framework']}:{one['control']}" for one in said["controls"]] == [control]
    assert said["techniques"] == [] and said["impact"] == before["analysis"]["impact"]
    assert said["assessment"] == "It is\\x1b[31m ours." and line["risk"] == before["risk"]


def test_a_corrected_class_brings_its_mappings_and_is_named_as_a_person_s_word() -> None:
    before = worst()
    decided = standing(verdict("correct", on(before), correction=Correction(class_id="ioc.suspicious_environment")))
    line = the(lines(decided), before["fingerprint"])
    assert (line["class"], line["class_basis"]) == ("ioc.suspicious_environment", "review")
    assert line["remediation"] != before["remediation"]
    gone = standing(verdict("correct", on(before), correction=Correction(class_id="of.newer_knowledge")))
    assert the(lines(gone), before["fingerprint"])["class"] == before["class"]


def test_a_situation_reaches_all_its_findings_here_or_everywhere_and_no_others() -> None:
    before = worst()
    for host, reached in (("web01", True), ("db02", False), (None, True)):
        decided = standing(verdict("false_positive", Target(host, None, situation(before))))
        for line, plain in zip(lines(decided), lines(), strict=True):
            hit = reached and situation(plain) == situation(before)
            assert (line["status"] == "false_positive") == hit
            assert line.get("review", {}).get("scope") == (("host" if host else "everywhere") if hit else None)


def test_what_passes_and_is_held_for_bad_is_open() -> None:
    plain = session_of(report("web01-base-full.json.gz"), shared(), {})
    passed = next(line for line in documents(lines_of(plain)) if line["status"] == "passed")
    decided = standing(verdict("correct", on(passed), correction=Correction(level="high")))
    session = session_of(report("web01-base-full.json.gz"), shared(), {}, standing=decided)
    line = the(documents(lines_of(session)), passed["fingerprint"])
    assert (line["status"], line["risk"]["level"], line["review"]["status_without"]) == ("open", "high", "passed")
    assert any(issue["level"] == "high" for issue in record_of(session)["issues"])


# Policy and verdict

ALLOW = Allow.model_validate({"class": CLASS, "owner": "boss", "reason": "known", "expires": date(2030, 1, 1)})


def set_to(severity: str) -> Override:
    return Override.model_validate({"class": CLASS, "severity": severity, "reason": "here it is"})


def test_policy_and_verdict_disagree_and_the_stricter_counts_and_it_is_said() -> None:
    before = next(line for line in lines() if line["class"] == CLASS)
    name = before["fingerprint"]

    def judged(policy: Policy, kind: Kind, **more: Any) -> dict[str, Any]:
        return the(lines(standing(verdict(kind, on(before), **more)), policy), name)

    stricter = judged(policy_of(allow=[ALLOW]), "correct", correction=Correction(level="high"))
    assert (stricter["status"], stricter["risk"]["level"], stricter["suppression"]) == ("open", "high", None)
    assert stricter["review"]["status_without"] == "accepted"

    override = policy_of(overrides=[set_to("critical")])
    for kind, more in (
        ("accept", {"owner": "o", "until": "2030-01-01"}),
        ("false_positive", {}),
        ("correct", {"correction": Correction(level="low")}),
    ):
        held = judged(override, kind, **more)  # type: ignore[arg-type]
        assert (held["status"], held["risk"]["level"]) == ("open", "critical")
        assert "stricter" in held["review"]["overruled"]
    lower = policy_of(overrides=[set_to("low")])
    raised = judged(lower, "correct", correction=Correction(level="critical"))
    assert raised["risk"]["level"] == "critical" and "overruled" not in raised["review"]

    both = judged(policy_of(allow=[ALLOW]), "false_positive")
    assert (both["status"], both["suppression"]["owner"]) == ("accepted", "boss")
    assert "allow-list" in both["review"]["overruled"]
    approved = judged(policy_of(allow=[ALLOW]), "approve")
    assert approved["status"] == "accepted" and "overruled" not in approved["review"]


def test_an_acceptance_falls_away_by_the_scan_s_own_time_and_is_named_as_those_of_the_policy_are() -> None:
    before = worst()
    as_of = before["as_of"][:10]
    for until, holds in ((as_of, True), ("2026-01-01", False)):
        decided = standing(verdict("accept", on(before), owner="ops", until=until))
        session = session_of(report(SCAN), shared(), {}, standing=decided)
        line = the(documents(lines_of(session)), before["fingerprint"])
        assert (line["status"] == "accepted") == holds and ("review" in line) == holds
        expired = record_of(session)["policy"]["expired"]
        assert expired == [] if holds else expired == [
            {
                "owner": "ops", "reason": "looked at", "expires": until, "class": None,
                "fingerprint": before["fingerprint"], "verdict": 1,
            }
        ]  # fmt: skip


# Same bytes


def test_same_input_and_same_prefix_of_the_log_give_the_same_bytes_and_a_longer_log_changes_nothing_of_it() -> None:
    before = worst()
    log = [
        verdict("accept", on(before), 1, owner="ops", until="2030-01-01"),
        verdict("false_positive", Target(None, None, situation(before)), 2),
        verdict("undo", on(before), 3, undoes=1),
    ]
    made: list[bytes] = []
    for prefix in (1, 2, 3):
        for verdicts in (log[:prefix], [replace(one) for one in log][:prefix]):
            session = session_of(report(SCAN), shared(), {}, standing=Standing(verdicts, Head(prefix, "b" * 64)))
            made.append(b"\n".join(line.line for line in lines_of(session)) + write(session.record()))
        assert made[-1] == made[-2]
    assert len(set(made)) == 3


@pytest.mark.parametrize("kind", ["model", "knowledge"])
def test_another_model_and_other_knowledge_keep_verdicts(kind: str) -> None:
    """Also knowledge that tells the findings of the class apart by one more word, which changes every digest."""
    before = worst()
    decided = standing(
        verdict("accept", on(before), 1, owner="ops", until="2030-01-01"),
        verdict("correct", Target(None, None, situation(before)), 2, correction=Correction(level="low")),
    )
    if kind == "model":
        found = lines(decided, analyst=PlainAnalyst())
    else:
        known = shared().knowledge
        spec = known.classes[before["class"]]
        more = spec.model_copy(update={"meaning": "Told otherwise.", "title": "Another title"})
        known = known.model_copy(update={"classes": {**known.classes, before["class"]: more}, "digest": "1" * 32})
        session = session_of(report(SCAN), resources(known=known), {}, standing=decided)
        found = documents(lines_of(session))
    line = the(found, before["fingerprint"])
    assert line["analysis"]["key"] != before["analysis"]["key"]
    assert line["status"] == "accepted" and line["review"]["seq"] == 1
    others = [one for one in found if situation_words(one) == situation_words(before) and one != line]
    for other in others:
        assert other["review"]["seq"] == 2 and other["risk"]["level"] == "low"


def situation_words(line: dict[str, Any]) -> bytes:
    return orjson.dumps([line["class"], line["features"]], option=orjson.OPT_SORT_KEYS)
