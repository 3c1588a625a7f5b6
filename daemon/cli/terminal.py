"""The console that people read, and whether it is people who read."""

import sys
from typing import IO, Literal

from rich.console import Console

from daemon.cli.exits import Exit, die

_chosen: Literal["text", "json"] | None = None


def terminal(file: IO[str] | None = None) -> Console:
    """Make a console that shows text as it is.

    Names from a report may hold brackets or colons; rich would take `[/x]` and `:x:` for markup and emoji.
    """
    return Console(file=file, highlight=False, markup=False, emoji=False)


def choose_format(chosen: Literal["text", "json"] | None) -> Literal["text", "json"] | None:
    """Remember what `--format` says, for `wants_json`; called for every command that has the option."""
    global _chosen
    _chosen = chosen
    return chosen


def wants_json(as_json: bool) -> bool:
    """Say whether JSON is wanted: because `--json` or `--format` says so, or else because a program reads."""
    if as_json and _chosen == "text":
        die(Exit.USAGE, "--json: contradicts --format text; leave one of them out")
    return as_json or (not sys.stdout.isatty() if _chosen is None else _chosen == "json")
