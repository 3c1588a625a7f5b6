"""What every command of `review` opens: the ledger to read, the log of verdicts, and who is asking."""

import os
import pwd
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon.cli.exits import Exit, die, say
from daemon.cli.ledger import open_to_read
from daemon.ledger import Ledger
from daemon.review.queue import Ambiguous, NotFound, Queue
from daemon.settings import Settings, load_settings
from pipeline.display import printable
from pipeline.errors import LedgerError
from pipeline.review.log import FILE_NAME, RESTORE, VerdictLog


@dataclass(slots=True, frozen=True)
class Desk:
    """Where somebody reviews.

    Attributes:
        log: None where nobody has decided anything, and nobody is about to.
        lacking: what the log lacks of what the ledger has seen, so that no verdict counts; None where all is well.
    """

    settings: Settings
    ledger: Ledger
    log: VerdictLog | None
    queue: Queue
    lacking: str | None

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
        seen = ledger.reviews.anchors
        is_there = path.exists() and path.stat().st_size > 0
        lacking = "is missing, and the ledger has seen verdicts" if seen() and not is_there else None
        if lacking is not None and to_write:
            raise LedgerError(f"{path}: {lacking}; nothing was stored. {RESTORE}")
        if to_write or is_there:
            log = stack.enter_context(VerdictLog.open(path, read_only=not to_write, seen=seen))
            lacking = log.lacking(seen())
        if lacking is not None and not to_write:
            say(f"sysscan-agent: {printable(str(path))}: {lacking}; no verdict counts. {RESTORE}")
        try:
            yield Desk(settings, ledger, log, Queue(ledger, log, now()), lacking)
        except NotFound as error:
            die(Exit.NOT_FOUND, str(error))
        except Ambiguous as error:
            die(Exit.USAGE, str(error))


def now() -> str:
    """Say what time it is, RFC 3339 in UTC."""
    return datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def author() -> str:
    """Name who is asking: the user of the process, and behind `sudo` who became it."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER")
    return f"{behind} as {name}" if os.getuid() == 0 and behind and behind != name else name
