"""Writes what a right answer says: curated sentences, composed for the case, by the rules."""

import random
import re
from dataclasses import replace

from pipeline.analysis.critique import critique
from pipeline.analysis.prompt import MAX_IMPACT, Case, render_prompt
from pipeline.analysis.question import THREAT_INTEL, Answer, Question
from pipeline.keys import digest
from pipeline.knowledge.schema import Knowledge
from trainer.data.phrases import Material, load_material
from trainer.data.rubric import Ruling, rule

# What an answer costs is its words; a sentence more is added only where it says more.
_ROOM, _MORE_ROOM = 200, 220  # characters of an assessment, below the limit of the grammar
_TRIALS = 20
_DOUBTFUL = re.compile(
    r"\b(?:artefacts?|cannot|explained|false|harmless|likely|mistaken?|misreads?|probably|scanners?|wrong)\b",
    re.IGNORECASE,
)


class Unteachable(ValueError):
    """Raised when no right answer to a case can be composed: the sentences have a gap or are too long."""


class Teacher:
    """Answers cases as the model should."""

    def __init__(self, knowledge: Knowledge, material: Material | None = None) -> None:
        self._knowledge = knowledge
        self._material = material if material is not None else load_material()

    def answer(self, case: Case, question: Question, seed: int) -> Answer:
        """Answer a case by the rules; the wording varies with the seed, what is said does not.

        Raises:
            Unteachable: if no right answer can be composed.
        """
        return self.compose(case, rule(case, question, self._knowledge), seed)

    def compose(self, case: Case, ruling: Ruling, seed: int) -> Answer:
        """Put what is right of a case into words; they vary with the seed.

        Raises:
            Unteachable: if no right answer can be composed.
        """
        seeded = digest("teacher", seed, render_prompt(case))
        wrong: str | None = None
        for trial in range(_TRIALS):  # sentences that are right by themselves can repeat each other
            rng = random.Random(f"{seeded}/{trial}")  # noqa: S311 - variety, not secrecy
            answer = Answer(
                assessment=self._assessment(case if trial < _TRIALS // 2 else replace(case, context=()), ruling, rng),
                impact=self._pick(case, "impact", rng, MAX_IMPACT),
                level=ruling.level,
                techniques=ruling.techniques,
                controls=ruling.controls,
                remediation=ruling.action,
            )
            wrong = critique(case, answer)
            if wrong is None:
                return answer
        raise Unteachable(f"{case.class_id}: {wrong}: {answer}")

    def _pick(self, case: Case, part: str, rng: random.Random, room: int) -> str:
        texts = self._material.texts(case)[part]
        found = [text for text in self._material.say(texts, case, rng) if len(text) <= room]
        if not found:
            raise Unteachable(f"{case.class_id}: no {part} fits for {case.features} ({case.status})")
        return rng.choice(found)

    def _assessment(self, case: Case, ruling: Ruling, rng: random.Random) -> str:
        for room, brief in ((_ROOM, False), (_MORE_ROOM, False), (_MORE_ROOM, True)):
            text = self._composed(case, ruling, rng, room, brief)
            if text is not None:
                return text
        raise Unteachable(f"{case.class_id}: no assessment fits for {case.features} ({case.status}, {case.artefact})")

    def _composed(self, case: Case, ruling: Ruling, rng: random.Random, room: int, brief: bool) -> str | None:
        what, so = (
            min(self._material.say(self._material.texts(case)[part], case, None), key=len)
            if brief
            else self._pick(case, part, rng, room)
            for part in ("what", "so")
        )
        must = []
        if case.artefact is not None and not _DOUBTFUL.search(f"{what} {so}"):
            table = self._material.doubts if case.artefact[1] == "cannot_tell" else self._material.mistakes
            must.append(self._added(table, case.artefact[0], case, rng))
        if ruling.because is not None:
            must.append(f"{_capital(case.floor)} is too low: {ruling.because}.")
        may = [self._added(self._material.contexts, name, case, rng) for name in _foremost(case)]
        doubt_in_so = case.artefact is not None and not must and not _DOUBTFUL.search(what)
        keep_so = [so] if doubt_in_so or (case.artefact is not None and _DOUBTFUL.search(so)) else []
        # From the fullest form to the barest: everything, without what the context adds, without the verdict.
        for parts in (
            [what, so, *may[:1], *must],
            [what, *keep_so, *may[:1], *must],
            [what, so, *must],
            [what, *keep_so, *must],
        ):
            text = " ".join(dict.fromkeys(parts))
            if len(text) <= room:
                return text
        return None

    def _added(self, table: dict[str, tuple[str, ...]], name: str, case: Case, rng: random.Random) -> str:
        return rng.choice(self._material.say(table.get(name, table["*"]), case, rng))


def _foremost(case: Case) -> list[str]:
    """Order what stands around a finding: a threat indicator first, then what tells most about it."""
    return sorted(
        case.context, key=lambda name: (name != THREAT_INTEL, name.partition(".")[0] not in ("process", "files"), name)
    )


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]
