"""The baseline: a known class is its own nearest; a new one goes to the one that shares its words."""

from dataclasses import replace

import orjson
import pytest

from pipeline.analysis.prompt import Case
from pipeline.analysis.question import Answer
from pipeline.scorecard.cases import GoldCase
from pipeline.scorecard.nearest import Nearest, words_of
from tests.pipeline.scorecard.speakers import a_case

SUID = a_case()
SYSCTL = a_case(
    "kernel_params.rp_filter",
    category="kernel_param",
    title="Reverse path filtering",
    features={"value": "0"},
    controls=("nist_800_53_r5:AC-6", "nist_800_53_r5:SC-7"),
    techniques=("T1557",),
    actions=("sysctl.set",),
)


def taught(case: Case, *ids: str, action: str | None = None) -> GoldCase:
    controls, techniques = [one for one in ids if ":" in one], [one for one in ids if ":" not in one]
    return GoldCase(case, Answer("A b.", "C d.", "low", tuple(techniques), tuple(controls), action), "low", "s")


NEAREST = Nearest.learn(
    [
        taught(SUID, "nist_800_53_r5:AC-6", "T1548.001", action="file.mode"),
        taught(SUID, "nist_800_53_r5:AC-6", action="file.mode"),
        taught(SUID, "nist_800_53_r5:AC-6", "nist_800_53_r5:CM-7"),
        taught(SYSCTL, "nist_800_53_r5:SC-7", "T1557", action="sysctl.set"),
    ]
)


def test_most_cases_decide() -> None:
    answer = NEAREST.answer(SUID)
    assert (answer.controls, answer.techniques) == (("nist_800_53_r5:AC-6",), ())
    assert (answer.level, answer.remediation) == (SUID.floor, "file.mode")


def test_a_known_class_is_its_own() -> None:
    assert NEAREST.class_of(replace(SUID, title=SYSCTL.title, features=SYSCTL.features)) == SUID.class_id


def test_a_new_class_goes_to_the_one_that_shares_its_words() -> None:
    new = replace(SYSCTL, class_id="kernel_hardening.sysctl_rp_filter", features={"value": "1"})
    assert NEAREST.class_of(new) == SYSCTL.class_id
    assert NEAREST.answer(new).controls == ("nist_800_53_r5:SC-7",)


def test_nothing_is_taken_that_is_no_candidate() -> None:
    case = replace(SUID, controls=("nist_800_53_r5:SI-4",), techniques=(), actions=())
    answer = NEAREST.answer(case)
    assert (answer.controls, answer.techniques, answer.remediation) == ((), (), None)


def test_the_table_comes_back_as_it_was() -> None:
    table = orjson.loads(orjson.dumps(NEAREST.as_json()))
    again = Nearest.from_json(table)
    assert again.as_json() == NEAREST.as_json()
    assert [again.answer(case) for case in (SUID, SYSCTL)] == [NEAREST.answer(case) for case in (SUID, SYSCTL)]


def test_words_are_split_at_the_joints_of_names() -> None:
    found = words_of(a_case("systemd_units.ProtectKernelTunables", features={"role": "cpu_load"}))
    assert {"systemd", "units", "protect", "kernel", "tunables", "role", "cpu", "load"} <= found


def test_without_a_known_class_there_is_no_nearest() -> None:
    with pytest.raises(ValueError, match="no class is known"):
        Nearest({}).answer(SUID)
