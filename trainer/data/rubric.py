"""What a right answer is, apart from its words: level, action, controls and techniques.

All of it is what the rules of the product say: the level of a case is the floor that they set (`pipeline.rules.score`,
with the table of `pipeline.rules.signs`), the rest is `pipeline.analysis.choice`. A reviewer may ask for more.
"""

from dataclasses import dataclass

from pipeline.analysis.choice import choose
from pipeline.analysis.prompt import Case
from pipeline.analysis.question import Question
from pipeline.finding import Level
from pipeline.knowledge.schema import Knowledge


@dataclass(slots=True, frozen=True)
class Ruling:
    """What is asked of an answer.

    Attributes:
        because: ends a sentence that says why the level is above the floor; None where it is the floor.
    """

    level: Level
    because: str | None
    action: str | None
    controls: tuple[str, ...]
    techniques: tuple[str, ...]


def rule(case: Case, question: Question, knowledge: Knowledge) -> Ruling:
    """Say what a right answer to a case has; `question` holds what the knowledge maps, in its order."""
    choice = choose(question, knowledge)
    return Ruling(
        level=case.floor,
        because=None,
        action=choice.action,
        controls=tuple(sorted(choice.controls)),
        techniques=tuple(sorted(choice.techniques)),
    )
