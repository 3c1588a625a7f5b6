"""The ledger's side of analysis: closed scans and their batches."""

import os
from collections.abc import Sequence
from dataclasses import replace
from sqlite3 import Connection

from daemon.ledger import aside, codec, reviewing, settling
from daemon.ledger.baseline import read_baseline, write_baseline
from daemon.ledger.records import forget_old_records
from daemon.ledger.store import Store
from daemon.ports.work import BaselineRow, Batch, ClosedScan, Reviewable
from pipeline.errors import LedgerError, ScanDamaged
from pipeline.finding import RawFinding

MAX_BATCHES = 10_000  # of one scan, to be planned in one short transaction
BATCH_BYTES = 4 << 20  # of the findings of one batch, on average: its lines are held together


class WorkStore(Store):
    """Implements `daemon.ports.work.Work`."""

    def next_scan(self) -> ClosedScan | None:
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT scan_no, scan_id, host, host_source, source, header, complete, findings, rejected, as_of,"
                " opened_at, verdicts, verdicts_head, bytes,"
                " EXISTS (SELECT 1 FROM scans d WHERE d.host = s.host AND d.scan_no > s.scan_no AND d.state = 'done')"
                " FROM scans s WHERE state = 'closed' AND aside IS NULL ORDER BY scan_no LIMIT 1"
            ).fetchone()
        if row is None:
            return None
        scan_no, scan_id, host, host_source, source, header, complete, findings, rejected, as_of, *more = row
        received, verdicts, head, taken, late = more
        try:
            said = codec.decode_header(header)
        except codec.DAMAGE as error:
            raise _damaged(scan_no, os.fsdecode(source), f"its header cannot be read: {error}") from error
        return ClosedScan(
            scan_no=scan_no,
            scan_id=scan_id,
            host=host,
            host_source=host_source,
            source=os.fsdecode(source),
            header=said,
            complete=bool(complete),
            findings=findings,
            rejected=rejected,
            as_of=as_of,
            received=received,
            bytes=taken,
            late=bool(late),
            verdicts=verdicts,
            verdicts_head=head,
        )

    def set_aside(self, scan_no: int, reason: str) -> None:
        with self._database.write() as connection:
            _scan(connection, scan_no)
            aside.set_aside(connection, scan_no, reason)

    def count_attempt(self, scan_no: int, reason: str) -> bool:
        with self._database.write() as connection:
            return aside.count_attempt(connection, scan_no, reason)

    def findings(self, scan_no: int, first: int = 0, limit: int = -1) -> list[RawFinding]:
        """Give the findings of a scan from the position `first` on, in report order; a negative `limit` is none."""
        with self._database.read() as connection:
            scan, name, total, state = connection.execute(
                "SELECT scan, source, findings, state FROM scans WHERE scan = ?", (_scan(connection, scan_no),)
            ).fetchone()
            source = os.fsdecode(name)
            rows = connection.execute(
                "SELECT seq, finding FROM inbox WHERE scan = ? AND seq >= ? ORDER BY seq LIMIT ?", (scan, first, limit)
            ).fetchall()
        found: list[RawFinding] = []
        for seq, finding in rows:
            try:
                if seq != first + len(found):
                    raise ValueError(f"{first + len(found)} is missing")
                found.append(codec.decode_finding(finding))
            except codec.DAMAGE as error:
                raise _damaged(scan_no, source, f"finding {seq} cannot be read: {error}") from error
        is_end = limit < 0 or len(found) < limit
        if is_end and state == "closed" and first + len(found) != total:
            raise _damaged(scan_no, source, f"{first + len(found)} of {total} findings are there")
        return found

    def plan(self, scan_no: int, size: int) -> list[Batch]:
        if size < 1:
            raise ValueError(f"out of range: {size=}")
        with self._database.write() as connection:
            scan, state, findings, taken, planned = connection.execute(
                "SELECT scan, state, findings, bytes, batch_size FROM scans WHERE scan = ?",
                (_scan(connection, scan_no),),
            ).fetchone()
            if taken > BATCH_BYTES:
                size = min(size, max(1, BATCH_BYTES * findings // taken))
            size = max(size, -(-findings // MAX_BATCHES))
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

    def commit_batch(
        self, batch: Batch, rows: Sequence[tuple[str, str, bool, bytes]], retained: Sequence[Reviewable] = ()
    ) -> None:
        """Store the lines of a batch; does nothing when the batch is done already.

        Raises:
            ValueError: when there is not one line for each finding, which only a fault of ours can cause.
            LedgerError: when a key was emitted before in this scan.
        """
        if len(rows) != batch.last - batch.first:
            raise ValueError(f"batch {batch.batch_id}: {len(rows)} lines for {batch.last - batch.first} findings")
        more = sum(len(row[3]) for row in rows) + sum(len(one.line) for one in retained)
        with self._database.write(more=more) as connection:
            found = connection.execute(
                "SELECT scan, first, last, done FROM batches WHERE batch_id = ?", (batch.batch_id,)
            ).fetchone()
            if found is None:
                if self._is_done(connection, batch.scan_no):
                    return
                raise _damaged(batch.scan_no, "", f"its batch {batch.batch_id} is not there")
            scan, first, last, done = found
            if done:
                return
            if (first, last) != (batch.first, batch.last):
                raise ValueError(f"batch {batch.batch_id}: {batch.first}-{batch.last}, committed as {first}-{last}")
            added = connection.executemany(
                "INSERT OR IGNORE INTO keys (scan, key) VALUES (?, ?)", ((scan, row[0]) for row in rows)
            ).rowcount
            if added != len(rows):
                raise _damaged(batch.scan_no, "", "a dedupe key occurs twice; please report this as a fault")
            connection.executemany(
                "INSERT INTO outbox (kind, key, level, changed, line) VALUES ('finding', ?, ?, ?, ?)", rows
            )
            connection.execute("UPDATE batches SET done = 1 WHERE batch_id = ?", (batch.batch_id,))
            connection.execute("UPDATE scans SET attempt = 0 WHERE scan = ? AND attempt > 0", (scan,))
            if retained:
                reviewing.retain(connection, batch.scan_no, self._now(), retained)

    def finish_scan(
        self,
        scan: ClosedScan,
        record: bytes,
        baseline: Sequence[BaselineRow],
        gone: Sequence[str],
        profile: str,
        staged: int = 0,
        resolves: bool = False,
    ) -> None:
        """Finish a scan whose batches are all done; its record goes to the outbox, too. Does nothing when it is done.

        Args:
            staged: how many baseline rows were staged; of a large scan all are, so that this stays short.

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
                raise _damaged(scan.scan_no, scan.source, f"{covered} of {findings} findings are committed")
            write_baseline(connection, scan.host, profile, baseline, gone)
            connection.execute(
                "INSERT INTO outbox (kind, key, level, changed, line) VALUES ('scan', ?, 'info', 1, ?)",
                (scan.scan_id, record),
            )
            connection.execute("DELETE FROM batches WHERE scan = ?", (row,))
            if staged or findings > settling.AT_ONCE:
                settling.note(connection, row, staged)
            else:
                for table in ("inbox", "keys", "staged"):
                    connection.execute(f"DELETE FROM {table} WHERE scan = ?", (row,))  # noqa: S608
            connection.execute(
                "UPDATE scans SET state = 'done', header = NULL, profile = ?, record = ?, finished_at = ?"
                " WHERE scan = ?",
                (profile, record, self._now(), row),
            )
            forget_old_records(connection, scan.host, profile)
            if resolves and not scan.late:
                reviewing.cover(connection, scan.scan_no, scan.host, profile)

    def stage_baseline(self, scan_no: int, start: int, rows: Sequence[BaselineRow]) -> None:
        """Store baseline rows, numbered from `start`, that count when the scan is finished; again replaces them."""
        with self._database.write() as connection:
            settling.stage(connection, _scan(connection, scan_no), start, rows)

    def settle(self) -> bool:
        """Put a bounded piece of what a finished scan left in order; returns whether there was any."""
        with self._database.read() as connection:
            unsettled = settling.next_unsettled(connection)
        if unsettled is None:
            return False
        with self._database.write() as connection:
            settling.settle(connection, *unsettled)
        return True

    def baseline(self, host: str, profile: str, after: str = "", limit: int = -1) -> dict[str, BaselineRow]:
        """Give what is remembered of a host and profile, by fingerprint, in order, from the one after `after` on."""
        with self._database.read() as connection:
            return read_baseline(connection, host, profile, after, limit)

    def _is_done(self, connection: Connection, scan_no: int) -> bool:
        row = connection.execute("SELECT state FROM scans WHERE scan_no = ?", (scan_no,)).fetchone()
        return row is not None and row[0] == "done"


def _damaged(scan_no: int, source: str, what: str) -> ScanDamaged:
    whence = f" of {source}" if source else ""
    return ScanDamaged(scan_no, f"scan {scan_no}{whence}: damaged in the ledger ({what})")


def _scan(connection: Connection, scan_no: int) -> int:
    row = connection.execute("SELECT scan FROM scans WHERE scan_no = ?", (scan_no,)).fetchone()
    if row is None:
        raise LedgerError(f"scan {scan_no} is not in the ledger")
    scan: int = row[0]
    return scan
