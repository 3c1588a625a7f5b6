"""The ledger's side of admission: files, documents and lines."""

import os
from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import Literal

from daemon.ledger import codec, scans
from daemon.ledger.database import Database
from daemon.ledger.quarantine import NOT_FINDINGS, store_reject
from daemon.ledger.store import Clock, Store
from daemon.ledger.stream import StreamAdmission
from daemon.ports.inputs import Admitted, FileIdentity, FileState
from pipeline.errors import LedgerError
from pipeline.finding import ParsedReport, Reject
from pipeline.report.records import StreamRecord

_SIGN = 1 << 63  # SQLite's integers are signed, device and inode numbers are not

_SELECT = (
    "SELECT file_id, path, device, inode, birth_ns, head_length, head_digest, kind, offset, tail_digest, digest,"
    " open_scan, reread FROM files"
)


class IntakeStore(Store):
    """Implements `daemon.ports.inputs.Intake`.

    `FileState.scan_no` of a stream is the row of its open scan: a mark that one is open, not its number (numbers are
    given in the order of closing). The ledger itself goes by what it has stored, never by the mark handed back.
    """

    def __init__(
        self, database: Database, clock: Clock, host: str | None = None, max_findings: int | None = None
    ) -> None:
        """Args:
        host: whose scan it is when the report does not say.
        max_findings: of one scan of a stream; None is no bound.
        """
        super().__init__(database, clock)
        self._host = host
        self._max_findings = max_findings

    def files(self) -> list[FileState]:
        """Give every file that has not been dropped; one to be read again (`rereads`) shows as never read."""
        return self._files("1")

    def file(self, file_id: int) -> FileState:
        """Give one file.

        Raises:
            LedgerError: when it was never added, or has been dropped.
        """
        found = self._files("file_id = ?", file_id)
        if not found:
            raise LedgerError(f"file {file_id} is not in the ledger; add it before handing over its content")
        return found[0]

    def rereads(self) -> list[FileState]:
        """Give the files that a person wants read again; a source asks at each sweep and reads them from offset 0."""
        return self._files("reread AND open_scan IS NULL")

    def add_file(self, path: str, identity: FileIdentity, kind: Literal["document", "stream"]) -> FileState:
        with self._database.write() as connection:
            cursor = connection.execute(
                "INSERT INTO files (path, device, inode, birth_ns, head_length, head_digest, kind, offset, tail_digest)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 0, '')",
                (*_place(path, identity), kind),
            )
            file_id = cursor.lastrowid
        assert file_id is not None
        return FileState(file_id, path, identity, kind)

    def update_file(self, file: FileState) -> None:
        with self._database.write() as connection:
            connection.execute(
                "UPDATE files SET path = ?, device = ?, inode = ?, birth_ns = ?, head_length = ?, head_digest = ?"
                " WHERE file_id = ?",
                (*_place(file.path, file.identity), file.file_id),
            )

    def drop_file(self, file_id: int) -> None:
        with self._database.write() as connection:
            self._close(connection, file_id)
            connection.execute("DELETE FROM files WHERE file_id = ?", (file_id,))

    def admit_document(
        self, file: FileState, reports: Sequence[ParsedReport], rejects: Sequence[Reject], host_key: str | None = None
    ) -> Admitted:
        """Take a whole document; `reports` is empty where nothing of it could be used."""
        with self._database.write() as connection:
            self._stored(connection, file)
            now = self._now()
            scans_new = findings_new = scans_old = findings_old = quarantined = 0
            # NDJSON in a document is known by its header: one document may show each known scan once.
            connection.execute("DELETE FROM claims WHERE file_id = ?", (file.file_id,))
            for report in reports:
                scan = None
                if _is_scan(report):
                    scan = self._admit_report(connection, file, report, host_key, now)
                    if scan is None:
                        scans_old += 1
                        findings_old += len(report.findings)
                    else:
                        scans_new += 1
                        findings_new += len(report.findings)
                for reject in report.rejects:
                    quarantined += store_reject(connection, file, reject, digest=report.digest, scan=scan, now=now)
            for reject in rejects:
                quarantined += store_reject(connection, file, reject, digest=file.digest, scan=None, now=now)
            _store_position(connection, file)
            connection.execute("UPDATE files SET reread = 0 WHERE file_id = ?", (file.file_id,))
        return Admitted(scans_new, findings_new, scans_old, findings_old, quarantined)

    def admit_records(
        self, file: FileState, records: Iterable[tuple[int, StreamRecord]], host_key: str | None = None
    ) -> Admitted:
        """Take lines of a stream.

        Lines from before the stored offset mean that the file is read anew (it was rewritten in place, or somebody
        asked for it): its open scan is closed, and the scans that it has shown may be shown again, as redeliveries.
        """
        with self._database.write() as connection:
            offset = self._stored(connection, file)
            connection.execute("UPDATE files SET host_key = ? WHERE file_id = ?", (_text(host_key), file.file_id))
            stream = StreamAdmission(connection, file, self._now(), host_key, self._host, self._max_findings)
            rest = iter(records)
            first = next(rest, None)
            start = file.offset if first is None else first[0]
            if start < offset or start == 0:
                connection.execute("UPDATE files SET reread = 0 WHERE file_id = ?", (file.file_id,))
            if start < offset:
                stream.begin_anew()
            if first is not None:
                stream.take(*first)
            for position, record in rest:
                stream.take(position, record)
            admitted = stream.finish()
            _store_position(connection, file)
        return admitted

    def close_stream(self, file_id: int) -> None:
        """Close the open scan of a stream; does nothing where none is open."""
        with self._database.write() as connection:
            self._close(connection, file_id)

    def _files(self, condition: str, *values: object) -> list[FileState]:
        with self._database.read() as connection:
            rows = connection.execute(f"{_SELECT} WHERE {condition} ORDER BY file_id", values).fetchall()
        return [_file(*row) for row in rows]

    def _stored(self, connection: Connection, file: FileState) -> int:
        row = connection.execute("SELECT offset FROM files WHERE file_id = ?", (file.file_id,)).fetchone()
        if row is None:
            raise LedgerError(f"{file.path}: file {file.file_id} is not in the ledger; add it before its content")
        offset: int = row[0]
        return offset

    def _close(self, connection: Connection, file_id: int) -> None:
        row = connection.execute("SELECT open_scan, host_key FROM files WHERE file_id = ?", (file_id,)).fetchone()
        if row is None or row[0] is None:
            return
        stream = StreamAdmission(connection, self.file(file_id), self._now(), row[1], self._host, self._max_findings)
        stream.close()
        stream.finish()

    def _admit_report(
        self, connection: Connection, file: FileState, report: ParsedReport, host_key: str | None, now: str
    ) -> int | None:
        """Store a scan; returns its row, or None for a redelivery."""
        header = report.header
        host, host_source = scans.resolve_host(header, host_key, self._host)
        scan_id = scans.document_scan_id(host, header, report.digest)
        is_stream = header.source_format == "ndjson"
        if not is_stream:
            known = connection.execute("SELECT scan FROM scans WHERE scan_id = ?", (scan_id,)).fetchone()
            if known is not None:
                return None
        scan = scans.open_scan(connection, file, now)
        scans.set_header(connection, scan, header, host, host_source)
        connection.executemany(
            "INSERT INTO inbox (scan, seq, finding) VALUES (?, ?, ?)",
            ((scan, seq, codec.encode_finding(finding)) for seq, finding in enumerate(report.findings)),
        )
        rejected = sum(reject.reason not in NOT_FINDINGS for reject in report.rejects)
        connection.execute(
            "UPDATE scans SET findings = ?, rejected = ?, complete = ? WHERE scan = ?",
            (len(report.findings), rejected, report.complete, scan),
        )
        if is_stream:
            scans.number_stream(connection, scan, file.file_id, scans.header_hash(header))
            return scan if scans.close_stream_scan(connection, scan, file.file_id) else None
        as_of = header.finished_at or header.started_at or now
        scans.close_document_scan(connection, scan, scan_id, report.digest, as_of)
        return scan


def _is_scan(report: ParsedReport) -> bool:
    """Tell whether there is a scan at all: bad lines in front of the first `meta` line are none."""
    return report.header.source_format != "ndjson" or bool(report.findings or report.header.raw)


def _file(*row: object) -> FileState:
    """Build a file from its row."""
    (file_id, path, device, inode, birth_ns, head_length, head_digest, kind, offset, tail, digest, scan, reread) = row
    assert isinstance(file_id, int) and isinstance(path, bytes) and isinstance(device, int) and isinstance(inode, int)
    assert birth_ns is None or isinstance(birth_ns, int)
    assert isinstance(head_length, int) and isinstance(head_digest, str)
    assert kind == "document" or kind == "stream"
    assert isinstance(offset, int) and isinstance(tail, str)
    assert digest is None or isinstance(digest, str)
    assert scan is None or isinstance(scan, int)
    identity = FileIdentity(device % (2 * _SIGN), inode % (2 * _SIGN), birth_ns, head_length, head_digest)
    name = os.fsdecode(path)
    if reread and scan is None:
        return FileState(file_id, name, identity, kind)
    return FileState(file_id, name, identity, kind, offset, tail, digest, scan)


def _place(path: str, identity: FileIdentity) -> tuple[bytes, int, int, int | None, int, str]:
    return (
        os.fsencode(path),
        _signed(identity.device),
        _signed(identity.inode),
        identity.birth_ns,
        identity.head_length,
        identity.head_digest,
    )


def _text(value: str | None) -> str | None:
    return None if value is None else codec.text(value)


def _signed(number: int) -> int:
    return (number + _SIGN) % (2 * _SIGN) - _SIGN


def _store_position(connection: Connection, file: FileState) -> None:
    connection.execute(
        "UPDATE files SET path = ?, device = ?, inode = ?, birth_ns = ?, head_length = ?, head_digest = ?,"
        " offset = ?, tail_digest = ?, digest = ? WHERE file_id = ?",
        (*_place(file.path, file.identity), file.offset, file.tail_digest, file.digest, file.file_id),
    )
