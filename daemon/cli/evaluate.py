"""`sysscan-agent evaluate`."""

import sys
from pathlib import Path

import orjson

from daemon.cli.exits import Exit, die
from daemon.cli.terminal import terminal
from pipeline.bars import bars
from pipeline.engine.errors import EngineError
from pipeline.engine.runtimes import Runtime
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.models.embedded import EMBEDDED_MODEL
from pipeline.scorecard.evaluation import evaluate_model
from pipeline.scorecard.holdouts import FROZEN, read_holdouts
from pipeline.scorecard.model import find_target
from pipeline.scorecard.render import show


def evaluate_local(
    model: Path | None, data: Path | None, *, limit: int | None, runtime: Runtime, threads: int | None, as_json: bool
) -> Exit:
    """Measure a model directory on the holdouts; a table to a terminal, JSON to a pipe."""
    try:
        target = find_target(model or EMBEDDED_MODEL, runtime, threads)
        holdouts = read_holdouts(data or FROZEN).limited(limit)
        with bars() as advance:
            measured = evaluate_model(target, holdouts, load_knowledge(load_features), advance).as_json()
    except EngineError as error:
        die(Exit.USAGE, str(error))
    if as_json or not sys.stdout.isatty():
        sys.stdout.buffer.write(orjson.dumps(measured, option=orjson.OPT_SORT_KEYS) + b"\n")
        if measured["differences"] is not None:
            sys.stderr.write(f"sysscan-agent: {measured['differences']}\n")
    else:
        show(terminal(), measured)
    return Exit.DONE
