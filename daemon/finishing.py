"""Brings a scan whose batches are done to its end: record, baseline, and the memory that it took."""

from collections.abc import Iterator
from itertools import chain, islice

from daemon.baseline_rows import baseline_rows, forgotten_rows
from daemon.log import get_logger
from daemon.ports.work import BaselineRow, ClosedScan, Work
from daemon.shortage import wait_for_more
from pipeline.classes.scan import scan_scope
from pipeline.errors import LedgerError
from pipeline.finding import RawFinding
from pipeline.graph.resources import Resources
from pipeline.graph.session import ScanSession
from pipeline.output.records import ScanRecord
from pipeline.output.unanalysed import unanalysed_record
from pipeline.output.write import write_steps
from pipeline.rules.baseline import Comparison
from pipeline.steps import Steps, release

logger = get_logger(__name__)

_ROWS = 4_000  # stored in one transaction; a scan with no more is finished with one


class Finishing:
    """The end of a scan; what the ledger does not take just now is offered again.

    Attributes:
        record: of the scan, when it is made.
        stored: the ledger has all of it, and only memory is to be given back.
    """

    def __init__(
        self,
        scan: ClosedScan,
        findings: list[RawFinding],
        session: ScanSession | None,
        queue: Work,
        resources: Resources,
    ) -> None:
        self.record: ScanRecord | None = None
        self.stored = False
        self._scan = scan
        self._findings = findings
        self._session = session
        self._queue = queue
        self._resources = resources
        self._making: Steps[None] = self._make()
        self._line: bytes | None = None
        self._rows: Iterator[BaselineRow] | None = None  # to be staged; None when they all are
        comparison = session.comparison if session is not None else None
        if comparison is not None and len(comparison.seen) + len(comparison.resolved) > _ROWS:
            self._rows = _all_rows(comparison, scan.scan_no)
        self._piece: list[BaselineRow] = []
        self._staged = 0
        self._releasing: Steps[None] = self._release()

    def advance(self) -> bool:
        """Do a bounded piece of work; returns whether all is done.

        Raises:
            LedgerError: when nothing was done, and the same piece comes next.
        """
        if self._line is None:
            try:
                next(self._making, None)
            except LedgerError:  # the cache of analyses is there
                self._making = self._make()
                raise
        elif self._rows is not None:
            self._stage(self._rows)
        elif not self.stored:
            self._store(self._line)
        else:
            return next(self._releasing, True) is True
        return False

    def _make(self) -> Steps[None]:
        if self._session is not None:
            try:
                self.record = yield from self._session.record_steps()
            except LedgerError:
                raise
            except Exception as error:
                wait_for_more(error)
                logger.error("record.failed", scan_id=self._scan.scan_id, error=repr(error), exc_info=True)
        if self.record is None:
            shared = self._resources
            members = self._session.index.members if self._session is not None else None
            self.record = unanalysed_record(
                self._scan, self._findings, members, shared.knowledge, shared.policy.profile,
                shared.provenance,
            )  # fmt: skip
        self._line = yield from write_steps(self.record)

    def _stage(self, rows: Iterator[BaselineRow]) -> None:
        self._piece = self._piece or list(islice(rows, _ROWS))
        if not self._piece:
            self._rows = None
            return
        self._queue.stage_baseline(self._scan.scan_no, self._staged, self._piece)
        self._staged += len(self._piece)
        self._piece = []

    def _store(self, line: bytes) -> None:
        scan, comparison = self._scan, self._session.comparison if self._session is not None else None
        at_once = comparison is not None and not self._staged
        self._queue.finish_scan(
            scan,
            line,
            list(baseline_rows(comparison, scan.scan_no)) if comparison is not None and at_once else (),
            comparison.forget if comparison is not None and at_once else (),
            scan_scope(scan.header) or "",
            self._staged,
            comparison is not None and comparison.compared,
        )
        self.stored = True

    def _release(self) -> Steps[None]:
        if self._session is not None:
            yield from self._session.release()
        yield from release(self._findings)


def _all_rows(comparison: Comparison, scan_no: int) -> Iterator[BaselineRow]:
    return chain(baseline_rows(comparison, scan_no), forgotten_rows(comparison, scan_no))
