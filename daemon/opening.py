"""Brings a closed scan into memory, and plans its batches."""

from daemon.log import get_logger
from daemon.ports.work import BaselineRow, Batch, ClosedScan, Work
from daemon.shortage import wait_for_more
from pipeline.classes.scan import baseline_scope
from pipeline.finding import RawFinding
from pipeline.graph.resources import Resources
from pipeline.graph.session import ScanSession
from pipeline.review.standing import NONE, Standing
from pipeline.steps import Steps

logger = get_logger(__name__)

_ROWS = 4_000  # read at a time: 20 ms
_BYTES = 4 << 20  # of findings that are read at a time, on average


class Opening:
    """A scan on its way into memory; what the ledger does not give just now is asked for again.

    Attributes:
        findings: read so far.
        session: None until all is worked out, and where our own code fails on the scan as a whole.
        batches: that are not done; None before they are planned.
    """

    def __init__(
        self, scan: ClosedScan, queue: Work, resources: Resources, batch_size: int, standing: Standing = NONE
    ) -> None:
        """Args: `standing`: the verdicts that it is judged with."""
        self.scan = scan
        self.findings: list[RawFinding] = []
        self.session: ScanSession | None = None
        self.batches: list[Batch] | None = None
        self._queue = queue
        self._resources = resources
        self._batch_size = batch_size
        self._standing = standing
        self._all_read = False
        self._rows = min(_ROWS, max(1, _BYTES * scan.findings // max(1, scan.bytes)))
        self._scope = None if scan.late else baseline_scope(scan.header, scan.host_source)
        self._prior: dict[str, BaselineRow] | None = None
        self._steps: Steps[ScanSession] | None = None
        self._worked_out = False

    def advance(self) -> bool:
        """Do a bounded piece of work; returns whether the scan is open.

        Raises:
            LedgerError: when nothing was done, and the same piece comes next.
            ScanDamaged: when it never will be.
            MemoryError: when there is not enough of it.
        """
        if not self._all_read:
            self._read_findings()
        elif self._scope is not None:
            self._read_baseline(self._scope)
        elif not self._worked_out:
            self._work_out()
        else:
            self.batches = self._queue.plan(self.scan.scan_no, self._batch_size)
        return self.batches is not None

    def _read_findings(self) -> None:
        piece = self._queue.findings(self.scan.scan_no, len(self.findings), self._rows)
        self.findings += piece
        self._all_read = len(piece) < self._rows

    def _read_baseline(self, scope: str) -> None:
        known = self._prior if self._prior is not None else {}
        piece = self._queue.baseline(self.scan.host, scope, next(reversed(known), ""), _ROWS)
        known.update(piece)
        self._prior = known
        if len(piece) < _ROWS:
            self._scope = None

    def _work_out(self) -> None:
        scan = self.scan
        try:
            if self._steps is None:
                self._steps = ScanSession.steps(scan, self.findings, self._resources, self._prior, self._standing)
            next(self._steps)
        except StopIteration as end:
            self.session = end.value
            self._worked_out = True
        except MemoryError:
            raise  # the plain way out would take as much
        except Exception as error:
            wait_for_more(error)
            # A fault of ours that every start would meet again: the findings go out as they came.
            logger.error("scan.failed", scan_id=scan.scan_id, source=scan.source, error=repr(error), exc_info=True)
            self._worked_out = True
