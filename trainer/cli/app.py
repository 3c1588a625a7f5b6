"""`sysscan-train`: the commands, and how they end.

Each command imports what it needs when it runs: torch and its company take ten seconds, and `--help` needs none of it.
"""

import sys
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from pipeline.errors import AgentError
from trainer.cli import data, recipes, retrain, score

_NAME = "sysscan-train"

app = typer.Typer(
    name=_NAME,
    help="Make data, train, quantise, export and evaluate the local model. Everything runs offline.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    recipes.doctor,
    data.synth,
    data.holdout,
    recipes.base,
    recipes.pretrain,
    recipes.finetune,
    recipes.build,
    recipes.tune,
    recipes.merge,
    recipes.quantize,
    recipes.dequantize,
    recipes.export,
    score.answers,
    score.evaluate,
    score.card,
    retrain.retrain,
):
    app.command()(command)


def main() -> None:
    """Run the command line; errors that are raised on purpose end it with one line."""
    try:
        code = app(prog_name=_NAME, standalone_mode=False)
    except TyperException as error:
        _die(f"{' '.join(error.format_message().split()).rstrip('.')}; see `{_NAME} --help`")
    except (AgentError, OSError) as error:
        _die(str(error))
    raise SystemExit(code)


def _die(message: str) -> NoReturn:
    sys.stderr.write(f"{_NAME}: {message}\n")
    raise SystemExit(2)
