"""Asks a model what it is measured by: the frozen holdouts, hostile texts, and the held-out verdicts."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from pipeline.engine.errors import EngineError
from pipeline.errors import ConfigError
from pipeline.knowledge.schema import Knowledge
from pipeline.scorecard.cases import GoldCase
from pipeline.scorecard.evaluate import Response, respond_all, respond_with, scorecard
from pipeline.scorecard.evaluation import evaluate_model
from pipeline.scorecard.holdouts import read_holdouts
from pipeline.scorecard.model import find_target
from trainer.retrain.decided import Decided, right_of
from trainer.retrain.decision import Measured, agrees

Progress = Callable[[str, int, int], None]
# Model directory, its digest, held-out verdicts, and the frozen cases that reviewers decide otherwise.
Measure = Callable[[Path, str, Sequence[GoldCase], Decided], Measured]


def measuring(knowledge: Knowledge, cases: int, progress: Progress) -> Measure:
    """Give a function that measures model directories as the product runs them.

    Args:
        cases: of each frozen holdout; 0 asks all.
    """

    def measure(directory: Path, digest: str, held_out: Sequence[GoldCase], decided: Decided) -> Measured:
        try:
            target = find_target(directory)
            holdouts = read_holdouts().limited(cases or None)
            found = evaluate_model(target, holdouts, knowledge, progress)
            generator = target.open()
            try:
                asked = [one.case for one in held_out]
                said = respond_all(respond_with(generator), asked, lambda done: progress("verdicts", done, len(asked)))
            finally:
                generator.close()
        except EngineError as error:
            raise ConfigError(str(error)) from error
        agreed = {one.situation: _agrees(one, given) for one, given in zip(held_out, said, strict=True)}
        compared = {name: _without(gold, found.responses[name], decided[name]) for name, gold in holdouts.cases.items()}
        return Measured(digest, target.name, agreed, found.as_json(), compared)

    return measure


def as_json(measured: Measured) -> dict[str, Any]:
    """Give plain values."""
    return {
        "digest": measured.digest,
        "name": measured.name,
        "agreed": dict(measured.agreed),
        "scorecard": dict(measured.scorecard),
        "compared": dict(measured.compared),
    }


def from_json(body: dict[str, Any]) -> Measured:
    """Read what `as_json` gave."""
    return Measured(body["digest"], body["name"], body["agreed"], body["scorecard"], body["compared"])


def _without(gold: Sequence[GoldCase], said: Sequence[Response], places: Collection[int]) -> dict[str, Any]:
    """Score a holdout without the cases at some places."""
    left = [place for place in range(len(gold)) if place not in places]
    return scorecard([gold[place] for place in left], [said[place] for place in left]).as_json()


def _agrees(one: GoldCase, given: Response) -> bool:
    """Count an answer that the product would send back as none."""
    return agrees(right_of(one), given.answer if given.wrong is None else None)
