"""The commands of `sysscan-agent audit` and their options."""

from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.options import LARGEST, AsJson, Config, StateDir, TextOrJson, flags

audit_app = typer.Typer(help="Who decided what, whether the log of it is what was written, and the log for others.")


@audit_app.command()
def show(
    limit: Annotated[
        int, typer.Option("--limit", min=0, max=LARGEST, metavar="N", help="Show so many; 0 shows all.")
    ] = 0,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Show who decided what, when and why, the latest first."""
    from daemon.cli.audit import show_audit

    raise typer.Exit(int(show_audit(flags(state_dir), config, limit=limit, as_json=as_json)))


@audit_app.command()
def verify(
    as_json: AsJson = False, format_: TextOrJson = None, state_dir: StateDir = None, config: Config = None
) -> None:
    """Check the chain of verdicts, and hold it to what the ledger noted; names every row that was touched."""
    from daemon.cli.audit import verify_audit

    raise typer.Exit(int(verify_audit(flags(state_dir), config, as_json=as_json)))


@audit_app.command()
def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here instead of standard output.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="Ed25519 key (PEM) to sign with, into FILE.sig. Default: settings."),
    ] = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Write the log as lines of JSON that anybody can check, signed where there is a key."""
    from daemon.cli.audit import export_audit

    raise typer.Exit(int(export_audit(flags(state_dir), config, output=output, key=key)))


@audit_app.command("give-up")
def give_up(
    after: Annotated[
        int,
        typer.Option("--after", min=0, max=LARGEST, metavar="N", help="The last verdict that is left; 0: none is."),
    ],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why the newer copy cannot be had; stays with the ledger.")
    ],
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Go on with a log of verdicts that lacks its end, where the newer copy is lost for good."""
    from daemon.cli.audit import give_up_audit

    raise typer.Exit(int(give_up_audit(flags(state_dir), config, after, reason=reason, as_json=as_json)))
