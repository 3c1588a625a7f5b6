"""What every command of `review` opens: the ledger to read, the log of verdicts, and who is asking."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.cli.exits import Exit, die, say
from daemon.cli.ledger import open_to_read
from daemon.cli.review.elsewhere import kept_elsewhere
from daemon.lane.rebuild import ledger_dirs
from daemon.lane.shared_log import SharedLog, StoppedDeciding
from daemon.lane.verdict_copy import advised, how_it_is_mended
from daemon.ledger import Ledger
from daemon.ledger.retained import Filter
from daemon.ledger.searching import held_in
from daemon.review.kept import HasKept, ManyKept
from daemon.review.queue import Ambiguous, NotFound, Queue
from daemon.review.who import now
from daemon.settings import Settings, load_settings
from pipeline.display import printable
from pipeline.errors import LedgerError, SinkError
from pipeline.review.log import FILE_NAME, MISSING, RESTORE, VerdictLog, is_there


@dataclass(slots=True, frozen=True)
class Desk:
    """Where somebody reviews.

    Attributes:
        log: None where nobody has decided anything, and nobody is about to.
        lacking: what the log lacks of what the ledger has seen, so that no verdict counts; None where all is well.
    """

    settings: Settings
    ledger: HasKept
    log: VerdictLog | None
    queue: Queue
    lacking: str | None

    @property
    def writing(self) -> VerdictLog:
        """The log, to be written."""
        assert self.log is not None
        return self.log

    def holding(self, text: str, wanted: Filter) -> frozenset[str]:
        """Give the situations with a finding whose line, or one of whose keys, holds a text as it is written."""
        directories = [self.settings.state_dir]
        if self.settings.kafka.consumes:
            directories = [*ledger_dirs(self.settings.state_dir, self.settings.kafka.input_topic).values()]
        return frozenset[str]().union(*(held_in(directory, text, wanted) for directory in directories))


@contextmanager
def open_desk(
    given: Mapping[str, Any], config: Path | None, *, to_write: bool = False, listing: bool = False
) -> Iterator[Desk]:
    """Open ledger and log beside a daemon that may be running; ends the program where a key names nothing.

    Args: `listing`: all that is to be reviewed is wanted, so say what of it other disks have.
    """
    settings = load_settings(os.environ, given, config)
    with ExitStack() as stack:
        ledger = open_kept(settings, stack, _say if listing else None)
        path = settings.state_dir / FILE_NAME
        log: VerdictLog | None = None
        seen = ledger.reviews.anchors
        shared = to_write and settings.kafka.consumes
        restore = how_it_is_mended(settings.kafka.verdicts_topic) if settings.kafka.consumes else RESTORE
        if shared:
            log = _open_shared(settings, stack)
        elif to_write or is_there(path):
            with advised(path, settings.kafka.verdicts_topic if settings.kafka.consumes else None):
                log = stack.enter_context(VerdictLog.open(path, read_only=not to_write, seen=seen))
        try:
            queue = Queue(ledger, log, now())
            lacking = queue.lacking if log is not None else MISSING if seen() else None
            if lacking is not None and shared:  # the copy has caught up: the topic lacks it, too
                raise LedgerError(f"{path}: {lacking}; nothing was stored. See `sysscan-agent kafka verdicts`")
            if lacking is not None and not to_write:
                say(f"sysscan-agent: {printable(str(path))}: {lacking}; no verdict counts. {restore}")
            yield Desk(settings, ledger, log, queue, lacking)
        except NotFound as error:
            die(Exit.NOT_FOUND, str(error))
        except Ambiguous as error:
            die(Exit.USAGE, str(error))
        except StoppedDeciding as error:
            die(Exit.FORCED, str(error))
        except SinkError as error:
            die(Exit.REJECTED, str(error))


def open_kept(settings: Settings, stack: ExitStack, tell: Callable[[str], None] | None = None) -> HasKept:
    """Open what is kept for reviews: the ledger of a state directory, or those of a worker's partitions.

    Args: `tell`: is told, a line each, what other disks have of it.

    Raises:
        LedgerError: when there is none, or one cannot be read.
    """
    if not settings.kafka.consumes:
        return stack.enter_context(open_to_read(settings))
    topic = settings.kafka.input_topic
    found = ledger_dirs(settings.state_dir, topic)
    if not found:
        raise LedgerError(f"{settings.state_dir}: has no partition of {topic}; give the state directory of a worker")
    ledgers = {
        number: stack.enter_context(Ledger.open(path, clock=time.time, read_only=True, exclusive=False))
        for number, path in found.items()
    }
    if tell is not None:
        for line in kept_elsewhere(ledgers, topic):
            tell(line)
    return ManyKept({f"{topic}/{number}": ledger.reviews for number, ledger in ledgers.items()})


def _say(line: str) -> None:
    say(f"sysscan-agent: {line}")


def _open_shared(settings: Settings, stack: ExitStack) -> SharedLog:
    """Open the log that all workers share; what is decided reaches them through its topic."""
    from daemon.compose import open_verdict_writer  # half a second, which most commands need not wait

    try:
        writer = open_verdict_writer(settings)
        stack.callback(writer.close)
        log = SharedLog.of(settings.state_dir / FILE_NAME, writer, _say)
        stack.enter_context(log)
        return log
    except SinkError as error:
        die(Exit.REJECTED, f"{error}; nothing was decided")
