"""What a correction says of like situations that nobody has reviewed, and when it says nothing."""

from dataclasses import replace

import pytest

from pipeline.analysis.question import Question
from trainer.retrain.carrying import applied, carry, contrast, is_like
from trainer.retrain.lessons import Lesson
from trainer.retrain.retained import Said

SERVER = Question(
    key="", situation="a", class_id="systemd_units.PrivateTmp", candidates=(), status="open", floor="low",
    features={"advice": "set", "role": "server"}, context=(), representative=0,
    controls=("nist_800_53_r5:CM-7", "pci_dss_4_0:2.2.6"), techniques=("T1074.001",), evidence=True,
    actions=("unit.set",),
)  # fmt: skip
SISTER = replace(
    SERVER, situation="b", class_id="systemd_units.ProtectHome",
    controls=("nist_800_53_r5:AC-6", "pci_dss_4_0:2.2.6", "pci_dss_4_0:7.2.1"), techniques=("T1005", "T1552.001"),
)  # fmt: skip
SHOWN = Said("low", "unit.set", SERVER.controls, SERVER.techniques)
SISTER_SAYS = Said("low", "unit.set", SISTER.controls, SISTER.techniques)


def lesson(right: Said, asked: Question = SERVER, shown: Said = SHOWN, seq: int = 1) -> Lesson:
    return Lesson(asked, "low", shown, right, right != shown, False, seq, "ada")


def said_of(lessons: list[Lesson], asked: Question = SISTER, said: Said = SISTER_SAYS) -> Said | None:
    """Give what is taught of a sister where the rules say `said`, or None."""
    found = carry(lessons, [(asked, said)])
    return found[0].right if found else None


@pytest.mark.parametrize(
    ("right", "of_sister"),
    [
        (replace(SHOWN, level="medium"), replace(SISTER_SAYS, level="medium")),
        (replace(SHOWN, techniques=()), replace(SISTER_SAYS, techniques=())),
        (replace(SHOWN, action=None), replace(SISTER_SAYS, action=None)),
        (
            replace(SHOWN, controls=("nist_800_53_r5:CM-7",)),
            replace(SISTER_SAYS, controls=("nist_800_53_r5:AC-6",)),
        ),
        (replace(SHOWN, controls=()), replace(SISTER_SAYS, controls=("nist_800_53_r5:AC-6",)[:0])),
    ],
    ids=["a level", "no technique", "no action", "nothing of a framework", "no control"],
)
def test_what_a_correction_changes_is_changed_in_its_sisters(right: Said, of_sister: Said) -> None:
    assert said_of([lesson(right)]) == of_sister


def test_of_a_framework_that_keeps_something_only_what_was_named_goes() -> None:
    shown = replace(SHOWN, controls=("pci_dss_4_0:2.2.6", "pci_dss_4_0:7.2.1"))
    right = replace(shown, controls=("pci_dss_4_0:7.2.1",))
    said = said_of([lesson(right, shown=shown)])
    assert said is not None and said.controls == ("nist_800_53_r5:AC-6", "pci_dss_4_0:7.2.1")


def test_what_is_added_is_added_only_where_it_is_offered() -> None:
    right = replace(SHOWN, techniques=("T1074.001", "T1005"))
    nothing = replace(SISTER_SAYS, techniques=())
    assert applied(lesson(right), nothing, SISTER).techniques == ("T1005",)
    assert applied(lesson(right), nothing, replace(SISTER, techniques=())).techniques == ()


def test_no_carried_level_is_below_the_floor() -> None:
    shown = replace(SHOWN, level="high")
    said = said_of([lesson(replace(shown, level="low"), shown=shown)], replace(SISTER, floor="medium"))
    assert said is not None and said.level == "medium"


def test_an_action_that_does_not_fit_a_sister_is_not_carried() -> None:
    right = replace(SHOWN, action="another.action")
    assert said_of([lesson(right)]) == SISTER_SAYS


@pytest.mark.parametrize(
    "other",
    [
        replace(SISTER, features={"advice": "set", "role": "logging"}),
        replace(SISTER, status="unknown"),
        replace(SISTER, class_id="mounts.tmp_noexec_missing"),
    ],
    ids=["another role", "another status", "another scanner"],
)
def test_nothing_is_carried_to_another_kind_of_situation(other: Question) -> None:
    assert said_of([lesson(replace(SHOWN, level="medium"))], other) is None


def test_without_features_only_the_class_is_like_it() -> None:
    bare = replace(SERVER, features={})
    assert is_like(bare, replace(SERVER, features={"role": "boot"}))
    assert not is_like(bare, replace(SISTER, features={}))


def test_a_correction_that_an_approval_speaks_against_is_not_carried() -> None:
    approved = lesson(SISTER_SAYS, replace(SISTER, situation="c"), SISTER_SAYS, seq=2)
    assert said_of([lesson(replace(SHOWN, level="medium")), approved]) is None


def test_an_approval_of_what_would_be_changed_alike_speaks_for_it() -> None:
    shown = replace(SISTER_SAYS, level="medium")
    approved = lesson(shown, replace(SISTER, situation="c", floor="medium"), shown, seq=2)
    assert said_of([lesson(replace(SHOWN, level="medium")), approved]) == replace(SISTER_SAYS, level="medium")


def test_corrections_that_contradict_each_other_are_both_left_out() -> None:
    other = lesson(replace(SISTER_SAYS, level="high"), replace(SISTER, situation="c"), SISTER_SAYS, seq=2)
    assert said_of([lesson(replace(SHOWN, level="medium")), other]) is None


def test_corrections_of_different_parts_speak_against_each_other_and_like_ones_do_not() -> None:
    # Each leaves alone what the other one changes, which approves of it as it was shown.
    other = lesson(replace(SISTER_SAYS, techniques=()), replace(SISTER, situation="c"), SISTER_SAYS, seq=2)
    assert said_of([lesson(replace(SHOWN, level="medium")), other]) is None
    both = replace(SHOWN, level="medium", techniques=())
    same = replace(SISTER_SAYS, level="medium", techniques=())
    other = lesson(same, replace(SISTER, situation="c"), SISTER_SAYS, seq=2)
    assert said_of([lesson(both), other]) == same


def test_approvals_alone_carry_nothing() -> None:
    assert said_of([lesson(SHOWN)]) is None


def test_beside_what_is_carried_stand_situations_that_no_correction_is_like() -> None:
    corrected = lesson(replace(SHOWN, level="medium"))
    carried = carry([corrected], [(SISTER, SISTER_SAYS)])
    other_role = replace(SISTER, situation="r", features={"advice": "leave", "role": "session"})
    measured = lesson(replace(SHOWN, level="high"), replace(SERVER, features={"role": "boot"}), seq=2)
    pool = [
        (SISTER, SISTER_SAYS),
        (other_role, SISTER_SAYS),
        (replace(other_role, situation="e", class_id="mounts.tmp_noexec_missing"), SISTER_SAYS),
        (replace(other_role, situation="s", status="passed"), SISTER_SAYS),
        (replace(other_role, situation="b", features={"role": "boot", "advice": "leave"}), SISTER_SAYS),
    ]
    found = contrast(carried, [corrected, measured], pool, seed=1)
    assert [(one.situation, one.right, one.corrects) for one in found] == [("r", SISTER_SAYS, False)]
    many = [(replace(other_role, situation=str(number)), SISTER_SAYS) for number in range(9)]
    assert len(contrast(carried, [corrected], many, seed=1)) == len(carried) == 1
    assert contrast([], [], many, seed=1) == []
