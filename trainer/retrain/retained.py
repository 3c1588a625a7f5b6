"""What a verdict keeps of what was asked and said, read back: in words of our own lists, or not at all.

The log of verdicts is a file that others write, too, and it holds reasons, names and texts of people. So nothing of it
is taken over: each word is looked up in the lists, and what goes on is the list's own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pipeline.analysis.prompt import Case
from pipeline.analysis.question import SILENT, THREAT_INTEL, Question
from pipeline.finding import LEVELS, Level, Severity, Status
from pipeline.keys import digest
from pipeline.knowledge.schema import Degree, Knowledge
from pipeline.review.verdict import Situation

_AMBIGUOUS = "ambiguous"
_STATUSES: tuple[Status, ...] = get_args(Status)
_DEGREES: tuple[Degree, ...] = get_args(Degree)


class NotRetained(ValueError):
    """Raised when what is kept with a verdict is no case, or holds a word that is in no list of ours."""


@dataclass(slots=True, frozen=True)
class Said:
    """What an answer decides, apart from its words; controls are ``framework:id``."""

    level: Level
    action: str | None
    controls: tuple[str, ...]
    techniques: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Retained:
    """A question, and what the reviewer was shown as the answer; None where that is not known."""

    question: Question
    severity: Severity
    said: Said | None


class Vocabulary:
    """All words that may stand in a case: those of the knowledge, and the words that features take.

    What a feature can say is in its code and in no list, so its words are gathered from cases that are known to be
    clean: those of made-up hosts.
    """

    def __init__(self, knowledge: Knowledge, cases: Iterable[Case]) -> None:
        self._knowledge = knowledge
        self._controls = {
            f"{ref.framework}:{ref.control}": f"{ref.framework}:{ref.control}"
            for topic in knowledge.topics.values()
            for ref in topic.controls
        }
        self._words: dict[str, dict[str, str]] = {}
        for case in cases:
            for name, value in case.features.items():
                self._words.setdefault(name, {})[value] = value

    def situation(self, said: Situation) -> Situation:
        """Give a situation in the words of the lists.

        Raises:
            NotRetained: if one is in no list.
        """
        return Situation(
            class_id=_one(said.class_id, (*self._knowledge.classes, _AMBIGUOUS)),
            status=_one(said.status, _STATUSES),
            features=self._features(said.features),
            candidates=_all(said.candidates, self._knowledge.classes),
        )

    def read(self, body: Mapping[str, Any]) -> Retained:
        """Read the case that a verdict keeps.

        Raises:
            NotRetained: if it is none, or a word of it is in no list.
        """
        try:
            asked = self._question(body)
            said = body["said"]
            given = Said(
                level=_one(said["level"], LEVELS),
                action=None if said["action"] is None else _one(said["action"], (*asked.actions, *asked.barred)),
                controls=_all(said["controls"], {one: one for one in asked.controls}),
                techniques=_all(said["techniques"], {one: one for one in asked.techniques}),
            )
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise NotRetained(f"not a case: {type(error).__name__}") from error
        return Retained(asked, self.severity(asked), given)

    def severity(self, asked: Question) -> Severity:
        """Give the severity of a question's class; what the report said is not kept."""
        spec = self._knowledge.classes.get(asked.class_id)
        return spec.severity if spec is not None else asked.floor

    def _question(self, body: Mapping[str, Any]) -> Question:
        knowledge = self._knowledge
        found = self.situation(Situation(body["class"], body["status"], body["features"], tuple(body["candidates"])))
        artefact = body["artefact"]
        return Question(
            key="",
            situation=situation_name(found),
            class_id=found.class_id,
            candidates=found.candidates,
            status=found.status,
            floor=_one(body["floor"], LEVELS),
            features=dict(found.features),
            context=_all(body["context"], {**dict.fromkeys(knowledge.correlations), THREAT_INTEL: None}),
            representative=0,
            slots=self._slots(body["slots"], found.class_id),
            artefact=None
            if artefact is None
            else (_one(artefact[0], knowledge.artefacts), _one(artefact[1], _DEGREES)),
            controls=_all(body["controls"], self._controls),
            techniques=_all(body["techniques"], knowledge.techniques),
            evidence=body["evidence"] is True,
            actions=_all(body["actions"], knowledge.remediations),
            barred=_all(body["barred"], knowledge.remediations),
        )

    def _features(self, given: Mapping[str, str]) -> dict[str, str]:
        found = {}
        for name, value in sorted(given.items()):
            words = self._words.get(name)
            if words is None:
                raise NotRetained("a feature that no list has")
            found[_one(name, self._words)] = _one(value, words)
        return found

    def _slots(self, names: Any, class_id: str) -> tuple[str, ...]:
        """Take those that a sentence can hold, as when the question was asked."""
        spec = self._knowledge.classes.get(class_id)
        if spec is None:
            return ()
        return tuple(sorted(name for name in _all(names, spec.slots) if spec.slots[name].type not in SILENT))


def situation_name(said: Situation) -> str:
    """Give the digest that a finding in this situation has, whatever else is known of it."""
    named = list(said.candidates) if said.class_id == _AMBIGUOUS else said.class_id
    return digest("situation", named, said.status, dict(said.features))


def _one(word: Any, known: Iterable[Any]) -> Any:
    """Give the list's own word, never the object that came in."""
    for one in known:
        if one == word:
            return one
    raise NotRetained("a word that no list has")


def _all(words: Any, known: Mapping[str, Any]) -> tuple[str, ...]:
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) and word in known for word in words):
        raise NotRetained("a word that no list has")
    table = {name: name for name in known}
    return tuple(table[word] for word in words)
