"""`sysscan-agent evaluate`."""

import sys
from pathlib import Path

import orjson

from daemon.cli.exits import Exit, die
from daemon.cli.terminal import terminal, wants_json
from daemon.inference import ModelProcess
from pipeline.bars import bars
from pipeline.engine.errors import EngineError
from pipeline.engine.generator import Generator
from pipeline.engine.model import Checkpoint, Model, Weights
from pipeline.engine.runtimes import Runtime
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.models.embedded import EMBEDDED_MODEL
from pipeline.scorecard.evaluation import evaluate_model
from pipeline.scorecard.holdouts import FROZEN, read_holdouts
from pipeline.scorecard.model import Target, find_target
from pipeline.scorecard.render import show


def evaluate_local(
    model: Path | None, data: Path | None, *, limit: int | None, runtime: Runtime, threads: int | None, as_json: bool
) -> Exit:
    """Measure a model directory on the holdouts; a table to a terminal, JSON to a pipe."""
    try:
        target = find_target(model or EMBEDDED_MODEL, runtime, threads)
        holdouts = read_holdouts(data or FROZEN).limited(limit)
        with bars() as advance:
            measured = evaluate_model(target, holdouts, load_knowledge(load_features), advance, _start).as_json()
    except EngineError as error:
        die(Exit.USAGE, str(error))
    if wants_json(as_json):
        sys.stdout.buffer.write(orjson.dumps(measured, option=orjson.OPT_SORT_KEYS) + b"\n")
        if measured["differences"] is not None:
            sys.stderr.write(f"sysscan-agent: {measured['differences']}\n")
    else:
        show(terminal(), measured)
    return Exit.DONE


def _start(target: Target) -> Generator:
    """Load it in the process that the daemon asks, too; its own answers are measured, not those shipped with it."""
    model: Weights = (
        Checkpoint(target.path, threads=target.threads, device=target.device)
        if target.checkpoint
        else Model(target.path, target.runtime, threads=target.threads, device=target.device, shipped=False)
    )
    process = ModelProcess(model)
    try:
        process.load()
    except EngineError:
        process.close()
        raise
    return process
