"""`analyze`: whole reports through the same pipeline, with neither inbox nor outbox nor checkpoints."""

import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from daemon.baseline_rows import baseline_rows
from daemon.ledger import Ledger
from daemon.ledger.scans import document_scan_id, header_hash, resolve_host, stream_scan_id
from daemon.ports.work import BaselineRow
from daemon.sources.whole import read_whole
from pipeline.classes.scan import ScanContext, baseline_scope, scan_scope
from pipeline.errors import ReportError
from pipeline.finding import ParsedReport, Reject
from pipeline.graph.asking import Paused, Pending, wait_for_one
from pipeline.graph.batches import run_batch
from pipeline.graph.graph import build_graph
from pipeline.graph.resources import Resources
from pipeline.graph.session import ScanSession
from pipeline.output.enriched import Line
from pipeline.output.records import ScanRecord
from pipeline.report.limits import Limits
from pipeline.review.standing import NONE, Standing
from pipeline.shortage import is_shortage
from pipeline.unreadable import why_unreadable

STANDARD_INPUT = "-"
_AHEAD = 8  # batches that are begun while one waits for the model; their lines are kept meanwhile, 1 MB each


@dataclass(slots=True, frozen=True)
class Refused:
    """A file, or a piece of one, that could not be used."""

    source: str
    reject: Reject


@dataclass(slots=True, frozen=True)
class Analysed:
    """One report and what came of it."""

    source: str
    session: ScanSession
    record: ScanRecord


class OneShot:
    """Analyses reports one after the other; nothing is remembered between them."""

    def __init__(
        self,
        resources: Resources,
        limits: Limits,
        batch_size: int,
        host: str | None = None,
        as_of: str | None = None,
        ledger: Ledger | None = None,
        standing: Standing = NONE,
    ) -> None:
        """Args:
        standing: the verdicts that reports are judged with.
        as_of: when the reports came in, and for those that carry no time when they were made; default: when the file
            was last changed. RFC 3339, UTC, whole seconds.
        ledger: keeps the baseline; without one there is none.
        """
        self._resources = resources
        self._limits = limits
        self._batch_size = batch_size
        self._host = host
        self._as_of = as_of
        self._ledger = ledger
        self._standing = standing
        self._sessions: dict[int, ScanSession] = {}
        self._graph = build_graph(self._sessions)
        self._goes_ahead = False
        self.refused: list[Refused] = []

    def analyse(
        self,
        source: str,
        emit: Callable[[list[Line]], None],
        advance: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[Analysed]:
        """Analyse the reports that a file holds, handing over each batch of lines as it is ready.

        What cannot be used is added to `refused`. `advance` is told (done, total) findings of a report.
        """
        try:
            raw, modified = read_source(source, self._limits)
        except ReportError as error:
            self.refused.append(Refused(source, Reject(error.reason, error.detail, error.offset)))
            return
        document = read_whole(raw, self._limits)
        self.refused.extend(Refused(source, reject) for reject in document.rejects)
        seen: dict[str, int] = {}
        for report in document.reports:
            self.refused.extend(Refused(source, reject) for reject in report.rejects)
            context = self._context(report, modified, seen)
            prior = self._prior(context)
            if prior is not None:
                context = replace(context, scan_no=1 + max((row.last_scan_no for row in prior.values()), default=0))
            session = ScanSession.of(context, report.findings, self._resources, prior, self._standing)
            session.pause = self._pause
            self._sessions.clear()
            self._sessions[context.scan_no] = session
            for last, lines in self._batches(session, len(report.findings)):
                emit(lines)
                advance(last, len(report.findings))
            if self._ledger is not None and session.comparison is not None:
                self._ledger.baseline.update(
                    context.host,
                    scan_scope(context.header) or "",
                    list(baseline_rows(session.comparison, context.scan_no)),
                    session.comparison.forget,
                )
            yield Analysed(source, session, session.record())

    def _batches(self, session: ScanSession, findings: int) -> Iterator[tuple[int, list[Line]]]:
        """Run the batches of the scan and return where they end and their lines, in order.

        While the model is at work on one, others are begun.
        """
        begun: deque[tuple[int, int, list[Line] | None]] = deque()
        for first in range(0, findings, self._batch_size):
            last = min(first + self._batch_size, findings)
            self._goes_ahead = True
            try:
                begun.append((first, last, run_batch(self._graph, session, first, last)))
            except Paused:
                begun.append((first, last, None))
            while begun and (begun[0][2] is not None or len(begun) > _AHEAD):
                yield self._end(session, *begun.popleft())
        while begun:
            yield self._end(session, *begun.popleft())

    def _end(self, session: ScanSession, first: int, last: int, lines: list[Line] | None) -> tuple[int, list[Line]]:
        self._goes_ahead = False
        return last, lines if lines is not None else run_batch(self._graph, session, first, last)

    def _pause(self, pending: Collection[Pending]) -> None:
        if pending and self._goes_ahead:
            raise Paused
        wait_for_one(pending)

    def _prior(self, context: ScanContext) -> dict[str, BaselineRow] | None:
        scope = baseline_scope(context.header, context.host_source)
        if self._ledger is None or scope is None:
            return None
        while self._ledger.work.settle():  # what a daemon that was killed left
            pass
        return self._ledger.baseline.rows(context.host, scope)

    def _context(self, report: ParsedReport, modified: str, seen: dict[str, int]) -> ScanContext:
        header = report.header
        host, host_source = resolve_host(header, None, self._host)
        if header.source_format == "ndjson":
            hashed = header_hash(header)
            scan_id = stream_scan_id(host, hashed, seen.get(hashed, 0))
            seen[hashed] = seen.get(hashed, 0) + 1
        else:
            scan_id = document_scan_id(host, header, report.digest)
        return ScanContext(
            scan_no=0,
            scan_id=scan_id,
            host=host,
            host_source=host_source,
            header=header,
            complete=report.complete,
            rejected=len(report.rejects),
            as_of=header.finished_at or header.started_at or self._as_of or modified,
            received=self._as_of or modified,
        )


def read_source(source: str, limits: Limits) -> tuple[bytes, str]:
    """Read a file or standard input, and say when it was last changed (RFC 3339, UTC).

    It is read whole, or up to one byte past the limit, which shows that it is too large.

    Raises:
        ReportError: ``unreadable`` or ``not_regular``.
        OSError: when the host has run out of something.
    """
    at_most = limits.max_bytes + 1
    try:
        if source == STANDARD_INPUT:
            raw = sys.stdin.buffer.read(at_most)
            return raw, _rfc3339(os.fstat(sys.stdin.fileno()).st_mtime)  # a pipe has a time, too
        with Path(source).open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISFIFO(status.st_mode):
                raise ReportError("not_regular", "neither a file nor a pipe")
            return file.read(at_most), _rfc3339(status.st_mtime)
    except OSError as error:
        if is_shortage(error):
            raise
        raise ReportError("unreadable", why_unreadable(error)) from error


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
