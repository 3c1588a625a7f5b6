"""`sysscan-agent evaluate`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from daemon.cli.exits import Exit, die
from daemon.cli.terminal import terminal
from pipeline.embedded import EMBEDDED_MODEL
from pipeline.engine.errors import EngineError
from pipeline.engine.identity import Runtime
from pipeline.knowledge.load import load_knowledge
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
        with _progress() as advance:
            measured = evaluate_model(target, holdouts, load_knowledge(), advance).as_json()
    except EngineError as error:
        die(Exit.USAGE, str(error))
    if as_json or not sys.stdout.isatty():
        sys.stdout.buffer.write(orjson.dumps(measured, option=orjson.OPT_SORT_KEYS) + b"\n")
        if measured["differences"] is not None:
            sys.stderr.write(f"sysscan-agent: {measured['differences']}\n")
    else:
        show(terminal(), measured)
    return Exit.DONE


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Draw a bar for each step on standard error, where that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=terminal(sys.stderr), transient=True, disable=not sys.stderr.isatty()) as bars:

        def advance(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield advance
