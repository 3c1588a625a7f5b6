"""The ledger's side of analysis: closed scans, batches, baseline and the cache of analyses."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from sqlite3 import Connection

from daemon.ledger import codec
from daemon.ledger.store import Store
from daemon.ports import BaselineRow, Batch, ClosedScan
from pipeline.errors import LedgerError
from pipeline.finding import RawFinding

# Coverages of one host that have a baseline and records; those scanned longest ago go first. A host is scanned in a few
# ways, but the command line is the report's own claim, and a new one each time must not fill the disk.
KEEP_PROFILES = 32
KEEP_RECORDS = 30  # scan records that stay readable for each host and profile
MAX_ANALYSES = 200_000  # about 200 MB at 1 KB each; the oldest go first
_VARIABLES = 500  # in one statement; SQLite's limit was 999 for long


@dataclass(slots=True, frozen=True)
class ScanEntry:
    """A finished scan as `report` finds it; `record` is None for those older than the last `KEEP_RECORDS`."""

    scan_no: int
    scan_id: str
    host: str
    profile: str
    source: str
    findings: int
    rejected: int
    complete: bool
    as_of: str
    finished_at: str
    record: bytes | None


class WorkStore(Store):
    """Implements `daemon.ports.WorkQueue`."""

    def next_scan(self) -> ClosedScan | None:
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT scan_no, scan_id, host, host_source, source, header, complete, findings, rejected, as_of,"
                " opened_at FROM scans WHERE state = 'closed' ORDER BY scan_no LIMIT 1"
            ).fetchone()
        if row is None:
            return None
        scan_no, scan_id, host, host_source, source, header, complete, findings, rejected, as_of, received = row
        return ClosedScan(
            scan_no=scan_no,
            scan_id=scan_id,
            host=host,
            host_source=host_source,
            source=os.fsdecode(source),
            header=codec.decode_header(header),
            complete=bool(complete),
            findings=findings,
            rejected=rejected,
            as_of=as_of,
            received=received,
        )

    def findings(self, scan_no: int) -> list[RawFinding]:
        with self._database.read() as connection:
            scan = _scan(connection, scan_no)
            rows = connection.execute("SELECT finding FROM inbox WHERE scan = ? ORDER BY seq", (scan,)).fetchall()
        return [codec.decode_finding(finding) for (finding,) in rows]

    def plan(self, scan_no: int, size: int) -> list[Batch]:
        if size < 1:
            raise ValueError(f"out of range: {size=}")
        with self._database.write() as connection:
            scan, state, findings, planned = connection.execute(
                "SELECT scan, state, findings, batch_size FROM scans WHERE scan = ?", (_scan(connection, scan_no),)
            ).fetchone()
            if planned is None and state == "closed":
                connection.execute("UPDATE scans SET batch_size = ? WHERE scan = ?", (size, scan))
                connection.executemany(
                    "INSERT INTO batches (scan, first, last) VALUES (?, ?, ?)",
                    ((scan, first, min(first + size, findings)) for first in range(0, findings, size)),
                )
            rows = connection.execute(
                "SELECT batch_id, first, last, attempt FROM batches WHERE scan = ? AND NOT done ORDER BY first", (scan,)
            ).fetchall()
        return [Batch(batch_id, scan_no, first, last, attempt) for batch_id, first, last, attempt in rows]

    def retry_batch(self, batch: Batch) -> Batch:
        """Count another attempt at a batch durably, before it is made."""
        with self._database.write() as connection:
            connection.execute("UPDATE batches SET attempt = attempt + 1 WHERE batch_id = ?", (batch.batch_id,))
            row = connection.execute("SELECT attempt FROM batches WHERE batch_id = ?", (batch.batch_id,)).fetchone()
        if row is None:
            raise LedgerError(f"batch {batch.batch_id} is not in the ledger")
        return replace(batch, attempt=row[0])

    def commit_batch(self, batch: Batch, rows: Sequence[tuple[str, str, bool, bytes]]) -> None:
        """Store the lines of a batch; does nothing when the batch is done already.

        Raises:
            ValueError: when there is not one line for each finding, which only a fault of ours can cause.
            LedgerError: when a key was emitted before in this scan.
        """
        if len(rows) != batch.last - batch.first:
            raise ValueError(f"batch {batch.batch_id}: {len(rows)} lines for {batch.last - batch.first} findings")
        with self._database.write() as connection:
            found = connection.execute(
                "SELECT scan, first, last, done FROM batches WHERE batch_id = ?", (batch.batch_id,)
            ).fetchone()
            if found is None:
                if self._is_done(connection, batch.scan_no):
                    return
                raise LedgerError(f"batch {batch.batch_id} of scan {batch.scan_no} is not in the ledger")
            scan, first, last, done = found
            if done:
                return
            if (first, last) != (batch.first, batch.last):
                raise ValueError(f"batch {batch.batch_id}: {batch.first}-{batch.last}, committed as {first}-{last}")
            added = connection.executemany(
                "INSERT OR IGNORE INTO keys (scan, key) VALUES (?, ?)", ((scan, row[0]) for row in rows)
            ).rowcount
            if added != len(rows):
                raise LedgerError(f"scan {batch.scan_no}: a dedupe key occurs twice; please report this as a fault")
            connection.executemany(
                "INSERT INTO outbox (kind, key, level, changed, line) VALUES ('finding', ?, ?, ?, ?)", rows
            )
            connection.execute("UPDATE batches SET done = 1 WHERE batch_id = ?", (batch.batch_id,))

    def finish_scan(
        self,
        scan: ClosedScan,
        record: bytes,
        baseline: Sequence[BaselineRow],
        gone: Sequence[str],
        profile: str,
    ) -> None:
        """Finish a scan whose batches are all done; its record goes to the outbox, too. Does nothing when it is done.

        Raises:
            LedgerError: when findings of the scan have not been committed.
        """
        with self._database.write() as connection:
            row = _scan(connection, scan.scan_no)
            (findings,) = connection.execute("SELECT findings FROM scans WHERE scan = ?", (row,)).fetchone()
            if self._is_done(connection, scan.scan_no):
                return
            (covered,) = connection.execute(
                "SELECT coalesce(sum(last - first), 0) FROM batches WHERE scan = ? AND done", (row,)
            ).fetchone()
            if covered != findings:
                raise LedgerError(f"scan {scan.scan_no}: {covered} of {findings} findings are committed")
            _store_baseline(connection, scan.host, profile, baseline, gone)
            connection.execute(
                "INSERT INTO outbox (kind, key, level, changed, line) VALUES ('scan', ?, 'info', 1, ?)",
                (scan.scan_id, record),
            )
            for table in ("inbox", "batches", "keys"):
                connection.execute(f"DELETE FROM {table} WHERE scan = ?", (row,))  # noqa: S608
            connection.execute(
                "UPDATE scans SET state = 'done', header = NULL, profile = ?, record = ?, finished_at = ?"
                " WHERE scan = ?",
                (profile, record, self._now(), row),
            )
            connection.execute(
                "UPDATE scans SET record = NULL WHERE host = ?1 AND profile = ?2 AND record IS NOT NULL AND scan_no <"
                " (SELECT scan_no FROM scans WHERE host = ?1 AND profile = ?2 ORDER BY scan_no DESC LIMIT 1 OFFSET ?3)",
                (scan.host, profile, KEEP_RECORDS - 1),
            )

    def baseline(self, host: str, profile: str) -> dict[str, BaselineRow]:
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT fingerprint, class_id, status, content, first_seen_at, last_scan_no, count, label FROM baseline"
                " WHERE host = ? AND profile = ? ORDER BY fingerprint",
                (host, profile),
            ).fetchall()
        return {row[0]: BaselineRow(*row) for row in rows}

    def update_baseline(self, host: str, profile: str, rows: Sequence[BaselineRow], gone: Sequence[str]) -> None:
        """Update the baseline by a scan that did not pass through the inbox (`analyze --record`)."""
        with self._database.write() as connection:
            _store_baseline(connection, host, profile, rows, gone)

    def cached_analyses(self, keys: Sequence[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        with self._database.read() as connection:
            for start in range(0, len(keys), _VARIABLES):
                chunk = keys[start : start + _VARIABLES]
                marks = ",".join("?" * len(chunk))
                query = f"SELECT key, value FROM analyses WHERE key IN ({marks})"  # noqa: S608
                found.update(connection.execute(query, chunk).fetchall())
        return {key: found[key] for key in keys if key in found}

    def store_analyses(self, analyses: dict[str, bytes]) -> None:
        with self._database.write() as connection:
            connection.executemany(
                "INSERT INTO analyses (key, value) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                analyses.items(),
            )

    def scan_record(self, scan_id: str | None = None, host: str | None = None) -> ScanEntry | None:
        """Give the latest finished scan that has a record, of all or of one host, or the one with this id."""
        entries = self.scan_records(scan_id=scan_id, host=host, limit=1)
        return entries[0] if entries else None

    def scan_records(
        self, scan_id: str | None = None, host: str | None = None, limit: int = KEEP_RECORDS
    ) -> list[ScanEntry]:
        """Give finished scans, the latest first; `scan_id` may be the beginning of one."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT scan_no, scan_id, host, profile, source, findings, rejected, complete, as_of, finished_at,"
                " record FROM scans WHERE state = 'done' AND (?1 IS NULL OR substr(scan_id, 1, length(?1)) = ?1)"
                " AND (?2 IS NULL OR host = ?2) ORDER BY scan_no DESC LIMIT ?3",
                (scan_id and codec.text(scan_id), host and codec.text(host), limit),
            ).fetchall()
        return [
            ScanEntry(
                scan_no=scan_no,
                scan_id=id_,
                host=name,
                profile=profile,
                source=os.fsdecode(source),
                findings=findings,
                rejected=rejected,
                complete=bool(complete),
                as_of=as_of,
                finished_at=finished_at,
                record=record,
            )
            for scan_no, id_, name, profile, source, findings, rejected, complete, as_of, finished_at, record in rows
        ]

    def _is_done(self, connection: Connection, scan_no: int) -> bool:
        row = connection.execute("SELECT state FROM scans WHERE scan_no = ?", (scan_no,)).fetchone()
        return row is not None and row[0] == "done"


def _store_baseline(
    connection: Connection, host: str, profile: str, rows: Sequence[BaselineRow], gone: Sequence[str]
) -> None:
    """Replace what is known of these fingerprints and forget those that are gone."""
    if profile:
        _forget_profiles(connection, host, profile)
    connection.executemany(
        "INSERT OR REPLACE INTO baseline"
        " (host, profile, fingerprint, class_id, status, content, first_seen_at, last_scan_no, count, label)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                host,
                profile,
                r.fingerprint,
                r.class_id,
                r.status,
                r.content,
                r.first_seen_at,
                r.last_scan_no,
                r.count,
                codec.text(r.label),
            )
            for r in rows
        ),
    )
    connection.executemany(
        "DELETE FROM baseline WHERE host = ? AND profile = ? AND fingerprint = ?",
        ((host, profile, fingerprint) for fingerprint in gone),
    )


def _forget_profiles(connection: Connection, host: str, profile: str) -> None:
    """Make room for a profile that nothing is remembered of."""
    where = (host, profile)
    if connection.execute("SELECT 1 FROM baseline WHERE host = ? AND profile = ? LIMIT 1", where).fetchone():
        return
    rows = connection.execute(
        "SELECT profile FROM baseline WHERE host = ? GROUP BY profile ORDER BY max(last_scan_no) DESC, profile LIMIT ?",
        (host, KEEP_PROFILES - 1),
    ).fetchall()
    kept = [profile, *(row[0] for row in rows)]
    marks = ",".join("?" * len(kept))
    connection.execute(f"DELETE FROM baseline WHERE host = ? AND profile NOT IN ({marks})", (host, *kept))  # noqa: S608
    connection.execute(
        "UPDATE scans SET record = NULL WHERE host = ? AND record IS NOT NULL AND profile <> ''"  # noqa: S608
        f" AND profile NOT IN ({marks})",
        (host, *kept),
    )


def _scan(connection: Connection, scan_no: int) -> int:
    row = connection.execute("SELECT scan FROM scans WHERE scan_no = ?", (scan_no,)).fetchone()
    if row is None:
        raise LedgerError(f"scan {scan_no} is not in the ledger")
    scan: int = row[0]
    return scan
