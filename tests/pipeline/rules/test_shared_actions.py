"""Actions that findings share."""

import pytest

from pipeline.classes.scan import ScanIndex
from pipeline.intel.match import load_intel
from pipeline.rules.class_rules import ClassRules
from pipeline.rules.judge import Judge
from pipeline.rules.policy import Policy
from pipeline.rules.remediate import Action
from tests.pipeline.composed import SCANS, indexed, knowledge


def test_rules_that_judged_other_scans_give_the_actions_of_fresh_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Actions are shared between findings and scans; what one of them says must not come out at another."""
    monkeypatch.setattr("pipeline.rules.class_rules._MAX_SHARED", 50)
    shared = ClassRules(knowledge(), "default")

    def actions(index: ScanIndex, rules: ClassRules) -> list[tuple[Action, ...]]:
        judge = Judge(index, {}, knowledge(), Policy(), load_intel([]), None, rules)
        return [judge.judge(member.seq).remediation for member in index.members]

    compared = 0
    for name in ("web01-ioc.json", "db02-full.json.gz", "web01-base-full.json.gz", "web01-ioc.json"):
        index = indexed((SCANS / name).read_bytes())
        fresh = actions(index, ClassRules(knowledge(), "default"))
        assert actions(index, shared) == fresh, name
        compared += len({action for several in fresh for action in several})
    assert compared > 200
