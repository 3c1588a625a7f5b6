"""The commands of `sysscan-agent ledger` and their options."""

from typing import Annotated

import typer

from daemon.cli.options import LARGEST, AsJson, Config, StateDir, TextOrJson, flags

ledger_app = typer.Typer(help="Look at, check and repair what the daemon remembers.")
quarantine_app = typer.Typer(help="Input that could not be used, and why.")
aside_app = typer.Typer(help="Scans that are not worked on: they ended the process, or are damaged.")
ledger_app.add_typer(aside_app, name="aside")
ledger_app.add_typer(quarantine_app, name="quarantine")


@ledger_app.command("status")
def ledger_status(
    as_json: AsJson = False, format_: TextOrJson = None, state_dir: StateDir = None, config: Config = None
) -> None:
    """Show what waits, what was delivered, and what is in quarantine."""
    from daemon.cli.ledger import show_status

    raise typer.Exit(int(show_status(flags(state_dir), config, as_json=as_json)))


@ledger_app.command("fsck")
def ledger_fsck(
    as_json: AsJson = False, format_: TextOrJson = None, state_dir: StateDir = None, config: Config = None
) -> None:
    """Check every promise of the ledger against what is in it."""
    from daemon.cli.ledger import check

    raise typer.Exit(int(check(flags(state_dir), config, as_json=as_json)))


@aside_app.command("list")
def aside_list(
    as_json: AsJson = False, format_: TextOrJson = None, state_dir: StateDir = None, config: Config = None
) -> None:
    """List the scans that are set aside, and why."""
    from daemon.cli.ledger import list_aside

    raise typer.Exit(int(list_aside(flags(state_dir), config, as_json=as_json)))


@aside_app.command("retry")
def aside_retry(
    number: Annotated[int, typer.Argument(max=LARGEST, metavar="NUMBER", help="As `ledger aside list` shows it.")],
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Have a scan worked on again, after you gave the service more memory or installed a newer version."""
    from daemon.cli.ledger import retry_aside

    raise typer.Exit(int(retry_aside(flags(state_dir), config, number)))


@quarantine_app.command("list")
def quarantine_list(
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="CODE", help="Only those with this reason code.")
    ] = None,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """List what could not be used."""
    from daemon.cli.ledger import list_quarantine

    raise typer.Exit(int(list_quarantine(flags(state_dir), config, reason=reason, as_json=as_json)))


@quarantine_app.command("show")
def quarantine_show(
    number: Annotated[int, typer.Argument(max=LARGEST, metavar="NUMBER", help="As `ledger quarantine list` shows it.")],
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Show one entry with the bytes in question."""
    from daemon.cli.ledger import show_quarantined

    raise typer.Exit(int(show_quarantined(flags(state_dir), config, number, as_json=as_json)))


@quarantine_app.command("retry")
def quarantine_retry(
    number: Annotated[int, typer.Argument(max=LARGEST, metavar="NUMBER", help="As `ledger quarantine list` shows it.")],
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Have the file read again from its start, after you mended it or installed a newer version."""
    from daemon.cli.ledger import retry_quarantined

    raise typer.Exit(int(retry_quarantined(flags(state_dir), config, number)))


@quarantine_app.command("dismiss")
def quarantine_dismiss(
    number: Annotated[int, typer.Argument(max=LARGEST, metavar="NUMBER", help="As `ledger quarantine list` shows it.")],
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Mark an entry as looked at."""
    from daemon.cli.ledger import dismiss_quarantined

    raise typer.Exit(int(dismiss_quarantined(flags(state_dir), config, number)))
