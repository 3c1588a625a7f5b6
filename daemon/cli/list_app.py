"""`sysscan-agent list`: what the knowledge has, to look names up in."""

from typing import Annotated

import typer

from daemon.cli.options import AsJson, Config, KnowledgeDirs, TextOrJson, flags

list_app = typer.Typer(help="List what is known: classes of findings, controls, correlations, remediations.")

Search = Annotated[
    str | None, typer.Option("--search", metavar="WORD", help="Only what has this in its id or its words.")
]


@list_app.command("classes")
def list_classes(
    scanner: Annotated[
        str | None, typer.Option("--scanner", metavar="NAME", help="Only those of this scanner.")
    ] = None,
    search: Search = None,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    config: Config = None,
    knowledge: KnowledgeDirs = None,
) -> None:
    """List the kinds of findings that are known."""
    from daemon.cli.listed import show_classes

    raise typer.Exit(
        int(show_classes(flags(knowledge=knowledge), config, scanner=scanner, search=search, as_json=as_json))
    )


@list_app.command("controls")
def list_controls(
    framework: Annotated[
        str | None,
        typer.Option("--framework", metavar="NAME", help="Only those of this framework, such as hipaa."),
    ] = None,
    search: Search = None,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    config: Config = None,
    knowledge: KnowledgeDirs = None,
) -> None:
    """List the controls that findings can be evidence for."""
    from daemon.cli.listed import show_controls

    raise typer.Exit(
        int(show_controls(flags(knowledge=knowledge), config, framework=framework, search=search, as_json=as_json))
    )


@list_app.command("correlations")
def list_correlations(
    search: Search = None,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    config: Config = None,
    knowledge: KnowledgeDirs = None,
) -> None:
    """List the patterns in which findings mean more together."""
    from daemon.cli.listed import show_correlations

    raise typer.Exit(int(show_correlations(flags(knowledge=knowledge), config, search=search, as_json=as_json)))


@list_app.command("remediations")
def list_remediations(
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="Only those of this kind, such as sysctl or manual.")
    ] = None,
    search: Search = None,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    config: Config = None,
    knowledge: KnowledgeDirs = None,
) -> None:
    """List the actions that findings can have, and which of them `remediate` leaves to a person."""
    from daemon.cli.listed import show_remediations

    raise typer.Exit(
        int(show_remediations(flags(knowledge=knowledge), config, kind=kind, search=search, as_json=as_json))
    )
