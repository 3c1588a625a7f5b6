"""The ledger's side of admission: inputs, documents and lines."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from sqlite3 import Connection

from daemon.ledger import codec, parts
from daemon.ledger.database import Database
from daemon.ledger.documents import DocumentAdmission, StagedDocument, require
from daemon.ledger.places import Place
from daemon.ledger.staging import Begun
from daemon.ledger.store import Clock, Store
from daemon.ledger.stream import Bounds, ContextDamaged, StreamAdmission
from daemon.log import get_logger
from daemon.ports.inputs import Admitted, Input
from pipeline.errors import LedgerError
from pipeline.finding import ParsedReport, Reject
from pipeline.report.records import MetaLine, StreamRecord

logger = get_logger(__name__)

_ADMITTED_BYTES = 256 << 10  # by one transaction: a chunk of a stream, or a usual document

COLUMNS = "i.input_id, i.kind, i.name, i.position, i.reread, i.open_scan"


class InputStore(Store):
    """Implements `daemon.ports.inputs.Inputs`."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        host: str | None = None,
        max_findings: int | None = None,
        max_scan_bytes: int | None = None,
        begun: Begun | None = None,
    ) -> None:
        """Args:
        host: whose scan it is when the report does not say.
        max_findings, max_scan_bytes: of one scan of a stream; None is no bound.
        begun: where it is noted which scans this process puts together in pieces.
        """
        super().__init__(database, clock)
        self._begun: Begun = set() if begun is None else begun
        self._host = host
        self._bounds = Bounds(max_findings, max_scan_bytes)

    def known(self, kind: str) -> list[Input]:
        """Give the inputs of a kind that have not been dropped, in the order in which they were added."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM inputs i WHERE i.kind = ? ORDER BY i.input_id",  # noqa: S608
                (kind,),
            ).fetchall()
        return [input_of(row) for row in rows]

    def add(self, kind: str, name: str) -> Input:
        """Make an input known, nothing of which was read."""
        with self._database.write() as connection:
            return add_input(connection, kind, name)

    def drop(self, input_id: int) -> None:
        """Forget an input; its open scan is closed as incomplete. What its name has shown stays known."""
        with self.mended(), self._database.write() as connection:
            self._close(connection, input_id)
            parts.abandon(connection, input_id, self._now())
            row = connection.execute("SELECT kind, name FROM inputs WHERE input_id = ?", (input_id,)).fetchone()
            if row is not None:
                Place(connection, row[0], os.fsdecode(row[1])).leave(input_id)
            connection.execute("DELETE FROM inputs WHERE input_id = ?", (input_id,))

    def admit_document(
        self,
        source: Input,
        digest: str,
        reports: Sequence[ParsedReport],
        rejects: Sequence[Reject],
        host_key: str | None = None,
        as_of: str | None = None,
    ) -> Admitted:
        """Take a whole document; `reports` is empty where nothing of it could be used."""
        with self._database.write(more=_ADMITTED_BYTES) as connection:
            require(connection, source)
            return self.take_document(connection, source, digest, reports, rejects, host_key, self._now(), as_of)

    def take_document(
        self,
        connection: Connection,
        source: Input,
        digest: str,
        reports: Sequence[ParsedReport],
        rejects: Sequence[Reject],
        host_key: str | None,
        now: str,
        as_of: str | None = None,
        delivered: int = 0,
        note: Callable[[int, int], None] = lambda scan, number: None,
    ) -> Admitted:
        """Take a whole document inside a transaction of the caller.

        Args:
            now: when it came in.
            delivered: so many of its first reports have been, by a ledger that is lost.
            note: called with each new scan, and the number of its report in the document, from 0 on.
        """
        admission = DocumentAdmission(connection, source, now, host_key, self._host, as_of)
        for number, report in enumerate(reports):
            if number < delivered:
                admission.pass_over(len(report.findings), scans=1)
                continue
            # Findings of a redelivery need not be stored to be deleted.
            known = admission.known(report.header, report.digest) is not None
            stored = None if known else admission.put(map(codec.encode_finding, report.findings))
            if admission.take(report.header, report.digest, report.complete, report.rejects, stored) and stored:
                note(stored.scan, number)
            admission.pass_over(len(report.findings) if known else 0)
        admission.reject(rejects, digest)
        return admission.finish()

    def stage(
        self,
        source: Input,
        host_key: str | None = None,
        as_of: str | None = None,
        now: str | None = None,
        delivered: int = 0,
    ) -> StagedDocument:
        """Begin to take a large document in pieces.

        Args:
            now: when it came in, if not just now.
            delivered: so many of its first reports have been, by a ledger that is lost.
        """
        return StagedDocument(
            self._database, self._begun, source, now or self._now(), host_key, self._host, as_of, delivered
        )

    def now(self) -> str:
        """Give the time as the ledger writes it."""
        return self._now()

    def stream(self, connection: Connection, source: Input, now: str, host_key: str | None) -> StreamAdmission:
        """Begin to take lines of a stream inside a transaction of the caller; `now` is when they came in."""
        return StreamAdmission(connection, source, now, host_key, self._host, self._bounds)

    def admit_records(
        self, source: Input, records: Iterable[tuple[int, StreamRecord]], host_key: str | None = None
    ) -> Admitted:
        """Take lines of a stream.

        Where `source` says that it is read anew, its open scan is closed, and the scans that it has shown may be shown
        again, as redeliveries.
        """
        with self.mended(), self._database.write(more=_ADMITTED_BYTES) as connection:
            require(connection, source)
            connection.execute(
                "UPDATE inputs SET host_key = ? WHERE input_id = ?",
                (None if host_key is None else codec.text(host_key), source.input_id),
            )
            stream = StreamAdmission(connection, source, self._now(), host_key, self._host, self._bounds)
            if source.anew:
                connection.execute("UPDATE inputs SET reread = 0 WHERE input_id = ?", (source.input_id,))
                stream.begin_anew()
            for position, record in records:
                stream.take(position, record)
            admitted = stream.finish()
            _store_position(connection, source)
        return admitted

    def close_scan(self, input_id: int) -> None:
        """Close the open scan of a stream; does nothing where none is open."""
        with self.mended(), self._database.write() as connection:
            self._close(connection, input_id)

    def close_left(self, kinds: Collection[str]) -> list[Input]:
        """Close the open scans of all inputs but those of these kinds, which nobody reads any more.

        The inputs stay known: a kind that is configured again goes on where it was.

        Returns:
            Those that had an open scan.
        """
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM inputs i WHERE i.open_scan IS NOT NULL ORDER BY i.input_id"  # noqa: S608
            ).fetchall()
        left = [source for source in map(input_of, rows) if source.kind not in kinds]
        for source in left:
            self.close_scan(source.input_id)
        return left

    @contextmanager
    def mended(self) -> Iterator[None]:
        """Go on where the header lines that are kept of an input cannot be read: with its host and nothing else.

        Such a scan is a continuation, and never complete.

        Raises:
            LedgerError: transient, when that was so; the next attempt goes on.
        """
        try:
            yield
        except ContextDamaged as error:
            input_id = error.input_id
            with self._database.write() as connection:
                name, scan = connection.execute(
                    "SELECT name, open_scan FROM inputs WHERE input_id = ?", (input_id,)
                ).fetchone()
                host = connection.execute(
                    "SELECT host FROM scans WHERE input_id = ? AND host_source = 'report' ORDER BY scan DESC LIMIT 1",
                    (input_id,),
                ).fetchone()
                meta = None if host is None else MetaLine({"type": "meta", "hostname": host[0]}, b"")
                connection.execute(
                    "UPDATE inputs SET context = ? WHERE input_id = ?", (codec.encode_header_lines(meta, []), input_id)
                )
                if scan is not None:
                    connection.execute("UPDATE scans SET emitted = NULL, continued = 1 WHERE scan = ?", (scan,))
            path = os.fsdecode(name)
            logger.error("input.context_damaged", source=path, error=str(error), advice="its scan goes on incomplete")
            raise LedgerError(
                f"{path}: the header of its scan is damaged in the ledger; the scan goes on, incomplete", transient=True
            ) from error

    def _close(self, connection: Connection, input_id: int) -> None:
        row = connection.execute(
            f"SELECT {COLUMNS}, i.host_key FROM inputs i WHERE i.input_id = ? AND i.open_scan IS NOT NULL",  # noqa: S608
            (input_id,),
        ).fetchone()
        if row is None:
            return
        source = input_of(row[:-1])
        stream = StreamAdmission(connection, source, self._now(), row[-1], self._host, self._bounds)
        stream.close()
        stream.finish()


def add_input(connection: Connection, kind: str, name: str) -> Input:
    """Make an input known inside a transaction of the caller."""
    input_id = connection.execute("INSERT INTO inputs (kind, name) VALUES (?, ?)", (kind, os.fsencode(name))).lastrowid
    assert input_id is not None
    return Input(input_id, kind, name)


def input_of(row: Sequence[object]) -> Input:
    """Build an input from `COLUMNS`; one that is to be read again shows so when none of its scans is open."""
    input_id, kind, name, position, reread, open_scan = row
    assert isinstance(input_id, int) and isinstance(kind, str) and isinstance(name, bytes) and isinstance(position, str)
    anew = bool(reread) and open_scan is None
    return Input(input_id, kind, os.fsdecode(name), "" if anew else position, anew, open_scan is not None)


def _store_position(connection: Connection, source: Input) -> None:
    if source.part_set is not None:
        parts.taken(connection, source.part_set)
    connection.execute(
        "UPDATE inputs SET name = ?, position = ? WHERE input_id = ?",
        (os.fsencode(source.name), source.position, source.input_id),
    )
