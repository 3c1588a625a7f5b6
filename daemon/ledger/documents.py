"""Whole documents on their way into scans: at once, or in pieces that count when the last is there."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from sqlite3 import Connection

from daemon.ledger import codec, parts, scans, staging
from daemon.ledger.database import Database
from daemon.ledger.places import Place
from daemon.ledger.quarantine import NOT_FINDINGS, store_reject
from daemon.ports.inputs import Admitted, Input
from pipeline.errors import LedgerError
from pipeline.finding import Reject, ScanHeader

NO_INPUT = 0  # stands for one that is not known yet; numbers begin at 1


@dataclass(slots=True)
class Stored:
    """Findings that are in the inbox, under a scan that is open; `content` hashes them where the scan is a stream's."""

    scan: int
    findings: int = 0
    bytes: int = 0
    content: str | None = None


class DocumentAdmission:
    """Takes the reports of one document inside one transaction of the caller."""

    def __init__(
        self,
        connection: Connection,
        source: Input,
        now: str,
        host_key: str | None,
        host_option: str | None,
        as_of: str | None = None,
    ) -> None:
        """Args: `as_of`: when a report is from that does not say so; default: now."""
        self._connection = connection
        self._source = source
        self._now = now
        self._host_key = host_key
        self._host_option = host_option
        self._as_of = as_of
        self._place = Place(connection, source.kind, source.name)
        self._place.begin_anew(source.input_id)
        self._new_scans = self._new_findings = 0
        self._old_scans = self._old_findings = 0
        self._quarantined = 0

    def known(self, header: ScanHeader, digest: str) -> int | None:
        """Give the scan that this report shows again, if it does; of a stream only its end can tell."""
        if header.source_format == "ndjson":
            return None
        host, _ = scans.resolve_host(header, self._host_key, self._host_option)
        found = scans.known_documents(self._connection, host, header, digest)
        return self._place.find(self._source.input_id, host, found, timed=scans.is_timed(header), once=True)

    def take(
        self, header: ScanHeader, digest: str, complete: bool, rejects: Sequence[Reject], stored: Stored | None
    ) -> bool:
        """Take the next report, if there is a scan at all: bad lines in front of the first `meta` line are none.

        Args:
            stored: None where its findings were passed over, because it is known.

        Returns:
            Whether what is stored of it counts now.

        Raises:
            LedgerError: transient, where it is not known any more.
        """
        scan = None
        is_scan = header.source_format != "ndjson" or bool(header.raw) or (stored is not None and stored.findings > 0)
        if is_scan:
            scan = self._close(header, digest, complete, rejects, stored)
        self.reject(rejects, digest, scan)
        return scan is not None

    def pass_over(self, findings: int, scans: int = 0) -> None:
        """Count findings of a redelivery that were not looked at, and scans that were not even compared."""
        self._old_findings += findings
        self._old_scans += scans

    def reject(self, rejects: Sequence[Reject], digest: str, scan: int | None = None) -> None:
        """Put pieces into the quarantine that could not be used."""
        for reject in rejects:
            self._quarantined += store_reject(
                self._connection, self._source, reject, digest=digest, scan=scan, now=self._now
            )

    def finish(self) -> Admitted:
        """Store the position; returns the counts."""
        if self._source.part_set is not None:
            parts.taken(self._connection, self._source.part_set)
        self._connection.execute(
            "UPDATE inputs SET name = ?, position = ?, reread = 0 WHERE input_id = ?",
            (os.fsencode(self._source.name), self._source.position, self._source.input_id),
        )
        return Admitted(self._new_scans, self._new_findings, self._old_scans, self._old_findings, self._quarantined)

    def put(self, findings: Iterable[bytes]) -> Stored:
        """Open a scan, and store its findings."""
        stored = Stored(scans.open_scan(self._connection, self._source, self._now))

        def rows() -> Iterator[tuple[int, int, bytes]]:
            for finding in findings:
                yield stored.scan, stored.findings, finding
                stored.findings += 1
                stored.bytes += codec.weight(finding)

        self._connection.executemany("INSERT INTO inbox (scan, seq, finding) VALUES (?, ?, ?)", rows())
        return stored

    def _close(
        self, header: ScanHeader, digest: str, complete: bool, rejects: Sequence[Reject], stored: Stored | None
    ) -> int | None:
        """Close a scan; returns its row, or None for a redelivery."""
        connection, place, input_id = self._connection, self._place, self._source.input_id
        host, host_source = scans.resolve_host(header, self._host_key, self._host_option)
        is_stream = header.source_format == "ndjson"
        timed = scans.is_timed(header)
        n = 0
        if not is_stream:
            same = self.known(header, digest)
            if same is not None:
                place.show(input_id, host, same, timed=timed)
                self._redelivered(stored)
                return None
            n = len(scans.known_documents(connection, host, header, digest))
        if stored is None:
            raise LedgerError(
                f"{self._source.name}: a scan that it showed again is none any more; it is read again", transient=True
            )
        scan = stored.scan
        scans.set_header(connection, scan, header, host, host_source)
        rejected = sum(reject.reason not in NOT_FINDINGS for reject in rejects)
        connection.execute(
            "UPDATE scans SET input_id = ?, source = ?, findings = ?, rejected = ?, bytes = ?, complete = ?"
            " WHERE scan = ?",
            (
                input_id, os.fsencode(self._source.name), stored.findings, rejected, stored.bytes, complete, scan,
            ),
        )  # fmt: skip
        as_of = header.finished_at or header.started_at or self._as_of or self._now
        if is_stream:
            scans.number_stream(connection, scan, place, input_id, scans.header_hash(header))
            if not scans.close_stream_scan(connection, scan, place, input_id, content=stored.content, as_of=as_of):
                self._redelivered(stored)
                return None
        else:
            scan_id = scans.document_scan_id(host, header, digest, n)
            scans.close_document_scan(connection, scan, scan_id, n, digest, as_of)
            place.show(input_id, host, scan, timed=timed)
        staging.count(connection, scan)
        self._new_scans += 1
        self._new_findings += stored.findings
        return scan

    def _redelivered(self, stored: Stored | None) -> None:
        self._old_scans += 1
        self._old_findings += stored.findings if stored is not None else 0


@dataclass(slots=True)
class _Report:
    """A report of a staged document; `stored` is None where it is known, and its findings are passed over."""

    header: ScanHeader
    digest: str
    stored: Stored | None
    passed_over: int = 0
    complete: bool = False
    rejects: list[Reject] = field(default_factory=list)


class StagedDocument:
    """Implements `daemon.ports.inputs.Staging`."""

    def __init__(
        self,
        database: Database,
        begun: staging.Begun,
        source: Input,
        now: str,
        host_key: str | None,
        host_option: str | None,
        as_of: str | None,
        delivered: int,
    ) -> None:
        """Args:
        begun: which scans this process is putting together.
        delivered: so many of the first reports have been, by a ledger that is lost.
        """
        self._database = database
        self._begun = begun
        self._source = source
        self._now = now
        self._host_key = host_key
        self._host_option = host_option
        self._as_of = as_of
        self._delivered = delivered
        self._reports: list[_Report] = []
        self._rejects: list[Reject] = []
        self._content = hashlib.sha256()
        self._is_open = False

    def begin(self, header: ScanHeader, digest: str) -> bool:
        """Begin the next report; returns False where it is known, and its findings need not be stored."""
        self._is_open = True
        self._content = hashlib.sha256()
        if len(self._reports) < self._delivered or self._is_known(header, digest):
            self._reports.append(_Report(header, digest, None))
            return False
        with self._database.write() as connection:
            scan = scans.open_scan(connection, self._source, self._now)
            staging.note(connection, scan)
        self._begun.add(scan)  # not earlier: a transaction that fails gives its number back
        self._reports.append(_Report(header, digest, Stored(scan)))
        return True

    def add(self, findings: Sequence[bytes]) -> None:
        """Store the next findings of the report that has begun."""
        report = self._reports[-1]
        stored = report.stored
        if stored is None:
            report.passed_over += len(findings)
            return
        with self._database.write(more=sum(map(len, findings))) as connection:
            connection.executemany(
                "INSERT INTO inbox (scan, seq, finding) VALUES (?, ?, ?)",
                ((stored.scan, seq, finding) for seq, finding in enumerate(findings, stored.findings)),
            )
        stored.findings += len(findings)
        stored.bytes += sum(map(codec.weight, findings))
        if report.header.source_format == "ndjson":
            scans.hash_findings(self._content, findings)

    def reject(self, rejects: Sequence[Reject]) -> None:
        """Take what cannot be used: of the report that has begun, or, where none has, of the document."""
        (self._reports[-1].rejects if self._is_open else self._rejects).extend(rejects)

    def end(self, complete: bool) -> None:
        """End the report that has begun."""
        report = self._reports[-1]
        report.complete = complete
        if report.stored is not None and report.header.source_format == "ndjson":
            report.stored.content = scans.content_of(self._content)
        self._is_open = False

    def finish(self, source: Input, digest: str) -> Admitted:
        """Let all of it count, and store the position behind it, in one short transaction."""
        with self._database.write() as connection:
            admitted, _ = self.count(connection, source, digest)
        self.drop()  # the scans that count are noted no more; redeliveries still are
        return admitted

    def count(self, connection: Connection, source: Input, digest: str) -> tuple[Admitted, dict[int, int]]:
        """Let all of it count in a transaction of the caller, who drops it then; returns the new scans, too, each with
        the number of its report in the document, from 0 on."""
        require(connection, source)
        admission = DocumentAdmission(connection, source, self._now, self._host_key, self._host_option, self._as_of)
        scans_: dict[int, int] = {}
        for number, report in enumerate(self._reports):
            if number < self._delivered:
                admission.pass_over(report.passed_over, scans=1)
                continue
            counts = admission.take(report.header, report.digest, report.complete, report.rejects, report.stored)
            admission.pass_over(report.passed_over)
            if counts and report.stored is not None:
                scans_[report.stored.scan] = number
        admission.reject(self._rejects, digest)
        return admission.finish(), scans_

    def drop(self) -> None:
        """Leave what was stored to be deleted."""
        self._begun.difference_update(report.stored.scan for report in self._reports if report.stored is not None)

    def _is_known(self, header: ScanHeader, digest: str) -> bool:
        """Look whether a report will prove a redelivery; where other reports of the document matter, only the end can
        tell."""
        if self._reports and not scans.is_timed(header):
            return False
        host, _ = scans.resolve_host(header, self._host_key, self._host_option)
        with self._database.read() as connection:
            if header.source_format == "ndjson" or not scans.known_documents(connection, host, header, digest):
                return False
        try:
            with self._database.write() as connection:
                admission = DocumentAdmission(connection, self._source, self._now, self._host_key, self._host_option)
                raise _OnlyLooked(admission.known(header, digest) is not None)
        except _OnlyLooked as looked:
            return looked.found


class _OnlyLooked(Exception):
    """Raised to have a transaction undone in which something was looked up."""

    def __init__(self, found: bool) -> None:
        super().__init__(found)
        self.found = found


def require(connection: Connection, source: Input) -> None:
    """See that an input is known.

    Raises:
        LedgerError: when it is not.
    """
    if connection.execute("SELECT 1 FROM inputs WHERE input_id = ?", (source.input_id,)).fetchone() is None:
        raise LedgerError(f"{source.name}: input {source.input_id} is not in the ledger; add it before its content")
