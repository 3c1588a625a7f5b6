"""Takes closed scans through the graph, batch by batch, and commits what comes out."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from daemon.batch_runner import BatchRunner
from daemon.capacity import Capacity, Ticket
from daemon.checkpoints import Checkpoints
from daemon.finishing import Finishing
from daemon.heap import HEAP, LARGE
from daemon.in_hand import InHand
from daemon.log import get_logger
from daemon.opening import Opening
from daemon.ports.work import Batch, ClosedScan, Reviewable, Work
from daemon.review.retained import reviewables
from daemon.review.verdicts import PinnedVerdicts
from daemon.shortage import wait_for_more
from pipeline.engine.generator import IDLE, Health
from pipeline.errors import LedgerError, ScanDamaged
from pipeline.finding import Member, RawFinding
from pipeline.graph.asking import Paused
from pipeline.graph.resources import Resources
from pipeline.graph.session import ScanSession
from pipeline.graph.state import thread_name
from pipeline.output.enriched import Line
from pipeline.output.unanalysed import unanalysed_line
from pipeline.review.chain import Head
from pipeline.review.standing import NONE
from pipeline.rules.policy import Policy

logger = get_logger(__name__)

_SLICE_S = 0.125  # of one turn; what is begun within it is ended, which may take as long again
MAX_ATTEMPTS = 2  # a batch that our own code failed on so often is done finding by finding


@dataclass(slots=True)
class _Job:
    """The scan in hand.

    Attributes:
        session: None when our own code fails on the scan as a whole.
        batches: that are not done, the next one first.
        lines: of the next batch, as far as it is done finding by finding.
        finishing: how far the end of the scan is, once all batches are done.
    """

    scan: ClosedScan
    findings: list[RawFinding]
    session: ScanSession | None
    batches: list[Batch] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    finishing: Finishing | None = None


class Worker:
    """Works on one scan at a time, in ingest order; a step is one batch, or as much of the rest as a turn has time for.

    Nothing that a step has in hand is given up before the ledger has taken its outcome, so a step that fails is
    simply made again. A batch that waits for the model is left, and gone on with when answers are there: between two
    steps, rest with `awaited`.

    Attributes:
        awaited: the answers that the batch in hand waits for.
    """

    def __init__(
        self,
        queue: Work,
        resources: Resources,
        checkpoints: Checkpoints,
        batch_size: int,
        clock: Callable[[], float] = time.monotonic,
        in_hand: InHand | None = None,
        verdicts: PinnedVerdicts | None = None,
        retains: bool = True,
        capacity: Capacity | None = None,
    ) -> None:
        """Args:
        in_hand: where the scan that is worked on is noted, for the next process.
        verdicts: gives those that a scan is judged with; None: there are none.
        retains: keep findings for reviews.
        capacity: how much scans may take that this and other workers have in hand; None: this is the only one.
        """
        self._capacity = capacity
        self._ticket: Ticket | None = None
        self._verdicts = verdicts
        self._retains = retains
        self._clock = clock
        self._in_hand = in_hand
        self._failures: tuple[str | None, str | None] = (None, None)  # told last: the model's, the search's
        self._runner = BatchRunner(checkpoints, clock)
        self.awaited = self._runner.awaited
        self._queue = queue
        self._resources = resources
        self._next: Resources | None = None
        self._batch_size = batch_size
        self._opening: Opening | None = None
        self._job: _Job | None = None
        self.analysed: dict[str, int] = {"model": 0, "rules": 0, "review": 0}
        self.finished = 0

    @property
    def has_model(self) -> bool:
        """Say whether a model is asked."""
        return self._resources.analyst is not None

    @property
    def model_name(self) -> str | None:
        """What the output calls the model that is asked."""
        analyst = self._resources.analyst
        return analyst.model if analyst is not None else None

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._resources.policy

    @property
    def resources(self) -> Resources:
        """What the next scan is worked on with."""
        return self._next or self._resources

    def all_in_use(self) -> tuple[Resources, Resources]:
        """Give what the scan in hand, and the next one, is worked on with."""
        return self._resources, self.resources

    def replace(self, resources: Resources) -> None:
        """Work with other resources from the next scan on; the one in hand is ended with those that it began with."""
        self._next = resources

    @property
    def model_health(self) -> Health:
        """How what runs the model is."""
        analyst = self._resources.analyst
        return analyst.health if analyst is not None else IDLE

    def step(self) -> bool:
        """Do the next piece of work; returns False when there is none. Does nothing while it is the model's turn.

        Raises:
            LedgerError: when ledger or checkpoints cannot be written just now; the next step tries again.
        """
        try:
            return self._step()
        except ScanDamaged as error:
            self._queue.set_aside(error.scan_no, str(error))
            self._give_up(error.scan_no, str(error))
            return True
        except MemoryError:
            scan = self._scan_in_hand()
            if scan is None:
                raise
            if self._queue.count_attempt(scan.scan_no, "there is not enough memory to work on it"):
                self._give_up(scan.scan_no, "not enough memory")
            else:
                self._drop(scan.scan_no)
            return True
        except sqlite3.Error as error:  # of the checkpoints; the ledger explains its own
            self._runner.mend(error)
            return True

    def tidy(self) -> None:
        """Give the space of finished work back."""
        self._runner.tidy()

    def _step(self) -> bool:
        if self.awaited.waiting:
            return True
        self.awaited.expect(())
        if self._job is not None and self._job.batches:
            self._run(self._job, self._job.batches[0])
        elif self._job is not None:
            self._finish(self._job)
        elif self._opening is not None:
            self._open(self._opening)
        elif not self._queue.settle():  # before the next scan is opened, which reads the baseline
            if self._next is not None:
                self._resources, self._next = self._next, None
            scan = self._queue.next_scan()
            if scan is None:
                self._leave_room()
                self._runner.sweep(())
                return False
            if not self._has_room(scan):
                return True
            if self._in_hand is not None:
                self._in_hand.take(scan.scan_no, scan.bytes)
            standing = self._verdicts.at(Head(scan.verdicts, scan.verdicts_head)) if self._verdicts else NONE
            self._opening = Opening(scan, self._queue, self._resources, self._batch_size, standing)
            if scan.findings > LARGE:
                HEAP.hold()
            self._open(self._opening)
        HEAP.collect()
        return True

    def close(self) -> None:
        """Leave the scan in hand to the next process; the worker is of no use afterwards."""
        self._leave_room()

    def _has_room(self, scan: ClosedScan) -> bool:
        """Say whether a scan may be brought into memory; if not, it is waited for."""
        if self._capacity is None:
            return True
        if self._ticket is None or self._ticket.scan_no != scan.scan_no:
            self._leave_room()
            self._ticket = self._capacity.ask(scan)
        if not (granted := self._ticket.granted).done():
            self.awaited.expect((granted,))
        return granted.done()

    def _leave_room(self) -> None:
        if self._capacity is not None and self._ticket is not None:
            self._capacity.give_back(self._ticket)
            self._ticket = None

    def _scan_in_hand(self) -> ClosedScan | None:
        if self._job is not None:
            return self._job.scan
        return self._opening.scan if self._opening is not None else None

    def _give_up(self, scan_no: int, reason: str) -> None:
        """Leave a scan that the ledger has set aside."""
        self._drop(scan_no)
        logger.error(
            "scan.set_aside", scan_no=scan_no, reason=reason, see="ledger aside list",
            advice="nothing of it is lost; `ledger aside retry` has it worked on again",
        )  # fmt: skip

    def _drop(self, scan_no: int) -> None:
        """Forget all that is held of a scan."""
        scan = self._scan_in_hand()
        self._runner.end(scan_no)
        self._job = self._opening = None
        self._leave_room()
        self.awaited.expect(())
        if scan is not None and scan.findings > LARGE:
            HEAP.let_go()
        if self._in_hand is not None:
            self._in_hand.let_go()

    def _open(self, opening: Opening) -> None:
        if not self._in_turn(opening.advance):
            return
        scan, batches = opening.scan, opening.batches or []
        self._runner.sweep([self._thread(scan, batch) for batch in batches])
        if opening.session is not None:
            self._runner.begin(scan.scan_no, opening.session)
        self._job = _Job(scan, opening.findings, opening.session, batches)
        self._opening = None

    def _in_turn(self, advance: Callable[[], bool]) -> bool:
        """Advance until it is done or the turn is over; returns whether it is done."""
        ends = self._clock() + _SLICE_S
        while not advance():
            if self._clock() >= ends:
                return False
        return True

    def _run(self, job: _Job, batch: Batch) -> None:
        thread = self._thread(job.scan, batch)
        if job.session is None or batch.attempt >= MAX_ATTEMPTS:
            if not self._one_by_one(job, batch):
                return
            lines = job.lines
        else:
            try:
                lines = self._together(job.session, batch, thread)
            except Paused:
                return
            except (LedgerError, sqlite3.Error):
                raise
            except Exception as error:
                wait_for_more(error)
                job.batches[0] = again = self._queue.retry_batch(batch)
                logger.error(
                    "batch.failed", scan_id=job.scan.scan_id, first=batch.first, last=batch.last,
                    attempt=again.attempt, error=repr(error), exc_info=True,
                )  # fmt: skip
                self._runner.forget(thread)
                return
        rows = [(line.key, line.level, line.changed, line.line) for line in lines]
        self._queue.commit_batch(batch, rows, self._retained(job, batch, lines))
        job.batches.pop(0)
        job.lines = []
        for line in lines:
            self.analysed[line.origin] += 1
        self._runner.forget(thread)

    def _retained(self, job: _Job, batch: Batch, lines: Sequence[Line]) -> Sequence[Reviewable]:
        """Give what is kept of a batch for reviews; nothing of a scan that our own code fails on."""
        if job.session is None or not self._retains:
            return ()
        return reviewables(job.session, batch.first, lines)

    def _tell_failure(self) -> None:
        """Log what keeps the model or the search of topics from answering, once for each thing that does."""
        analyst = self._resources.analyst
        found = analyst.failure if analyst is not None else None, self._resources.retriever.failure
        events = "model.failed", "retrieval.unavailable"
        for event, failure, before in zip(events, found, self._failures, strict=True):
            if failure is not None and failure != before:
                logger.warning(event, reason=failure, see="sysscan-agent doctor")
        self._failures = found

    def _together(self, session: ScanSession, batch: Batch, thread: str) -> list[Line]:
        try:
            return self._runner.together(session, batch, thread, self._clock() + _SLICE_S)
        finally:
            self._tell_failure()

    def _one_by_one(self, job: _Job, batch: Batch) -> bool:
        """Keep what our own code can do of a batch that it failed on as a whole; returns whether all of it is done."""
        turn_ends = self._clock() + _SLICE_S  # a model may be asked about each
        for seq in range(batch.first + len(job.lines), batch.last):
            try:
                job.lines.append(self._alone(job, seq))
            except Paused:
                break
            if self._clock() >= turn_ends:
                break
        return len(job.lines) == batch.last - batch.first

    def _alone(self, job: _Job, seq: int) -> Line:
        member: Member | None = None
        if job.session is not None:
            member = job.session.index.members[seq]
            try:
                return self._runner.alone(job.session, seq)
            except (LedgerError, Paused):
                raise
            except Exception as error:
                wait_for_more(error)
                logger.error("finding.failed", scan_id=job.scan.scan_id, seq=seq, error=repr(error))
        return unanalysed_line(job.scan, seq, job.findings[seq], member, self._resources.provenance)

    def _finish(self, job: _Job) -> None:
        if job.finishing is None:
            job.finishing = Finishing(job.scan, job.findings, job.session, self._queue, self._resources)
        finishing, was_stored = job.finishing, job.finishing.stored
        done = self._in_turn(finishing.advance)
        if finishing.stored and not was_stored:
            self._runner.end(job.scan.scan_no)
            self.finished += 1
            if self._in_hand is not None:
                self._in_hand.let_go()
            self._tell_finished(job.scan, finishing)
        if done:
            self._job = None
            self._leave_room()
            if job.scan.findings > LARGE:
                HEAP.let_go()

    def _tell_finished(self, scan: ClosedScan, finishing: Finishing) -> None:
        counts = finishing.record.counts if finishing.record is not None else None
        logger.info(
            "scan.finished",
            scan_id=scan.scan_id,
            host=scan.host,
            source=scan.source,
            findings=scan.findings,
            issues=counts.issues if counts is not None else None,
            levels=counts.level if counts is not None else None,
            complete=scan.complete,
        )

    def _thread(self, scan: ClosedScan, batch: Batch) -> str:
        return thread_name(self._resources.digest, scan.scan_id, batch.first, batch.last)
