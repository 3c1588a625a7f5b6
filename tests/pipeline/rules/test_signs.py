"""Signs that a finding is worse than its severity says: what each asks for, and what keeps it from counting."""

from dataclasses import replace
from typing import get_args

import pytest

from pipeline.finding import LEVELS, Level
from pipeline.intel.match import load_intel
from pipeline.rules.class_rules import ClassRules
from pipeline.rules.correlate import Correlator, groups_of_findings
from pipeline.rules.judge import Judge, Judgement
from pipeline.rules.policy import Override, Policy
from pipeline.rules.score import FactorName, level_of
from pipeline.rules.signs import SIGNS, SignName, Subject, count_patterns, strongest
from pipeline.steps import finish
from tests.pipeline.analysts import PlainAnalyst
from tests.pipeline.composed import Piece, indexed, knowledge, real, report
from tests.pipeline.sessions import FILES, corpus, documents, lines_of, reports, resources, session_of

SETID = Subject("suid_sgid.unexpected", "privileged_file", {"owner": "none", "place": "usr_local"})


def judged(pieces: list[Piece], policy: Policy | None = None, **meta: str) -> list[Judgement]:
    policy = policy or Policy()
    index = indexed(report(pieces, **meta))
    groups = finish(groups_of_findings(Correlator(knowledge(), policy.profile).correlate(index)))
    rules = ClassRules(knowledge(), policy.profile)
    judge = Judge(index, groups, knowledge(), policy, load_intel([]), None, rules)
    return [judge.judge(member.seq) for member in index.members]


def factors(found: Judgement) -> dict[str, int]:
    return {factor.name: factor.points for factor in found.risk.factors}


@pytest.mark.parametrize(
    ("features", "level"),
    [
        ({"owner": "none", "place": "usr_local"}, None),
        ({"owner": "none", "place": "home"}, "high"),
        ({"owner": "none", "place": "usr_local", "lookalike": "near"}, "high"),
        ({"owner": "none", "place": "usr_local", "lookalike": "homoglyph"}, "critical"),
        ({"owner": "none", "place": "usr_local", "tool": "shell"}, "critical"),
        ({"owner": "distribution", "place": "system_bin", "tool": "shell"}, None),
    ],
)
def test_what_a_set_id_file_deserves(features: dict[str, str], level: Level | None) -> None:
    sign = strongest(replace(SETID, features=features), "medium")
    assert (sign[1] if sign is not None else None) == level


def test_only_what_asks_for_more_than_the_level_counts_and_the_first_of_equals_is_named() -> None:
    both = replace(SETID, features={"owner": "none", "place": "home", "name": "hidden"})
    assert strongest(both, "low") == ("hiding_privilege", "high", "packaged programs are not named so")
    assert strongest(both, "high") is None
    assert strongest(replace(both, features={**both.features, "tool": "shell"}), "high") == (
        "privileged_interpreter", "critical", "it gives its rights to any code",
    )  # fmt: skip


def test_several_patterns_give_one_level_more_where_nothing_speaks_for_a_mistake() -> None:
    several = Subject("ioc.deleted_executable", "process", {}, patterns=2)
    assert [strongest(several, level) for level in ("info", "critical")] == [None, None]
    steps: tuple[tuple[Level, Level], ...] = (("low", "medium"), ("medium", "high"), ("high", "critical"))
    for level, above in steps:
        sign = strongest(several, level)
        assert sign is not None
        assert sign[:2] == ("several_patterns", above)
    assert strongest(replace(several, patterns=1), "low") is None
    assert strongest(replace(several, is_doubtless=False), "low") is None


def test_settings_that_are_weak_together_and_one_thing_seen_twice_are_no_patterns_of_an_attack() -> None:
    assert count_patterns(["files.setid_shell_seen_twice", "kernel.exploits_made_easy", "mounts.x"]) == 0
    assert count_patterns(["files.privileged_and_writable", "process.start_not_recorded", "kernel.rootkit_x"]) == 3
    assert count_patterns(["process.start_not_recorded"] * 2) == 1


def test_an_indicator_alone_is_no_sign_and_with_a_pattern_it_is_critical() -> None:
    alone = Subject("ioc.deleted_executable", "process", {}, has_indicator=True)
    assert strongest(alone, "high") is None
    found = strongest(replace(alone, patterns=1), "high")
    assert found is not None
    assert found[:2] == ("indicator_in_pattern", "critical")


def test_every_sign_has_a_name_of_its_own_that_is_a_factor() -> None:
    names = [sign.name for sign in SIGNS]
    assert len(names) == len(set(names))
    assert {*names, "several_patterns"} == set(get_args(SignName)) < set(get_args(FactorName))


def altered(path: str) -> Piece:
    """Package verification of a program whose content differs."""
    found = real("web01-wk2-integrity-critical.json", "integrity", "pkg_mismatch:0")
    return found.but(metadata={"path": path, "raw": f"??5??????   {path}"})


HELPER = real("web01-ioc.json", "ioc", "/tmp/.cache-helper:509")


def test_a_sign_is_a_factor_with_its_reason_and_raises_the_floor() -> None:
    (found,) = judged([HELPER])
    assert found.severity == "high"
    assert (found.risk.level, found.risk.floor) == ("critical", "critical")
    assert found.risk.factors[-1].name == "hidden_in_scratch"
    assert found.risk.factors[-1].points == 20
    assert found.risk.factors[-1].why == "nothing honest hides in a scratch directory"


def test_a_probable_mistake_of_the_scanner_has_no_signs() -> None:
    (found,) = judged([real("web01-ioc.json", "suid_sgid", "/usr/bin/crontab")])
    assert found.artefact is not None
    assert not set(factors(found)) & set(get_args(SignName))


def test_the_operators_own_severity_stands_against_the_signs_and_the_model() -> None:
    policy = Policy(overrides=[Override.model_validate({"class": "ioc.*", "severity": "low", "reason": "a test"})])
    (found,) = judged([HELPER], policy)
    assert (found.risk.level, found.is_level_final) == ("low", True)
    on = resources(policy=policy, analyst=PlainAnalyst(level="critical"))
    lines = documents(lines_of(session_of(reports("web01-ioc.json")[0], on, {})))
    levels = {line["risk"]["level"] for line in lines if line["class"].startswith("ioc.") and line["status"] == "open"}
    assert "critical" not in levels
    assert {line["risk"]["level"] for line in lines if line["status"] == "open"} >= {"critical"}  # of other classes


BY_PATTERNS = {"correlation", "several_patterns"}


class TestTheScannersOwnProcess:
    """The scanner stands in its own report; what is a pattern elsewhere is its operator's doing there."""

    AROUND = (
        real("micro-nolsm.json", "auditd", "auditd:execve"), real("micro-nolsm.json", "mac", "mac_none"),
    )  # fmt: skip

    def of(self, exe: str, cmdline: str) -> Judgement:
        own = HELPER.but(
            id=f"{exe}:509", description=f"Process with world-writable executable: {exe}", metadata={"command": exe}
        )
        inventory = real("db02-users.json", "processes", "592").but(
            id="509", title="Process 509", description=exe, metadata={"uid": "0"}
        )
        return judged([own, inventory, *self.AROUND], cmdline=cmdline)[0]

    def test_it_is_raised_by_no_correlation(self) -> None:
        raised = self.of("/tmp/other", "/tmp/sys-scan --process-inventory")
        assert BY_PATTERNS & set(factors(raised))
        assert raised.risk.level == "critical"
        for cmdline in ("/tmp/sys-scan --process-inventory", "./sys-scan"):
            own = self.of("/tmp/sys-scan", cmdline)
            assert not BY_PATTERNS & set(factors(own)), cmdline
            assert own.risk.level == own.severity

    def test_a_program_that_only_bears_its_name_is_raised(self) -> None:
        for cmdline in ("sys-scan --process-inventory", "/usr/local/bin/sys-scan"):
            assert BY_PATTERNS & set(factors(self.of("/tmp/sys-scan", cmdline))), cmdline

    def test_a_shell_with_a_path_in_an_argument_is_raised_by_no_correlation_but_its_altered_file_is(self) -> None:
        for exe, is_raised in (("/usr/bin/bash", False), ("/usr/bin/tail", True)):
            found = real("web01-ioc.json", "ioc", "/usr/bin/tail:518").but(
                id=f"{exe}:518", description=f"Process with suspicious patterns: {exe}",
                metadata={"command": exe.rpartition("/")[2]},
            )  # fmt: skip
            process, file = judged([found, altered(exe)])
            assert ("correlation" in factors(process)) == is_raised
            assert factors(file).get("correlation", 0) > 0


@pytest.mark.parametrize("name", [name for name in FILES[::3] if name in corpus()])
def test_level_and_score_agree_in_every_line_and_issue_whoever_analysed(name: str) -> None:
    for analyst in (None, PlainAnalyst(level="high"), PlainAnalyst(level="critical")):
        for parsed in reports(name):
            session = session_of(parsed, resources(analyst=analyst), {})
            for line in documents(lines_of(session)):
                risk = line["risk"]
                assert risk["level"] == level_of(risk["score"]), (line["class"], risk)
                assert risk["score"] == sum(factor["points"] for factor in risk["factors"])
                assert LEVELS.index(risk["level"]) >= LEVELS.index(risk["floor"])
            for issue in session.record().issues:
                assert issue.level == level_of(issue.score), issue
