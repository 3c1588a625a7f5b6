"""Makes the case that a model is shown out of a question: bounded lists, with distractors among them.

A model that sees only what is right learns to copy. So a few controls and techniques of other topics stand among
those that the knowledge maps, chosen by the class and never one that the class maps anywhere.
"""

import hashlib
from collections.abc import Iterable

from pipeline.analysis.prompt import Case
from pipeline.analysis.question import THREAT_INTEL, Question
from pipeline.knowledge.schema import Knowledge

# For each framework as many as say what the finding touches; with all of them four findings in five would not fit
# the model's window, and the compliance list of the output has the rest.
MAX_BY_FRAMEWORK: dict[str, int] = {"nist_800_53_r5": 3, "nist_csf_2_0": 2, "pci_dss_4_0": 2, "hipaa": 1}
MAX_TECHNIQUES = 3
MAX_ACTIONS = 4
MAX_CONTEXT = 4
MAX_CANDIDATES = 4
DISTRACTING_CONTROLS = 3
DISTRACTING_TECHNIQUES = 2


class CaseMaker:
    """Makes cases from the knowledge; one for a knowledge."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._mapped = {name: _mapped(knowledge, name) for name in sorted(knowledge.classes)}
        self._controls = sorted({one for mapped, _ in self._mapped.values() for one in mapped})
        self._techniques = sorted({one for _, mapped in self._mapped.values() for one in mapped})
        self._distractors: dict[tuple[tuple[str, ...], str], tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def case(self, question: Question, attempt: int = 0, salt: str = "") -> Case:
        """Make the case of a question.

        From the second attempt on there are no distractors, and what was wrong with the first answer is said: the model
        is deterministic, and another question is the only way to another answer. `salt` gives other distractors, so
        that training does not learn them by heart.
        """
        spec = self._knowledge.classes.get(question.class_id)
        controls, techniques = selection(question)
        if attempt == 0:
            more, others = self._distracting(question, salt)
            controls += more
            techniques += others
        return Case(
            class_id=self.class_of(question),
            category=spec.category if spec is not None else "unknown",
            title=spec.title if spec is not None else _untold(question),
            status=question.status,
            floor=question.floor,
            features=question.features,
            candidates=question.candidates[:MAX_CANDIDATES],
            placeholders=question.slots,
            context=_foremost(question.context),
            artefact=question.artefact,
            controls=tuple(sorted(controls)),
            techniques=tuple(sorted(techniques)),
            actions=tuple(sorted(question.actions[:MAX_ACTIONS])),
            barred=tuple(sorted(question.barred[:MAX_ACTIONS])),
            refused=question.refused if attempt else None,
        )

    @staticmethod
    def class_of(question: Question) -> str:
        """Name the class as a model is shown it: what follows "unknown." is the scanner's name as the report has it."""
        return "unknown" if question.class_id.startswith("unknown.") else question.class_id

    def _distracting(self, question: Question, salt: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        classes = question.candidates or (question.class_id,)
        key = classes, salt  # all ambiguous findings are of one class, and of other candidates
        known = self._distractors.get(key)
        if known is None:
            controls: set[str] = set()
            techniques: set[str] = set()
            for name in classes:
                mapped = self._mapped.get(name, (frozenset(), frozenset()))
                controls |= mapped[0]
                techniques |= mapped[1]
            seed = "\0".join((*classes, salt))
            known = self._distractors[key] = (
                _draw(seed, (one for one in self._controls if one not in controls), DISTRACTING_CONTROLS),
                _draw(seed, (one for one in self._techniques if one not in techniques), DISTRACTING_TECHNIQUES),
            )
        controls_drawn, techniques_drawn = known
        # The scanner's own rules may have named a technique that the class does not map.
        return controls_drawn, tuple(one for one in techniques_drawn if one not in question.techniques)


def selection(question: Question) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Take as many of the controls and techniques as a prompt has room for, the strongest claims of each framework."""
    room = dict(MAX_BY_FRAMEWORK)
    taken = []
    for control in question.controls:
        framework = control.partition(":")[0]
        if room.get(framework, 0) > 0:
            room[framework] -= 1
            taken.append(control)
    return tuple(taken), question.techniques[:MAX_TECHNIQUES]


def _foremost(context: tuple[str, ...]) -> tuple[str, ...]:
    """Cut what is around a finding to what there is room for; a threat indicator stays."""
    return tuple(sorted(sorted(context, key=lambda name: (name != THREAT_INTEL, name))[:MAX_CONTEXT]))


def _mapped(knowledge: Knowledge, name: str) -> tuple[frozenset[str], frozenset[str]]:
    """List all that a class maps under any condition, cautioned claims too."""
    spec = knowledge.classes[name]
    topics = [knowledge.topics[ref.topic] for ref in spec.topics]
    controls = {f"{ref.framework}:{ref.control}" for topic in topics for ref in topic.controls}
    techniques = {each.technique for topic in topics for each in topic.techniques}
    techniques.update(ref.technique for ref in spec.attack)
    return frozenset(controls), frozenset(techniques)


def _draw(seed: str, pool: Iterable[str], count: int) -> tuple[str, ...]:
    return tuple(sorted(pool, key=lambda one: hashlib.sha256(f"{seed}\0{one}".encode()).digest())[:count])


def _untold(question: Question) -> str:
    return "One of several kinds of finding" if question.candidates else "Unknown kind of finding"
