"""The commands of `sysscan-agent model` and their options."""

from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.options import AsJson, Config, StateDir, TextOrJson, flags

model_app = typer.Typer(help="The models that are there, and which of them answers.")

Which = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]", help="Digest, or its beginning; embedded: the one of the program.", show_default=False
    ),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for whoever reads it later.")]
Author = Annotated[
    str | None, typer.Option("--author", metavar="NAME", help="Who. Default: this user.", show_default=False)
]


@model_app.command("list")
def model_list(
    as_json: AsJson = False, format_: TextOrJson = None, state_dir: StateDir = None, config: Config = None
) -> None:
    """List the models, and say which one answers."""
    from daemon.cli.model import list_models

    raise typer.Exit(int(list_models(flags(state_dir), config, as_json=as_json)))


@model_app.command("show")
def model_show(
    model: Which = None,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Show what a model was made from and when it answered; without a digest, the one that answers."""
    from daemon.cli.model import show_model

    raise typer.Exit(int(show_model(flags(state_dir), config, model, as_json=as_json)))


@model_app.command("verify")
def model_verify(
    model: Which = None,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Check every file of a model, or of all of them; exit code 1 where one is not as it was made."""
    from daemon.cli.model import verify_models

    raise typer.Exit(int(verify_models(flags(state_dir), config, model, as_json=as_json)))


@model_app.command("add")
def model_add(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A model directory, as `sysscan-train export` makes it.")
    ],
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Copy a model into the registry; it answers only when it is promoted."""
    from daemon.cli.model import add_model

    raise typer.Exit(int(add_model(flags(state_dir), config, directory, as_json=as_json)))


@model_app.command("promote")
def model_promote(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Digest, or its beginning; embedded: the one of the program.")
    ],
    reason: Reason = "promoted by hand",
    author: Author = None,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Have a model answer from the next scan on; it is verified and tried first, and the one before is kept."""
    from daemon.cli.model import promote_model

    raise typer.Exit(int(promote_model(flags(state_dir), config, model, reason=reason, author=author, as_json=as_json)))


@model_app.command("rollback")
def model_rollback(
    reason: Reason = "rolled back by hand",
    author: Author = None,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Have the model answer that did before the last promotion."""
    from daemon.cli.model import roll_back

    raise typer.Exit(int(roll_back(flags(state_dir), config, reason=reason, author=author, as_json=as_json)))
