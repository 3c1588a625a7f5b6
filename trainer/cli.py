"""The command line of the trainer."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from pipeline.bars import bars
from pipeline.errors import AgentError
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from trainer import commands, scoring

_NAME = "sysscan-train"

app = typer.Typer(
    name=_NAME,
    help="Make data, train, quantise, export and evaluate the local model. Everything runs offline.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _trainer() -> None:
    """Make data, train, quantise, export and evaluate the local model. Everything runs offline."""


@app.command()
def synth(
    out: Annotated[Path, typer.Option(help="Directory to write to; must be empty or new.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 1,
    size: Annotated[int, typer.Option(min=100, max=2_000_000, help="How many cases.")] = 60_000,
) -> None:
    """Make a data set of synthetic findings with right answers, from reports in the scanner's own formats."""
    from trainer.synth import synthesise

    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise typer.BadParameter(f"{out} is not an empty directory; choose a new one", param_hint="--out")
        out.mkdir(parents=True, exist_ok=True)
        with bars() as advance:
            result = synthesise(out, load_knowledge(load_features), seed, size, advance)
    except (AgentError, OSError) as error:
        typer.echo(f"sysscan-train: {error}", err=True)
        raise typer.Exit(2) from error
    counts = ", ".join(f"{count} {name}" for name, count in result.splits.items())
    typer.echo(f"{out}: {counts}; {result.situations} situations from {result.reports} reports; digest {result.digest}")


commands.register(app)
scoring.register(app)


def main() -> None:
    """Run the command line; errors that are raised on purpose end it with one line."""
    try:
        code = app(prog_name=_NAME, standalone_mode=False)
    except TyperException as error:
        _die(f"{' '.join(error.format_message().split()).rstrip('.')}; see `{_NAME} --help`")
    except AgentError as error:
        _die(str(error))
    raise SystemExit(code)


def _die(message: str) -> NoReturn:
    sys.stderr.write(f"{_NAME}: {message}\n")
    raise SystemExit(2)
