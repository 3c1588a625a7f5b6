"""What the program says, and the code that it ends with, when something has kept it from its work."""

import errno
import os
import sys
from typing import NoReturn

from daemon.cli.exits import Exit, die
from pipeline.errors import AgentError, ConfigError, LedgerError, RegistryError, SourceError
from pipeline.shortage import is_shortage

_NOT_WRITTEN = frozenset({errno.EBADF, errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT})


def fail(error: AgentError | OSError | MemoryError) -> NoReturn:
    """Say it in one line and end; what is a fault of ours is raised again."""
    if is_shortage(error):
        # Whatever it kept from being read or written: no setting is wrong for that, and no file is damaged.
        reason = error.strerror if isinstance(error, OSError) else str(error)
        die(Exit.REJECTED, f"{reason or 'not enough memory'}: nothing is lost; give it more, and start again")
    if isinstance(error, OSError):
        _explain_surroundings(error)
    if isinstance(error, LedgerError):
        die(Exit.LEDGER, str(error))
    die(Exit.USAGE if isinstance(error, ConfigError | RegistryError | SourceError) else Exit.REJECTED, str(error))


def leave_closed_pipe(code: int = Exit.DONE) -> NoReturn:
    """End well, or with what was found: the reader of our output has what it wanted, as with `| head`."""
    _let_go_of_output()
    raise SystemExit(int(code)) from None


def _explain_surroundings(error: OSError) -> NoReturn:
    """Say what is wrong around the program."""
    try:
        sys.stdout.flush()
        failed = error.filename is None and error.errno in _NOT_WRITTEN
    except OSError:
        failed = True
    if failed:
        _let_go_of_output()
        die(Exit.USAGE, f"standard output: cannot be written: {error.strerror}")
    if isinstance(error, FileNotFoundError) and error.filename is None:
        die(Exit.USAGE, "the working directory is gone; change to another one")
    raise error


def _let_go_of_output() -> None:
    """Keep what could not be written from failing again at the very end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
