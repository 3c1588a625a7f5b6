"""Asks a model what it is measured by: the frozen holdouts, hostile texts, and the held-out verdicts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.engine.errors import EngineError
from pipeline.errors import ConfigError
from pipeline.knowledge.schema import Knowledge
from pipeline.scorecard.cases import GoldCase
from pipeline.scorecard.evaluate import Response, respond_all, respond_with
from pipeline.scorecard.evaluation import evaluate_model
from pipeline.scorecard.holdouts import read_holdouts
from pipeline.scorecard.model import find_target
from trainer.retrain.data import right_of
from trainer.retrain.decision import Measured, agrees

Progress = Callable[[str, int, int], None]
Measure = Callable[[Path, str, Sequence[GoldCase]], Measured]  # model directory, its digest, held-out verdicts


def measuring(knowledge: Knowledge, cases: int, progress: Progress) -> Measure:
    """Give a function that measures model directories as the product runs them.

    Args:
        cases: of each frozen holdout; 0 asks all.
    """

    def measure(directory: Path, digest: str, held_out: Sequence[GoldCase]) -> Measured:
        try:
            target = find_target(directory)
            holdouts = read_holdouts().limited(cases or None)
            card = evaluate_model(target, holdouts, knowledge, progress).as_json()
            generator = target.open()
            try:
                asked = [one.case for one in held_out]
                said = respond_all(respond_with(generator), asked, lambda done: progress("verdicts", done, len(asked)))
            finally:
                generator.close()
        except EngineError as error:
            raise ConfigError(str(error)) from error
        agreed = {one.situation: _agrees(one, given) for one, given in zip(held_out, said, strict=True)}
        return Measured(digest, target.name, agreed, card)

    return measure


def as_json(measured: Measured) -> dict[str, Any]:
    """Give plain values."""
    return {
        "digest": measured.digest,
        "name": measured.name,
        "agreed": dict(measured.agreed),
        "scorecard": dict(measured.scorecard),
    }


def from_json(body: dict[str, Any]) -> Measured:
    """Read what `as_json` gave."""
    return Measured(body["digest"], body["name"], body["agreed"], body["scorecard"])


def _agrees(one: GoldCase, given: Response) -> bool:
    """Count an answer that the product would send back as none."""
    return agrees(right_of(one), given.answer if given.wrong is None else None)
