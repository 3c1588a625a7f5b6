"""What the page works with: ledger and log beside a daemon that may be running, and the queue as it is now."""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from daemon.ledger import Ledger
from daemon.ledger.database import FILE_NAME as LEDGER_NAME
from daemon.ledger.retained import Filter
from daemon.ledger.searching import holding
from daemon.review.audit import Checked, verify
from daemon.review.queue import Entry, Queue
from daemon.review.who import now
from daemon.review.words import states
from pipeline.errors import LedgerError
from pipeline.knowledge.schema import Knowledge
from pipeline.review.log import FILE_NAME, RESTORE, VerdictLog
from pipeline.review.verdict import Verdict

Result = TypeVar("Result")
_KEPT = 16  # lists that are not made anew while nothing has changed


@dataclass(slots=True, frozen=True)
class Progress:
    """How much there is to review, and how much of it nobody has decided on."""

    situations: int
    situations_left: int
    findings: int
    findings_left: int


class Desk:
    """One ledger and one log, held open and opened again where another file has taken the name.

    For use from one thread.
    """

    def __init__(self, state_dir: Path, knowledge: Knowledge) -> None:
        """Open both.

        Raises:
            LedgerError: when one of them cannot be read, or there is no ledger yet.
        """
        self.knowledge = knowledge
        self._state_dir = state_dir
        self._stack = contextlib.ExitStack()
        self._files: tuple[object, ...] = ()
        self._seen: tuple[object, ...] = ()
        self._lists: OrderedDict[Hashable, Any] = OrderedDict()  # as verdicts and ledger are
        self._of_ledger: OrderedDict[Hashable, Any] = OrderedDict()  # as the ledger is, whatever is decided
        self._searching = asyncio.Lock()
        # What was found of which text, and what `_of_ledger` was when the search began.
        self._found: OrderedDict[tuple[Filter, str], tuple[object, frozenset[str]]] = OrderedDict()
        self._open()

    def close(self) -> None:
        """Close both."""
        self._stack.close()
        self._files = ()

    def look(self) -> None:
        """See what has changed since the last look; nearly free where nothing has.

        Raises:
            LedgerError: as at the beginning; the next look tries again.
        """
        try:
            if self._files != self._names():
                self._open()
            seen = (self.ledger.reviews.changes(), self.log.changes(), now()[:10])
            if seen != self._seen:
                self._renew(seen)
        except LedgerError:
            self.close()
            raise

    def decided(self) -> None:
        """Take in what was decided here."""
        self._renew(self._seen)

    @property
    def seq(self) -> int:
        """The number of the last verdict."""
        return self.queue.standing.head.seq

    @property
    def lacking(self) -> str | None:
        """Why no verdict counts, in a sentence; None where the log is what the ledger has seen of it."""
        said = self.queue.lacking
        return None if said is None else f"{self.log.path}: {said}. {RESTORE}"

    async def search(self, wanted: Filter, text: str) -> None:
        """Look for a text in all that is kept, so that `entries` can be narrowed to it; nothing where it is empty.

        Others are answered meanwhile, and one search goes on at a time. What was found is kept until the ledger is
        another one, whatever is decided.
        """
        if not text:
            return
        async with self._searching:
            name, state = (wanted, text), self._of_ledger
            if name not in self._found or self._found[name][0] is not state:
                self._found[name] = state, await holding(self._state_dir, text, wanted)
            self._found.move_to_end(name)
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)

    def entries(self, wanted: Filter, text: str) -> list[Entry]:
        """List what nobody has reviewed, the worst first.

        Args:
            text: only situations with a finding whose line holds it, as it is written, and which was looked for with
                `search`; empty: all.
        """

        def listed() -> list[Entry]:
            entries = self.queue.unreviewed(wanted)
            if not text:
                return entries
            found = self._found[wanted, text][1]
            return [entry for entry in entries if entry.situation in found]

        return _once(self._lists, ("entries", wanted, text), listed)

    def progress(self) -> Progress:
        """Say how much of the queue is done."""
        groups = _once(self._of_ledger, "at stake", self.queue.at_stake)
        situations_left, findings_left = _once(self._lists, "left", lambda: self.queue.left(groups))
        return Progress(
            situations=len({group.situation for group in groups}),
            situations_left=situations_left,
            findings=sum(group.findings for group in groups),
            findings_left=findings_left,
        )

    def names(self, column: Literal["class_id", "host", "scanner"]) -> list[str]:
        """List the classes, hosts or scanners of what is kept, to choose from."""
        return _once(self._of_ledger, column, lambda: self.ledger.reviews.names(column))

    def states(self, verdicts: Sequence[Verdict]) -> dict[int, str]:
        """Say of each verdict whether it counts, as the commands do."""
        return states(verdicts, self.queue.standing, now(), without_effect=self.queue.lacking is not None)

    def checked(self) -> Checked:
        """Hold the log to its own hashes, and to what the ledger noted of it."""
        return _once(self._lists, "checked", lambda: verify(self.log, self.ledger))

    def _renew(self, seen: tuple[object, ...]) -> None:
        self._lists.clear()
        if seen[:1] != self._seen[:1]:
            self._of_ledger = OrderedDict()
        self.queue.refresh(now())
        self._seen = seen

    def _open(self) -> None:
        self._stack.close()
        self.ledger = self._stack.enter_context(
            Ledger.open(self._state_dir, clock=time.time, read_only=True, exclusive=False)
        )
        seen = self.ledger.reviews.anchors
        self.log = self._stack.enter_context(VerdictLog.open(self._state_dir / FILE_NAME, seen=seen))
        self.queue = Queue(self.ledger, self.log, now())
        self._files, self._seen = self._names(), ()
        self._lists.clear()
        self._of_ledger = OrderedDict()

    def _names(self) -> tuple[object, ...]:
        return tuple(_identity(self._state_dir / name) for name in (LEDGER_NAME, FILE_NAME))


def _once(kept: OrderedDict[Hashable, Any], name: Hashable, make: Callable[[], Result]) -> Result:
    if name not in kept:
        kept[name] = make()
        while len(kept) > _KEPT:
            kept.popitem(last=False)
    kept.move_to_end(name)
    found: Result = kept[name]
    return found


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
