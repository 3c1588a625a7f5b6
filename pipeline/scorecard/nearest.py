"""The baseline without a model: select as the most alike known class does.

What a model adds on classes that it never saw is what it does better than this.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.analysis.prompt import Case
from pipeline.analysis.question import Answer
from pipeline.scorecard.cases import GoldCase

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


@dataclass(slots=True, frozen=True)
class Known:
    """What training cases of a class have in common.

    Attributes:
        words: of its name, title, category and features.
        taken: controls and techniques that most of those cases take that may.
        action: the one that most of them take, or None.
    """

    words: frozenset[str]
    taken: frozenset[str]
    action: str | None

    def as_json(self) -> dict[str, Any]:
        """Give plain values in a fixed order."""
        return {"words": sorted(self.words), "taken": sorted(self.taken), "action": self.action}


@dataclass(slots=True)
class _Seen:
    words: set[str] = field(default_factory=set)
    offered: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)


class Nearest:
    """Known classes, by id."""

    def __init__(self, classes: Mapping[str, Known]) -> None:
        self._classes = dict(sorted(classes.items()))
        self._nearest: dict[frozenset[str], str] = {}

    @classmethod
    def learn(cls, cases: Iterable[GoldCase]) -> "Nearest":
        """Count what training cases take."""
        seen: defaultdict[str, _Seen] = defaultdict(_Seen)
        for one in cases:
            case, answer, about = one.case, one.answer, seen[one.class_id]
            about.words |= words_of(case)
            about.offered.update((*case.controls, *case.techniques))
            about.taken.update((*answer.controls, *answer.techniques))
            about.actions[answer.remediation or ""] += 1
        return cls(
            {
                name: Known(
                    words=frozenset(about.words),
                    taken=frozenset(one for one, count in about.taken.items() if 2 * count > about.offered[one]),
                    action=min(about.actions, key=lambda one: (-about.actions[one], one)) or None,
                )
                for name, about in seen.items()
            }
        )

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Nearest":
        """Read a table.

        Raises:
            KeyError, TypeError, AttributeError: if it is none.
        """
        return cls(
            {
                name: Known(frozenset(known["words"]), frozenset(known["taken"]), known["action"])
                for name, known in body.items()
            }
        )

    def as_json(self) -> dict[str, Any]:
        """Write the table."""
        return {name: known.as_json() for name, known in self._classes.items()}

    def class_of(self, case: Case) -> str:
        """Name the class that shares most words, in proportion to how many both have; a known one is its own.

        Raises:
            ValueError: if no class is known.
        """
        if case.class_id in self._classes:
            return case.class_id
        if not self._classes:
            raise ValueError("no class is known")
        words = words_of(case)
        found = self._nearest.get(words)
        if found is None:
            found = self._nearest[words] = min(
                self._classes, key=lambda name: (-_alike(words, self._words(name)), name)
            )
        return found

    def answer(self, case: Case) -> Answer:
        """Select as the nearest class does; the level is the floor, and there are no words."""
        known = self._classes[self.class_of(case)]
        return Answer(
            assessment="",
            impact="",
            level=case.floor,
            techniques=tuple(one for one in case.techniques if one in known.taken),
            controls=tuple(one for one in case.controls if one in known.taken),
            remediation=known.action if known.action in case.actions else None,
        )

    def _words(self, name: str) -> frozenset[str]:
        return self._classes[name].words


def words_of(case: Case) -> frozenset[str]:
    """Split name, title, category and features of a case into words."""
    texts = (case.class_id, case.title, case.category, *case.features, *case.features.values())
    return frozenset(word.lower() for text in texts for word in _WORD.findall(text))


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    """Give the cosine of two sets of words."""
    norm = (len(one) * len(other)) ** 0.5
    return len(one & other) / norm if norm else 0.0
