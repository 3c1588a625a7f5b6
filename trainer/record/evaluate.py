"""Recipe: score a checkpoint or a model directory on the holdouts, as `sysscan-agent evaluate` does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pipeline.engine.generator import Generator
from pipeline.engine.runtimes import Runtime
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.scorecard.evaluation import evaluate_model
from pipeline.scorecard.holdouts import FROZEN, read_holdouts
from pipeline.scorecard.model import Target, find_target
from trainer.quiet import quiet


def score(
    base: Path,
    data: Path | None,
    advance: Callable[[str, int, int], None] = lambda step, done, total: None,
    *,
    limit: int | None = None,
    runtime: Runtime | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int | None = None,
) -> dict[str, Any]:
    """Measure, and give the scorecard in its JSON form.

    Args:
        data: holdouts or a data set; None takes the holdouts of the package.

    Raises:
        EngineError: if the model cannot be run.
        ConfigError: if there are no holdouts.
    """
    target = find_target(base, runtime, threads, None if device == "auto" else device)
    holdouts = read_holdouts(data or FROZEN).limited(limit)
    return evaluate_model(target, holdouts, load_knowledge(load_features), advance, _load).as_json()


def _load(target: Target) -> Generator:
    with quiet():
        return target.open()
