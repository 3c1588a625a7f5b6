"""The draw of findings for calibration."""

from tests.trainer.small import taught_cases
from trainer.data.calibration import choose_calibration


def test_every_class_is_there_before_any_comes_twice() -> None:
    cases = taught_cases(80, "train") + [taught_cases(1, "train")[0]] * 500
    chosen = choose_calibration(cases, 8, seed=1)
    assert len({case.class_id for case in chosen}) == 8
    counts = [sum(case.class_id == one.class_id for case in choose_calibration(cases, 16, seed=1)) for one in chosen]
    assert counts == [2] * 8


def test_the_draw_depends_on_the_seed_alone() -> None:
    cases = taught_cases(80, "train")
    assert choose_calibration(cases, 20, seed=1) == choose_calibration(cases, 20, seed=1)
    assert choose_calibration(cases, 20, seed=1) != choose_calibration(cases, 20, seed=2)


def test_all_are_taken_where_there_are_too_few() -> None:
    cases = taught_cases(5, "train")
    assert sorted(case.situation for case in choose_calibration(cases, 128, seed=0)) == sorted(
        case.situation for case in cases
    )
