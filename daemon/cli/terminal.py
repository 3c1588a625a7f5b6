"""The console that people read."""

from typing import IO

from rich.console import Console


def terminal(file: IO[str] | None = None) -> Console:
    """Make a console that shows text as it is.

    Names from a report may hold brackets or colons; rich would take `[/x]` and `:x:` for markup and emoji.
    """
    return Console(file=file, highlight=False, markup=False, emoji=False)
