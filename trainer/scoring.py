"""The commands that say how good a model is: holdout, evaluate, card.

Each imports what it needs when it runs: evaluating takes the whole pipeline, and `--help` needs none of it.
"""

from pathlib import Path
from typing import Annotated, Literal

import orjson
import typer
from rich.console import Console

from pipeline.bars import bars
from pipeline.engine.errors import EngineError
from pipeline.engine.manifest import relist, verify
from pipeline.errors import ConfigError
from trainer.offline import seal

SCORECARDS = "scorecards"  # in a manifest's record: form of the weights → scorecard
BEFORE = "scorecards_before"  # likewise, of the model before it was trained on the classes that are held out


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    for command in (holdout, evaluate, card):
        app.command()(command)


def holdout(
    data: Annotated[Path, typer.Option("--data", "-d", help="Data set directory, made by `synth`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory to make; must be empty or not there.")],
    size: Annotated[int, typer.Option(min=1, help="At most so many cases of each holdout.")] = 400,
    seed: Annotated[int, typer.Option(help="Same data, same seed, same bytes.")] = 1,
) -> None:
    """Draw the frozen holdouts out of a data set: cases that no model was trained on, the same for every model."""
    from trainer.holdout import make_holdouts

    made = make_holdouts(data, output, size, seed)
    counts = ", ".join(f"{len(cases)} of the {name} holdout" for name, cases in made.cases.items())
    typer.echo(f"{output}: {counts}; digest {made.digest}")


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
        Literal["onnx", "torch"] | None,
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
    from pipeline.scorecard.render import show
    from trainer.evaluate import score

    seal()
    kind = BEFORE if before else SCORECARDS
    try:
        scorecards = dict(verify(into).record.get(kind, {})) if into is not None else {}
        if output is not None and not output.absolute().parent.is_dir():
            raise ConfigError(f"{output}: there is no such directory; make it, or name another output")
        with bars() as advance:
            measured = score(base, data, advance, limit=limit, runtime=runtime, device=device, threads=threads)
        if into is not None:
            relist(into, {kind: {**scorecards, name or measured["model"]["form"]: measured}})
    except EngineError as error:
        raise ConfigError(str(error)) from error
    if output is not None:
        output.write_bytes(orjson.dumps(measured, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")
    show(Console(highlight=False, markup=False, emoji=False), measured)


def card(
    model: Annotated[Path, typer.Option("--model", "-m", help="Model directory, made by `export`.")],
) -> None:
    """Write the model card, README.md, into a model directory: what it is, how it was made, how good it is."""
    from trainer.model_card import write_card

    try:
        path = write_card(model)
    except EngineError as error:
        raise ConfigError(str(error)) from error
    typer.echo(f"made {path}", err=True)
