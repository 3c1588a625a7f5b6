"""What every command of `review` opens: the ledger to read, the log of verdicts, and who is asking."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.cli.exits import Exit, die
from daemon.cli.ledger import open_to_read
from daemon.ledger import Ledger
from daemon.review.queue import Ambiguous, NotFound, Queue
from daemon.review.who import now
from daemon.settings import Settings, load_settings
from pipeline.review.log import FILE_NAME, VerdictLog


@dataclass(slots=True, frozen=True)
class Desk:
    """Where somebody reviews.

    Attributes:
        log: None where nobody has decided anything, and nobody is about to.
    """

    settings: Settings
    ledger: Ledger
    log: VerdictLog | None
    queue: Queue

    @property
    def writing(self) -> VerdictLog:
        """The log, to be written."""
        assert self.log is not None
        return self.log


@contextmanager
def open_desk(given: Mapping[str, Any], config: Path | None, *, to_write: bool = False) -> Iterator[Desk]:
    """Open ledger and log beside a daemon that may be running; ends the program where a key names nothing."""
    settings = load_settings(os.environ, given, config)
    with ExitStack() as stack:
        ledger = stack.enter_context(open_to_read(settings))
        path = settings.state_dir / FILE_NAME
        log = None
        if to_write or (path.exists() and path.stat().st_size):
            log = stack.enter_context(VerdictLog.open(path, read_only=not to_write))
        try:
            yield Desk(settings, ledger, log, Queue(ledger, log, now()))
        except NotFound as error:
            die(Exit.NOT_FOUND, str(error))
        except Ambiguous as error:
            die(Exit.USAGE, str(error))
