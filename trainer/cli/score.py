"""The commands that ask a model, and say how good it is: answers, evaluate, card."""

from pathlib import Path
from typing import Annotated, Literal

import orjson
import typer
from rich.console import Console

from pipeline.bars import bars
from pipeline.engine.errors import EngineError
from pipeline.engine.runtimes import Runtime
from pipeline.errors import ConfigError
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from trainer.cli.arguments import Model
from trainer.offline import seal


def answers(
    model: Model,
    data: Annotated[
        Path | None, typer.Option("--data", "-d", help="Data set directory, made by `synth`.", show_default=False)
    ] = None,
    reports: Annotated[
        list[Path] | None,
        typer.Option("--report", "-r", help="A report, all of whose questions are answered; may be repeated."),
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="How many questions of --data, the most frequent first.")] = 6_000,
) -> None:
    """Put a model's answers to the most frequent questions into its directory; those that it has are kept."""
    seal()
    from trainer.record.answers import record_answers

    if data is None and not reports:
        raise ConfigError("nothing is asked: give --data, --report or both")
    with bars() as advance:
        count = record_answers(model, data, load_knowledge(load_features), most, advance, reports or ())
    typer.echo(f"{count} answers in {model}", err=True)


def evaluate(
    base: Annotated[Path, typer.Option("--base", "-b", help="Checkpoint (float or GPTQ), or model directory.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", "-d", help="Holdouts or a data set.", show_default="the holdouts of the package"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many cases of each holdout.", show_default=False)
    ] = None,
    runtime: Annotated[
        Runtime | None,
        typer.Option(help="What runs a model directory; torch runs checkpoints.", show_default="onnx"),
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where it runs.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.", show_default="as the daemon")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the scorecard, as JSON.", show_default=False)
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(help="Model directory whose manifest keeps the scorecard, too.", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What it is called there.", show_default="float, gptq or onnx")
    ] = None,
    before: Annotated[
        bool, typer.Option("--before", help="Keep it as that of the model before it saw all classes.")
    ] = False,
) -> None:
    """Score a checkpoint or a model directory on the holdouts, as `sysscan-agent evaluate` does."""
    seal()
    from pipeline.scorecard.render import show
    from trainer.record.evaluate import score
    from trainer.record.scorecards import BEFORE, SCORECARDS, keep_scorecard, read_scorecards

    kind = BEFORE if before else SCORECARDS
    try:
        if into is not None:
            read_scorecards(into, kind)  # refuses what is no model, before the work
        if output is not None and not output.absolute().parent.is_dir():
            raise ConfigError(f"{output}: there is no such directory; make it, or name another output")
        with bars() as advance:
            measured = score(base, data, advance, limit=limit, runtime=runtime, device=device, threads=threads)
        if into is not None:
            keep_scorecard(into, kind, name or measured["model"]["form"], measured)
    except EngineError as error:
        raise ConfigError(str(error)) from error
    if output is not None:
        output.write_bytes(orjson.dumps(measured, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")
    show(Console(highlight=False, markup=False, emoji=False), measured)


def card(model: Model) -> None:
    """Write the model card, README.md, into a model directory: what it is, how it was made, how good it is."""
    from trainer.record.model_card import write_card

    try:
        path = write_card(model)
    except EngineError as error:
        raise ConfigError(str(error)) from error
    typer.echo(f"made {path}", err=True)
