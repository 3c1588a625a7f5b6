"""What a verdict teaches a model, if anything.

A model may raise a level and never lower one, and its answer is for a situation, so of what a person can decide this is
left:

- *approve*: what was shown is right, in level, action, controls and techniques.
- *correct*: what was shown is right but for what the reviewer changed. A level below the floor becomes the floor: the
  rules answer for that, not the model. Another class teaches nothing, since a model does not choose the class.
- *false positive*: there is nothing to raise. Where the level that was shown stood above the floor, the floor is right;
  where it did not, there is nothing to learn. An action is still right for those findings that are none.
- *accept*: the finding is right and somebody lives with it, which says nothing about the answer.
"""

from dataclasses import dataclass
from typing import Literal

from pipeline.analysis.case import CaseMaker
from pipeline.analysis.prompt import Case
from pipeline.analysis.question import Answer, Question
from pipeline.finding import LEVELS, Level
from pipeline.review.verdict import Verdict
from trainer.data.rubric import Ruling
from trainer.data.teacher import Teacher, Unteachable
from trainer.retrain.retained import Retained, Said

# Why a verdict teaches nothing, in the words of the report.
Untaught = Literal[
    "one_finding",  # it is about one finding, whose path or name may be the reason; a model sees neither
    "acceptance",  # an accepted risk says nothing about the answer
    "nothing_raised",  # a false positive whose level was the floor anyway
    "not_retained",  # what was asked is not known, or holds a word that is in no list
    "another_class",  # a model does not choose the class
    "settled",  # the case was accepted or a false positive already; a model is asked about what is open
    "not_offered",  # names an action, control or technique that the case does not offer
    "no_words",  # no right answer can be composed
]

# In words that the teacher uses often: an adapter does not reach the embeddings, so a model cannot be taught a new one.
RAISED_BECAUSE = "the operator asks for more"

_SETTLED = frozenset({"accepted", "false_positive"})


class TeachesNothing(Exception):
    """Raised when a verdict holds nothing that a model could learn."""

    def __init__(self, why: Untaught) -> None:
        super().__init__(why)
        self.why: Untaught = why


@dataclass(slots=True, frozen=True)
class Lesson:
    """A question with what is right there.

    Attributes:
        shown, right: what the answer was, and what it should have been, in what is not words.
        corrects: it is not what was shown.
        clamped: the reviewer's level is below the floor.
    """

    question: Question
    severity: str
    shown: Said
    right: Said
    corrects: bool
    clamped: bool
    seq: int
    author: str

    @property
    def situation(self) -> str:
        """Name what may stand on one side of the split only."""
        return self.question.situation


def lesson(verdict: Verdict, kept: Retained) -> Lesson:
    """Say what a verdict teaches.

    Raises:
        TeachesNothing: if it does not.
    """
    if verdict.target.situation is None:
        raise TeachesNothing("one_finding")
    if verdict.kind == "accept":
        raise TeachesNothing("acceptance")
    asked, shown = kept.question, kept.said
    if asked.status in _SETTLED:
        raise TeachesNothing("settled")
    if shown is None:
        raise TeachesNothing("not_retained")
    right = _at_least(shown, asked.floor)
    clamped = False
    if verdict.kind == "false_positive":
        if LEVELS.index(shown.level) <= LEVELS.index(asked.floor):
            raise TeachesNothing("nothing_raised")
        right = Said(asked.floor, shown.action, shown.controls, shown.techniques)
    elif verdict.kind == "correct" and verdict.correction is not None:
        right, clamped = _corrected(verdict, asked, right)
    return Lesson(
        asked, kept.severity, shown, right, _sorted(right) != _sorted(shown), clamped, verdict.seq, verdict.author
    )


def case_and_answer(
    one: Lesson, maker: CaseMaker, teacher: Teacher, seed: int, wording: int = 0
) -> tuple[Case, Answer]:
    """Make the case as a model is asked, and the whole right answer, in the teacher's words.

    Args:
        wording: 0 has the distractors of the product; others have their own, and another choice of words.

    Raises:
        TeachesNothing: if no right answer can be composed.
    """
    case = maker.case(one.question, salt=f"retrain/{seed}/{wording}" if wording else "")
    return case, in_words(one.right, case, teacher, seed + wording)


def in_words(right: Said, case: Case, teacher: Teacher, seed: int) -> Answer:
    """Give the whole right answer to a case, in the teacher's words.

    Raises:
        TeachesNothing: if none can be composed.
    """
    is_raised = LEVELS.index(right.level) > LEVELS.index(case.floor)
    # Of a long list only so much is offered; what is not cannot be right in this case.
    ruling = Ruling(
        level=right.level,
        because=RAISED_BECAUSE if is_raised else None,
        action=right.action if right.action in case.actions else None,
        controls=tuple(sorted(set(right.controls) & set(case.controls))),
        techniques=tuple(sorted(set(right.techniques) & set(case.techniques))),
    )
    try:
        return teacher.compose(case, ruling, seed)
    except (Unteachable, KeyError) as error:
        raise TeachesNothing("no_words") from error


def _corrected(verdict: Verdict, asked: Question, shown: Said) -> tuple[Said, bool]:
    said = verdict.correction
    assert said is not None
    if said.class_id is not None and said.class_id != asked.class_id:
        raise TeachesNothing("another_class")
    level: Level = said.level if said.level is not None else shown.level
    clamped = LEVELS.index(level) < LEVELS.index(asked.floor)
    action = said.action if said.action is not None else shown.action
    controls = said.controls if said.controls is not None else shown.controls
    techniques = said.techniques if said.techniques is not None else shown.techniques
    offered = (action is None or action in asked.actions) and set(controls) <= set(asked.controls)
    if not offered or not set(techniques) <= set(asked.techniques):
        raise TeachesNothing("not_offered")
    # The words of the question itself, never those that came with the verdict.
    return (
        Said(
            level=LEVELS[max(LEVELS.index(level), LEVELS.index(asked.floor))],
            action=next((one for one in asked.actions if one == action), None),
            controls=tuple(one for one in asked.controls if one in controls),
            techniques=tuple(one for one in asked.techniques if one in techniques),
        ),
        clamped,
    )


def _at_least(said: Said, floor: Level) -> Said:
    level = LEVELS[max(LEVELS.index(said.level), LEVELS.index(floor))]
    return Said(level, said.action, said.controls, said.techniques)


def _sorted(said: Said) -> tuple[object, ...]:
    return said.level, said.action, tuple(sorted(said.controls)), tuple(sorted(said.techniques))
