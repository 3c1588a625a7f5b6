"""Runs batches of the scan in hand through the graph: as a whole with checkpoints, or finding by finding without."""

import math
import sqlite3
from collections.abc import Callable, Collection
from functools import cached_property

from daemon.awaited import Awaited
from daemon.checkpoints import Checkpoints
from daemon.log import get_logger
from daemon.ports.work import Batch
from pipeline.graph.asking import Paused, Pending
from pipeline.graph.batches import run_batch
from pipeline.graph.graph import BatchGraph, build_graph
from pipeline.graph.session import ScanSession, Stale
from pipeline.output.enriched import Line

logger = get_logger(__name__)


class BatchRunner:
    """The graph, its checkpoints, and the sessions that its nodes act on.

    A batch of which the model is asked is left with `Paused`, and gone on with when it is run again.

    Attributes:
        awaited: the answers that the batch in hand waits for.
    """

    def __init__(self, checkpoints: Checkpoints, clock: Callable[[], float]) -> None:
        self._checkpoints = checkpoints
        self._clock = clock
        self._sessions: dict[int, ScanSession] = {}
        self._graph = build_graph(self._sessions, checkpoints.saver)
        self._turn_ends = math.inf
        self._swept = False
        self.awaited = Awaited(clock)

    @cached_property
    def _plain(self) -> BatchGraph:
        return build_graph(self._sessions)

    def begin(self, scan_no: int, session: ScanSession) -> None:
        """Take the session of a scan, whose batches are run next."""
        session.pause = self._pause
        self._sessions[scan_no] = session

    def end(self, scan_no: int) -> None:
        """Let go of the session of a scan, if there is one."""
        self._sessions.pop(scan_no, None)

    def together(self, session: ScanSession, batch: Batch, thread: str, turn_ends: float) -> list[Line]:
        """Run a batch as a whole, from where its checkpoints have got; `turn_ends`: when others have their turn.

        Raises:
            Paused: when it waits for the model, or the turn is over.
        """
        self._turn_ends = turn_ends
        try:
            return run_batch(self._graph, session, batch.first, batch.last, thread=thread)
        except Stale as stale:
            logger.info("batch.restarted", first=batch.first, last=batch.last, reason=str(stale))
            self._checkpoints.delete(thread)
            return run_batch(self._graph, session, batch.first, batch.last, thread=thread)
        finally:
            self._turn_ends = math.inf

    def alone(self, session: ScanSession, seq: int) -> Line:
        """Run one finding, without checkpoints.

        Raises:
            Paused: when it waits for the model.
        """
        (line,) = run_batch(self._plain, session, seq, seq + 1)
        return line

    def forget(self, thread: str) -> None:
        """Discard the checkpoints of a batch that nothing waits for any more."""
        self._checkpoints.delete(thread)

    def sweep(self, wanted: Collection[str]) -> None:
        """Discard, once after the start, the checkpoints of all batches but these."""
        if self._swept:
            return
        for thread in sorted(set(self._checkpoints.threads()).difference(wanted)):
            self._checkpoints.delete(thread)
        self._swept = True

    def tidy(self) -> None:
        """Give the space of finished work back."""
        try:
            self._checkpoints.shrink()
        except sqlite3.Error as error:
            self.mend(error)

    def mend(self, error: sqlite3.Error) -> None:
        """Go on without the checkpoints that are damaged.

        Raises:
            LedgerError: when they are not, and cannot be written just now.
        """
        if not self._checkpoints.mend(error):
            raise self._checkpoints.explain(error) from error
        self._graph = build_graph(self._sessions, self._checkpoints.saver)

    def _pause(self, pending: Collection[Pending]) -> None:
        """Leave the batch to the model, or to others where asking it takes long; the answers so far are kept."""
        if pending or self._clock() >= self._turn_ends:
            self.awaited.expect(pending)
            raise Paused
