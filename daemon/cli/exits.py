"""How the program ends, and what it says then."""

import contextlib
import os
import signal
import sys
import threading
from enum import IntEnum
from typing import NoReturn

from daemon.log_writer import finish
from pipeline.display import printable


class Exit(IntEnum):
    """Exit codes; documented in docs/cli.md."""

    DONE = 0
    REJECTED = 1  # done, but some input could not be used; it is named on standard error
    USAGE = 2  # a person must change a flag, a setting or a file first
    LEDGER = 3  # the ledger cannot keep its promise, or is in use
    NOT_FOUND = 4  # what was asked for is not there
    GATE = 5  # done, and something is as bad as `--fail-on` says
    FORCED = 130  # left at the second signal


_MAY_HANG = "reload"  # what `daemon.reloading` names its threads


def leave(code: int) -> NoReturn:
    """End with an exit code.

    Where a thread hangs that nobody waits for, the interpreter is not taken down first: its code in other languages
    would abort the process when it goes on. All is done and said by now, so Ctrl-C has nothing to end any more: in the
    interpreter's own end it would leave a traceback.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if any(thread.name == _MAY_HANG for thread in threading.enumerate()):
        finish()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)


def die(code: Exit, message: str) -> NoReturn:
    """Say one line on standard error and end."""
    # A message may hold names from a report or a directory that others write.
    say(f"sysscan-agent: {printable(message, 4000)}")
    raise SystemExit(int(code))


def say(line: str) -> None:
    """Write a line to standard error, which may be closed or have lost its reader: that is no failure of the work."""
    finish()
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        # What it holds back would fail again at the end, and become the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), 2)
