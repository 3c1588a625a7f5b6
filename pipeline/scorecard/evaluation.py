"""The whole scorecard of a model: both holdouts, hostile texts, and the same answers in another process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.analysis.prompt import PROMPT_VERSION
from pipeline.engine.generator import Generator
from pipeline.knowledge.schema import Knowledge
from pipeline.scorecard.again import ask_again
from pipeline.scorecard.evaluate import Response, Scorecard, respond_all, respond_with, scorecard
from pipeline.scorecard.holdouts import Holdouts
from pipeline.scorecard.hostile import Hostile, measure_hostile
from pipeline.scorecard.model import Target
from pipeline.scorecard.payloads import HOSTILE

SCHEMA = "sysscan.scorecard/1"
ASKED_AGAIN = 16  # cases of each holdout; a process that answers otherwise does so soon

Advance = Callable[[str, int, int], None]  # step, done, of how many


@dataclass(slots=True, frozen=True)
class Repeated:
    """How many answers another process was asked for again, and how many came out the same."""

    asked: int
    same: int

    def as_json(self) -> dict[str, int]:
        """Give the two numbers by name."""
        return {"asked": self.asked, "same": self.same}


@dataclass(slots=True, frozen=True)
class Evaluation:
    """All that is measured of a model.

    Attributes:
        generator: digest of all that its tokens depend on.
        responses: holdout → what was said to each of its cases, in order; not a part of the JSON form.
        facts: of the holdouts, with a digest of the cases; `differences` says where they are not of what is installed.
    """

    target: Target
    generator: str
    holdouts: Mapping[str, Scorecard]
    responses: Mapping[str, Sequence[Response]]
    facts: Mapping[str, Any]
    differences: str | None
    knowledge: str
    hostile: Hostile
    repeated: Repeated

    def as_json(self) -> dict[str, Any]:
        """Give plain values by name, without the place where the model lies."""
        return {
            "schema": SCHEMA,
            "model": {
                "name": self.target.name,
                "form": self.target.form,
                "runtime": self.target.runtime,
                "device": self.target.device,
                "threads": self.target.threads,
                "generator": self.generator,
            },
            "knowledge": self.knowledge,
            "prompt": PROMPT_VERSION,
            "data": dict(self.facts),
            "differences": self.differences,
            "holdouts": {name: card.as_json() for name, card in self.holdouts.items()},
            "hostile": self.hostile.as_json(),
            "repeated": self.repeated.as_json(),
        }


def evaluate_model(
    target: Target,
    holdouts: Holdouts,
    knowledge: Knowledge,
    advance: Advance = lambda step, done, total: None,
    load: Callable[[Target], Generator] = Target.open,
) -> Evaluation:
    """Measure a model.

    Args:
        load: opens it; a caller may want to keep what libraries print out of its own output.

    Raises:
        EngineError: if it cannot be loaded, here or in another process.
    """
    generator = load(target)
    try:
        cards: dict[str, Scorecard] = {}
        said: dict[str, Sequence[Response]] = {}
        sample: list[tuple[Any, Response]] = []
        for name, gold in holdouts.cases.items():
            cases = [one.case for one in gold]
            responses = respond_all(respond_with(generator), cases, _of(advance, name, len(cases)))
            said[name] = responses
            cards[name] = scorecard(gold, responses, holdouts.nearest)
            sample += zip(cases[:ASKED_AGAIN], responses, strict=False)
        hostile = measure_hostile(generator, knowledge, HOSTILE, _of(advance, "hostile", len(HOSTILE)))
    finally:
        generator.close()
    advance("again", 0, 1)
    texts = ask_again(target, [case for case, _ in sample])
    advance("again", 1, 1)
    return Evaluation(
        target=target,
        generator=generator.digest,
        holdouts=cards,
        responses=said,
        facts={**holdouts.facts, "cases": holdouts.digest},
        differences=holdouts.differences(knowledge.digest),
        knowledge=knowledge.digest,
        hostile=hostile,
        repeated=Repeated(
            asked=len(sample),
            same=sum(response.text == text for (_, response), text in zip(sample, texts, strict=True)),
        ),
    )


def _of(advance: Advance, step: str, total: int) -> Callable[[int], None]:
    return lambda done: advance(step, done, total)
