"""Carries a correction to like situations that nobody has reviewed.

A reviewer corrects one situation and means a kind of them: a dozen verdicts stand for a policy, and a model that sees
these dozen alone learns them by heart. So what a correction changes, apart from the words, is carried to made-up cases
of the same scanner, status and features: a level is taken over; what was taken away is away there, too, and a list of
which nothing was left, or nothing of a framework, is as empty there; what was added is added where it is offered. These
are weak labels, in the sense of A. Ratner and others, "Data Programming", 2016: the verdicts that are held out say
whether they were right.

A correction that another lesson speaks against is not carried. And where it ends has to be shown, too: a model that
sees a level raised for two roles of a unit raises it for all of them. So as many situations of the same scanner that
are like no correction stand beside them, with what was right there all along.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipeline.analysis.prompt import Case
from pipeline.analysis.question import Question
from pipeline.finding import LEVELS
from pipeline.keys import digest
from trainer.retrain.lessons import Lesson
from trainer.retrain.retained import Said


class Corrections:
    """The corrections among the lessons that are trained on, and which of them another lesson speaks against."""

    def __init__(self, trained: Iterable[Lesson]) -> None:
        known = sorted(trained, key=lambda one: one.seq)
        self._all = [one for one in known if one.corrects]
        self._disputed = {one.seq for one in self._all if not all(_agree(one, other) for other in known)}

    def meant(self, case: Case | Question) -> list[Lesson]:
        """List those that a case is like, the oldest first; none where one of them is disputed."""
        meant = [one for one in self._all if is_like(one.question, case)]
        return [] if any(one.seq in self._disputed for one in meant) else meant


def carry(trained: Iterable[Lesson], pool: Iterable[tuple[Question, Said]]) -> list[Lesson]:
    """Give a lesson for each like situation; one a situation, with all that corrections change there.

    Args:
        trained: lessons; nothing else is carried.
        pool: questions of made-up hosts, each with what the rules say, in an order that does not change.
    """
    corrections = Corrections(trained)
    found = []
    for asked, said in pool:
        meant = corrections.meant(asked)
        if meant:
            found.append(_lesson(asked, said, all_applied(meant, said, asked), meant[-1]))
    return found


def contrast(
    carried: Sequence[Lesson], corrected: Iterable[Lesson], pool: Iterable[tuple[Question, Said]], seed: int
) -> list[Lesson]:
    """Give situations that corrections were not carried to, of the same scanners and statuses; as many as carried ones.

    Args:
        corrected: all lessons that correct something, held out or not: nothing that is like one of them is chosen.
        pool: as for `carry`.
    """
    beside = {(_scanner(one.question.class_id), one.question.status) for one in carried}
    corrected = [one for one in corrected if one.corrects]
    near = [
        (asked, said)
        for asked, said in pool
        if (_scanner(asked.class_id), asked.status) in beside
        and not any(is_like(one.question, asked) for one in corrected)
    ]
    near.sort(key=lambda one: digest("contrast", seed, one[0].situation))
    return [_lesson(asked, said, said, carried[0]) for asked, said in near[: len(carried)]]


def is_like(asked: Question, case: Case | Question) -> bool:
    """Say whether a case is of the kind that a question is of: the same scanner, status and features.

    Where a question has no features only its class is like it.
    """
    if asked.status != case.status or not asked.features.items() <= case.features.items():
        return False
    if not asked.features:
        return asked.class_id == case.class_id
    return _scanner(asked.class_id) == _scanner(case.class_id)


def applied(one: Lesson, said: Said, case: Case | Question) -> Said:
    """Change an answer as the reviewer changed the one of the lesson."""
    shown, right = one.shown, one.right
    if right.level != shown.level:
        said = replace(said, level=max(right.level, case.floor, key=LEVELS.index))
    if right.action != shown.action and (right.action is None or right.action in case.actions):
        said = replace(said, action=right.action)
    return replace(
        said,
        controls=_changed(said.controls, shown.controls, right.controls, case.controls),
        techniques=_changed(said.techniques, shown.techniques, right.techniques, case.techniques),
    )


def all_applied(corrections: Iterable[Lesson], said: Said, case: Case | Question) -> Said:
    """Change an answer as reviewers changed those of several lessons, one after the other."""
    for one in corrections:
        said = applied(one, said, case)
    return said


def _lesson(asked: Question, said: Said, right: Said, of: Lesson) -> Lesson:
    """Make a lesson of a situation that nobody has reviewed; it goes by the number and author of a correction."""
    return Lesson(asked, of.severity, said, right, right != said, False, of.seq, of.author)


def _agree(one: Lesson, other: Lesson) -> bool:
    """Say whether what a correction changes would be right of another lesson, too, if it is of its kind."""
    if other is one or not is_like(one.question, other.question):
        return True
    changed = applied(one, other.shown, other.question)
    right = other.right
    if one.right.level != one.shown.level and changed.level != right.level:
        return False
    if one.right.action != one.shown.action and changed.action != right.action:
        return False
    for before, after, has, wanted in (
        (one.shown.controls, one.right.controls, changed.controls, right.controls),
        (one.shown.techniques, one.right.techniques, changed.techniques, right.techniques),
    ):
        if set(before) != set(after) and set(has) != set(wanted):
            return False
    return True


def _changed(
    said: Sequence[str], shown: Sequence[str], right: Sequence[str], offered: Sequence[str]
) -> tuple[str, ...]:
    gone, left = set(shown) - set(right), {_framework(one) for one in right}
    emptied = {_framework(one) for one in gone} - left
    kept = [one for one in said if one not in gone and _framework(one) not in emptied]
    added = [one for one in right if one not in shown and one in offered and one not in kept]
    return (*kept, *added)


def _framework(name: str) -> str:
    """Give the framework of a control; techniques are all of one."""
    return name.partition(":")[0] if ":" in name else ""


def _scanner(class_id: str) -> str:
    return class_id.partition(".")[0]
