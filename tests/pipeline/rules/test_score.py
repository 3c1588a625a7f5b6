"""Scores: what raises a finding, what lowers it, and that every point has a name."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.finding import LEVELS, SEVERITIES, Level, Severity, Status
from pipeline.intel.match import load_intel
from pipeline.rules.class_rules import ClassRules
from pipeline.rules.correlate import Correlator, groups_of_findings
from pipeline.rules.judge import Judge, Judgement
from pipeline.rules.policy import Override, Policy
from pipeline.rules.score import Evidence, Risk, level_of, score
from pipeline.steps import finish
from tests.pipeline.composed import SCANS, Piece, indexed, knowledge, real, report


def evidence(severity: Severity = "medium", status: Status = "open", **known: object) -> Evidence:
    return Evidence(status=status, severity=severity, severity_why="the scanner's severity", **known)  # type: ignore[arg-type]


def factors(risk: Risk) -> dict[str, int]:
    return {factor.name: factor.points for factor in risk.factors}


LEVEL = st.sampled_from(LEVELS)
REASONS = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), LEVEL), max_size=4)
ANY = st.builds(
    Evidence,
    status=st.sampled_from(["open", "unknown"]),
    severity=st.sampled_from(SEVERITIES),
    severity_why=st.just("the scanner's severity"),
    artefact=st.none() | st.tuples(st.sampled_from(["certain", "likely", "cannot_tell"]), st.just("why")),
    keep_medium=st.booleans(),
    known=REASONS,
    raised_by=REASONS,
    intel=st.lists(st.sampled_from(["x", "y"]), max_size=2),
    core_controls=st.integers(0, 9),
    regressed=st.booleans(),
)


def rank(level: Level) -> int:
    return LEVELS.index(level)


def without_artefact(seen: Evidence) -> Evidence:
    return Evidence(
        seen.status, seen.severity, seen.severity_why, None, seen.keep_medium, seen.known, seen.raised_by, seen.intel,
        seen.core_controls, seen.regressed,
    )  # fmt: skip


def test_each_severity_lies_in_the_band_of_its_name() -> None:
    assert [score(evidence(severity)).level for severity in LEVELS] == list(LEVELS)
    assert [level_of(points) for points in (0, 19, 20, 59, 60, 99, 100)] == [
        "info", "info", "low", "medium", "high", "critical", "critical",
    ]  # fmt: skip


@given(ANY)
def test_the_factors_add_up_to_the_score(seen: Evidence) -> None:
    risk = score(seen)
    assert sum(factor.points for factor in risk.factors) == risk.score
    assert 0 <= risk.score <= 100
    assert risk.level == risk.floor == level_of(risk.score)
    assert all(factor.why for factor in risk.factors)


@given(ANY)
def test_an_artefact_lowers_by_at_most_one_level(seen: Evidence) -> None:
    before, after = score(without_artefact(seen)), score(seen)
    assert 0 <= rank(before.level) - rank(after.level) <= 1


@given(ANY)
def test_an_indicator_raises_to_high_and_no_artefact_lowers_it(seen: Evidence) -> None:
    if seen.intel:
        assert rank(score(seen).level) >= rank("high")
        assert score(seen).score == score(without_artefact(seen)).score


@given(ANY)
def test_what_asks_for_a_level_gets_it_unless_the_scanner_is_probably_wrong(seen: Evidence) -> None:
    level = score(without_artefact(seen)).level
    assert all(rank(level) >= rank(least) for _, least in [*seen.known, *seen.raised_by])


@given(ANY)
def test_a_source_of_raises_stands_once_and_only_where_it_adds_points(seen: Evidence) -> None:
    named = [factor for factor in score(seen).factors if factor.name in ("knowledge", "correlation")]
    assert len({factor.name for factor in named}) == len(named)
    assert all(factor.points > 0 for factor in named)


@given(st.sampled_from(LEVELS[2:]), st.sampled_from(["certain", "likely"]))
def test_evidence_that_anyone_can_forge_never_takes_an_indicator_below_medium(severity: Level, degree: str) -> None:
    risk = score(evidence(severity, artefact=(degree, "an upgrade that waits for a restart"), keep_medium=True))
    assert rank(risk.level) >= rank("medium")
    assert rank(risk.level) == max(rank(severity) - 1, rank("medium"))


def test_the_same_evidence_takes_others_down_a_level_and_doubt_alone_takes_nothing() -> None:
    assert score(evidence(artefact=("likely", "why"))).level == "low"
    assert score(evidence(artefact=("certain", "why"))).level == "low"
    assert score(evidence(artefact=("cannot_tell", "why"))).level == "medium"
    assert factors(score(evidence(artefact=("cannot_tell", "why")))) == {"base_severity": 50, "scanner_artefact": 0}


@pytest.mark.parametrize("severity", SEVERITIES)
def test_what_passed_scores_nothing_whatever_else_is_known(severity: Severity) -> None:
    for status in ("passed", "false_positive"):
        seen = evidence(severity, status, known=[("a", "high")], raised_by=[("b", "critical")], intel=["x"])
        assert (score(seen).score, score(seen).level) == (0, "info")
    for status in ("info", "accepted"):
        seen = evidence(severity, status, raised_by=[("b", "critical")])  # type: ignore[arg-type]
        assert score(seen).level == "info"


def test_a_scanner_that_failed_is_a_medium_finding() -> None:
    assert score(evidence("error", "error")).level == "medium"


def test_controls_and_a_regression_do_not_change_the_level_by_themselves() -> None:
    for severity in LEVELS:
        assert score(evidence(severity, core_controls=9, regressed=True)).level == severity


def test_the_highest_of_several_reasons_stands_the_first_of_equals() -> None:
    risk = score(evidence("low", raised_by=[("one", "medium"), ("two", "high"), ("three", "high")]))
    assert [(factor.name, factor.points, factor.why) for factor in risk.factors[1:]] == [
        ("correlation", 40, "part of a pattern: two")
    ]


@given(st.lists(LEVEL, min_size=2, max_size=4))
def test_a_correlation_never_takes_points_away(levels: list[Level]) -> None:
    for level, least in pairwise(levels):
        assert score(evidence(level, raised_by=[("a", least)])).score >= score(evidence(level)).score


# What the knowledge holds the scanner's severity for too low.


def judged(piece: Piece, policy: Policy | None = None, **meta: str) -> Judgement:
    policy = policy or Policy()
    index = indexed(report([piece], **meta))
    rules = ClassRules(knowledge(), policy.profile)
    groups = Correlator(knowledge(), policy.profile).correlate(index)
    return Judge(index, finish(groups_of_findings(groups)), knowledge(), policy, load_intel([]), None, rules).judge(0)


def pattern(exe: str, command: str) -> Piece:
    found = real("web01-ioc.json", "ioc", "/usr/bin/sleep:512")
    description = f"Process with suspicious patterns: {exe}"
    return found.but(id=f"{exe}:512", description=description, metadata={"command": command})


def knowledge_factor(found: Judgement) -> int:
    return factors(found.risk).get("knowledge", 0)


def test_a_program_that_calls_itself_a_kernel_thread_is_high() -> None:
    found = judged(real("web01-ioc.json", "ioc", "/usr/bin/sleep:513"))
    assert found.severity == "low"
    assert found.risk.level == "high"
    assert knowledge_factor(found) > 0
    preloaded = real("web01-ioc.json", "ioc", "/usr/bin/sleep:510").but(metadata={"command": "[kworker/0:1]"})
    assert judged(preloaded).risk.level == "high"


@pytest.mark.parametrize(
    ("exe", "command", "level"),
    [
        ("/opt/m/xmrig", "xmrig", "high"),
        ("/opt/m/xmrig", "xmrig-6.21", "high"),
        ("/opt/m/xmrig", "xmrig: worker", "high"),
        ("/usr/bin/sleep", "xmrig", "medium"),
        ("/usr/bin/sleep", "chatbot-relay", "low"),
        ("/usr/bin/tail", "tail", "low"),
    ],
)
def test_a_coin_miner_by_name_is_worse_than_a_word_in_a_command_line(exe: str, command: str, level: Level) -> None:
    found = judged(pattern(exe, command))
    assert found.severity == "low"
    # An artefact may lower what is a mere word.
    assert found.risk.level == level or (level == "low" and found.risk.level in ("info", "low"))
    assert (knowledge_factor(found) > 0) == (level != "low")


def test_a_set_id_file_that_the_distribution_does_not_have_is_at_least_medium() -> None:
    planted = real("web01-ioc.json", "suid_sgid", "/usr/bin/sudo").but(id="/srv/sudo")
    found = judged(planted)
    assert (found.severity, found.status, found.risk.level) == ("low", "open", "high")  # and nobody installs one there
    for path in ("/srv/x/helper", "/usr/local/bin/helper", "/var/tmp/helper"):
        rewritten = real("web01-ioc.json", "suid_sgid", "/usr/bin/expiry").but(id=path, severity="low")
        assert rank(judged(rewritten).risk.level) >= rank("medium"), path


def test_a_set_id_file_of_the_distribution_is_not_raised() -> None:
    assert judged(real("web01-ioc.json", "suid_sgid", "/usr/bin/sudo")).risk.level == "info"
    stock = judged(real("web01-ioc.json", "suid_sgid", "/usr/bin/crontab"))
    assert stock.risk.level == "low"
    assert knowledge_factor(stock) == 0


def test_the_operators_own_severity_stands_against_the_knowledge() -> None:
    policy = Policy(overrides=[Override.model_validate({"class": "ioc.*", "severity": "low", "reason": "a test"})])
    found = judged(real("web01-ioc.json", "ioc", "/usr/bin/sleep:513"), policy)
    assert found.risk.level == "low"
    assert knowledge_factor(found) == 0


def test_a_correlation_raises_the_members_that_it_names() -> None:
    pieces = [real("web01-ioc.json", "ioc", "/tmp/.cache-helper:509"), real("micro-nolsm.json", "mac", "mac_none"),
              real("micro-nolsm.json", "auditd", "auditd:execve")]  # fmt: skip
    index = indexed(report(pieces))
    groups = Correlator(knowledge(), "default").correlate(index)
    rules = ClassRules(knowledge(), "default")
    audit = Judge(index, finish(groups_of_findings(groups)), knowledge(), Policy(), load_intel([]), None, rules).judge(
        2
    )
    assert audit.severity == "medium"
    assert audit.risk.level == "high"
    assert factors(audit.risk)["correlation"] > 0


def test_on_an_ordinary_host_the_knowledge_raises_nothing() -> None:
    for name in ("web01-base-full.json.gz", "db02-full.json.gz", "web01-base-default.ndjson"):
        index = indexed((SCANS / name).read_bytes())
        rules = ClassRules(knowledge(), "default")
        groups = Correlator(knowledge(), "default").correlate(index)
        judge = Judge(index, finish(groups_of_findings(groups)), knowledge(), Policy(), load_intel([]), None, rules)
        assert not [m.seq for m in index.members if knowledge_factor(judge.judge(m.seq))], name
