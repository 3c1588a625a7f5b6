"""How the program ends, and what it says then."""

import sys
from enum import IntEnum
from typing import NoReturn

from pipeline.display import printable


class Exit(IntEnum):
    """Exit codes; documented in docs/cli.md."""

    DONE = 0
    REJECTED = 1  # done, but some input could not be used; it is named on standard error
    USAGE = 2  # a person must change a flag, a setting or a file first
    LEDGER = 3  # the ledger cannot keep its promise, or is in use
    NOT_FOUND = 4  # what was asked for is not there
    FORCED = 130  # left at the second signal


def die(code: Exit, message: str) -> NoReturn:
    """Say one line on standard error and end."""
    # A message may hold names from a report or a directory that others write.
    sys.stderr.write(f"sysscan-agent: {printable(message, 4000)}\n")
    raise SystemExit(int(code))
