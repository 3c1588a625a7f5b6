"""What gets into a plan, in which order, and what is left to a person with the reason."""

from dataclasses import replace

import pytest

from pipeline.output.formats.wanted import Wanted
from pipeline.output.plan.order import LATE, LOOK_FIRST, place
from pipeline.output.plan.steps import WHY_TEXTS
from tests.pipeline.output.formats.exported import accepted, real_scans
from tests.pipeline.output.plan.planned import finding_with, kinds, knowledge, plan_for, plan_of

NAMES = [name for name, _ in real_scans()]


@pytest.mark.parametrize("name", NAMES)
def test_every_finding_is_in_a_step_or_named_or_counted(name: str) -> None:
    plan = plan_of(name)
    scan = next(scan for of, scan in real_scans() if of == name)
    counted = sum(step.findings for step in plan.steps) + sum(one.findings for one in plan.asides)
    assert counted + sum(count for _, count in plan.left_out) == sum(1 for _ in scan.findings())
    for step in plan.steps:
        assert step.check and step.rollback and step.note in step.command
    for one in plan.asides:
        assert one.why in WHY_TEXTS


@pytest.mark.parametrize("name", NAMES)
def test_packages_come_before_what_configures_them_and_reboots_last(name: str) -> None:
    places = [place(step.action, kinds()[step.action]) for step in plan_of(name).steps]
    assert places == sorted(places)


def test_the_order_holds_for_all_actions() -> None:
    rank = {name: place(name, kind) for name, kind in kinds().items()}
    assert rank["audit.install"] < rank["audit.rules_all"] < rank["systemd.dropin"] < rank["kernel.cmdline_add"]
    assert rank["service.disable"] < rank["systemd.dropin"]
    assert max(rank[name] for name in rank if kinds()[name] not in ("manual", "accept")) == rank["apparmor.enable"]
    assert LOOK_FIRST.keys() <= knowledge().remediations.keys()
    changing = {kind for kind in kinds().values() if kind not in ("manual", "accept")}
    assert [kind for kind in sorted(changing) if place("any.action", kind) == LATE] == []


def test_what_would_break_something_has_its_reason_and_no_command() -> None:
    finding = finding_with("sysctl.set", {"key": "kernel.sysrq", "value": "0"})
    barred = replace(finding.remediation[0], command=None, rollback=None, contraindicated="the console needs it")
    plan = plan_for(replace(finding, remediation=(barred,)))
    assert plan.steps == ()
    assert [(one.why, one.reason) for one in plan.asides] == [("breaks", "the console needs it")]


def test_a_look_comes_before_a_change_whatever_a_model_chose() -> None:
    remove = finding_with("file.remove_setuid", {"path": "/usr/local/bin/x"})
    look = finding_with("file.investigate_setuid", {"path": "/usr/local/bin/x"})
    both = replace(remove, remediation=(*look.remediation, *remove.remediation))
    assert both.analysis.action == "file.remove_setuid"
    assert [one.why for one in plan_for(both).asides] == ["by_hand"]
    decided = replace(both, analysis=replace(both.analysis, origin="review"))
    assert [step.action for step in plan_for(decided).steps] == ["file.remove_setuid"]


def test_what_needs_a_look_is_written_only_when_asked_for() -> None:
    finding = finding_with("mount.tmp_noexec", {"mountpoint": "/tmp"})
    assert [one.why for one in plan_for(finding).asides] == ["look_first"]
    assert [step.action for step in plan_for(finding, included=["mount.tmp_noexec"]).steps] == ["mount.tmp_noexec"]


def test_accepted_findings_and_mistakes_of_the_scanner_change_nothing() -> None:
    finding = finding_with("sysctl.set", {"key": "kernel.sysrq", "value": "0"})
    settled = accepted(replace(finding, dedupe_key="1" * 32))
    plan = plan_for(settled)
    assert (plan.steps, plan.asides, plan.left_out) == ((), (), (("accepted", 1),))
    mistaken = next(
        one for _, scan in real_scans() for one in scan.findings() if one.artefact and one.artefact.degree == "certain"
    )
    plan = plan_for(replace(finding, artefact=mistaken.artefact))
    assert plan.steps == ()
    assert [one.why for one in plan.asides] == ["mistaken"]


def test_one_setting_is_set_once() -> None:
    low = finding_with("sysctl.set", {"key": "kernel.sysrq", "value": "0"}, 1)
    high = finding_with("sysctl.set", {"key": "kernel.sysrq", "value": "4"}, 2)
    high = replace(high, risk=replace(high.risk, score=high.risk.score + 1))
    plan = plan_for(low, high)
    (step,) = plan.steps
    assert "echo 4 >" in step.command
    assert [one.why for one in plan.asides] == ["settled_elsewhere"]
    again = plan_for(low, replace(low, dedupe_key="2" * 32))
    assert [step.findings for step in again.steps] == [2]


def test_a_rule_that_another_step_writes_too_is_not_written_twice() -> None:
    plan = plan_for(finding_with("audit.rules_all", {}, 1), finding_with("audit.rules_execve", {}, 2))
    assert [step.action for step in plan.steps] == ["audit.rules_all"]
    assert [one.why for one in plan.asides] == ["settled_elsewhere"]


def test_filters_leave_out_and_count() -> None:
    whole, some = plan_of("web01-sysctl-weak.json"), plan_of("web01-sysctl-weak.json", Wanted(level="medium"))
    assert 0 < len(some.steps) < len(whole.steps)
    assert dict(some.left_out)["not of --level medium"] > 0
    assert {step.level for step in some.steps} <= {"medium", "high", "critical"}
