"""What comes out of findings that no class knows, or not by the scanner's own words."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from pipeline.finding import RawFinding
from pipeline.output.read import read_scan
from pipeline.output.todo import first_steps
from pipeline.scorecard.hidden_answers import kinds
from pipeline.scorecard.hostile import Traces
from pipeline.scorecard.payloads import HOSTILE
from tests.pipeline.schemas import contract
from tests.pipeline.sessions import (
    documents,
    lines_of,
    made_up,
    record_of,
    report,
    session_of,
    shared,
)
from tests.pipeline.unknown import finding


def told(*findings: RawFinding) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    session = session_of(made_up(findings), shared(), {})
    return documents(lines_of(session)), record_of(session)


def test_an_unknown_finding_comes_out_with_its_words_and_what_it_looks_like() -> None:
    raw = finding("docker:socket")
    (line,), record = told(raw)
    contract("enriched-1").check(line)
    contract("scan-1").check(record)
    assert line["class"] == "unknown.container_audit"
    assert (line["finding"]["title"], line["finding"]["description"]) == (raw.title, raw.description)
    assert line["likely"]["topics"][0]["title"] in line["analysis"]["assessment"]
    assert line["likely"]["look"]["summary"] in line["analysis"]["impact"]
    (issue,) = record["issues"]
    assert (issue["title"], issue["reported"]) == (raw.title, raw.description)
    assert issue["likely"]["topic"] == line["likely"]["topics"][0]["topic"]
    assert issue["likely"]["look"] == line["likely"]["look"]


def test_what_is_retrieved_is_no_evidence() -> None:
    (line,), record = told(finding("cron:perm:/etc/crontab"))
    assert line["likely"]["controls"] and {one["basis"] for one in line["likely"]["controls"]} == {"retrieved"}
    assert line["compliance"] == [] and line["remediation"] == [] and line["analysis"]["controls"] == []
    assert all(not gap["failing"]["sourced"] and not gap["failing"]["inferred"] for gap in record["compliance"])


def test_every_unknown_finding_is_an_issue_under_its_own_title_and_a_question_of_its_own() -> None:
    raws = [one.raw for one in kinds()]
    lines, record = told(*raws)
    assert sorted(issue["title"] for issue in record["issues"]) == sorted(str(raw.title) for raw in raws)
    # Two with the same words, severity and scanner are one question; all of these differ.
    assert len({line["analysis"]["key"] for line in lines}) == len(raws)


def test_the_same_first_look_is_said_once_among_what_is_to_be_done() -> None:
    raw = finding("docker:socket")
    others = [replace(raw, id=f"other:{word}", title=f"{raw.title} {word}") for word in ("again", "here", "now")]
    record = read_scan(orjson.dumps(told(raw, *others)[1]))
    assert len({issue.likely.look.command for issue in record.issues if issue.likely and issue.likely.look}) == 1
    assert len(record.issues) == 4
    (step,) = first_steps(record.issues, 3)
    assert step.is_look and step.command is not None


def test_the_scanners_severity_stands() -> None:
    for one in kinds():
        (line,), _ = told(one.raw)
        assert line["risk"]["level"] == one.raw.severity


def test_a_known_finding_has_none_of_this() -> None:
    session = session_of(report("web01-ioc.json"), shared(), {})
    lines, record = documents(lines_of(session)), record_of(session)
    assert not any("likely" in line for line in lines)
    assert not any("likely" in issue or "reported" in issue for issue in record["issues"])


def test_a_finding_in_other_words_shows_them() -> None:
    known = next(raw for raw in report("web01-ioc.json").findings if raw.scanner == "suid_sgid")
    drifted = replace(known, title="A set-id program nobody listed", description="New wording")
    _, record = told(drifted)
    (issue,) = record["issues"]
    assert issue["reported"] == "A set-id program nobody listed: New wording"
    assert "likely" not in issue


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_text_changes_no_level_and_reaches_no_analysis_and_no_command(kind: str) -> None:
    """In title and description: what it says may change the guess, never the level, and nothing of it is repeated."""
    payload, raw = HOSTILE[kind], finding("docker:socket")
    plain = told(raw)[0][0]
    traces = Traces(payload, shared().retriever.known_names())
    for changed in (
        replace(raw, title=payload),
        replace(raw, description=payload),
        replace(raw, title=f"{raw.title} {payload}", description=f"{payload} {raw.description}"),
    ):
        (line,), record = told(changed)
        contract("enriched-1").check(line)
        contract("scan-1").check(record)
        assert (line["class"], line["status"], line["risk"], line["remediation"]) == (
            plain["class"], plain["status"], plain["risk"], plain["remediation"],
        )  # fmt: skip
        said = [line["analysis"]["assessment"], line["analysis"]["impact"], orjson.dumps(line["likely"]).decode()]
        assert not any(traces.within(text) for text in said)
        look = line["likely"].get("look")
        assert look is None or look["command"] in {one.command for one in shared().knowledge.looks.values()}
