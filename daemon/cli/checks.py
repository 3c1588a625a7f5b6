"""What commands that look for problems have in common: a verdict on each thing, and what to do."""

import sys
from collections.abc import Mapping, Sequence

import orjson
from rich.table import Table
from rich.text import Text

from daemon.cli.exits import Exit
from daemon.cli.terminal import terminal, wants_json
from pipeline.checks import Check, Verdict
from pipeline.display import printable

_STYLES: Mapping[Verdict, str] = {"ok": "green", "warning": "yellow", "problem": "bold red"}
_SHOWN = 4000


def show_checks(checks: Sequence[Check], *, as_json: bool) -> Exit:
    """Print checks; a problem ends with `Exit.USAGE`."""
    if wants_json(as_json):
        for one in checks:
            line = {"check": one.name, "verdict": one.verdict, "detail": one.detail, "advice": one.advice}
            sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    else:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for one in checks:
            said = "\n".join(printable(text, _SHOWN) for text in (one.detail, one.advice) if text)
            table.add_row(Text(one.verdict, _STYLES[one.verdict]), printable(one.name), said)
        terminal().print(table)
    return Exit.USAGE if any(one.verdict == "problem" for one in checks) else Exit.DONE
