"""Which frozen cases reviewers have decided otherwise, so that they say nothing of what a candidate forgot.

The key of a frozen case is the rubric's. Where a verdict says something else there, one of the two is wrong, and people
outrank the rubric: a model that answers as they want would be refused for it. So such a case is left out of the
comparison, for the incumbent and the candidate alike. It is one that a carried correction is taught for in its like
(`trainer.retrain.carrying`), or one that was reviewed itself; and only if what is right then differs from its key.

That is bounded. What is left out is not compared, so a reviewer who contradicts the rubric everywhere would empty the
comparison, and nothing would keep such a candidate out. Beyond a small share of a holdout nothing is promoted.
"""

from collections.abc import Iterable, Mapping, Sequence

from pipeline.analysis.prompt import Case
from pipeline.scorecard.cases import GoldCase
from trainer.retrain.carrying import Corrections, all_applied
from trainer.retrain.lessons import Lesson
from trainer.retrain.retained import Said

MAX_SHARE = 0.08  # of a holdout; docs/decisions/0027 has what reviewers come to

Decided = dict[str, tuple[int, ...]]  # holdout → places of its cases, from 0


def decided(trained: Iterable[Lesson], lessons: Iterable[Lesson], frozen: Mapping[str, Sequence[GoldCase]]) -> Decided:
    """Find the frozen cases whose key is not what reviewers want.

    Args:
        trained: lessons that are trained on; their corrections are carried, as in training.
        lessons: all of them; those about a frozen situation are never trained on.
    """
    corrections, own = Corrections(trained), {one.situation: one for one in lessons}
    return {
        holdout: tuple(
            place for place, one in enumerate(cases) if _other_than(right_of(one), _wanted(one, corrections, own), one)
        )
        for holdout, cases in frozen.items()
    }


def too_many(places: Mapping[str, int], cases: Mapping[str, int]) -> str | None:
    """Say in one line why too little would be left to compare, or give None.

    Args:
        places: holdout → how many of its cases reviewers decide otherwise.
        cases: holdout → how many it has.
    """
    for holdout, number in sorted(places.items()):
        if number > MAX_SHARE * cases[holdout]:
            return (
                f"verdicts contradict the right answers of {number} of the {cases[holdout]} cases of the {holdout} "
                f"holdout, and with more than {MAX_SHARE:.0%} left out it could not tell what a model forgot; write "
                "what holds for so many findings into policy.yaml"
            )
    return None


def right_of(gold: GoldCase) -> Said:
    """Give what is right of a case, apart from its words."""
    answer = gold.answer
    return Said(answer.level, answer.remediation, answer.controls, answer.techniques)


def _wanted(gold: GoldCase, corrections: Corrections, own: Mapping[str, Lesson]) -> Said:
    """Give what reviewers want: what they said of this very situation, else what they said of its like."""
    one = own.get(gold.situation)
    if one is not None:
        return one.right
    return all_applied(corrections.meant(gold.case), right_of(gold), gold.case)


def _other_than(key: Said, wanted: Said, gold: GoldCase) -> bool:
    return _offered(key, gold.case) != _offered(wanted, gold.case)


def _offered(said: Said, case: Case) -> tuple[object, ...]:
    """Give what a model can say of it: of long lists only a part is offered."""
    return (
        said.level,
        said.action if said.action in case.actions else None,
        set(said.controls) & set(case.controls),
        set(said.techniques) & set(case.techniques),
    )
