"""What could not be used, kept for a person to look at.

Retrying a row asks the source to read the whole input again: until it has, that shows as never read (an empty
position). Reading again admits nothing twice, because known scans are redeliveries; what fails again returns to `open`
in its old row. A file with an open scan is not read again before that scan has ended.
"""

import os
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Literal

from daemon.ledger import codec
from daemon.ledger.store import Store
from daemon.ports.inputs import Input
from pipeline.errors import LedgerError
from pipeline.finding import EXCERPT_BYTES, Reject

MAX_ROWS = 100_000  # some 100 MB at worst; the oldest go first, those already looked at before others

QuarantineState = Literal["open", "retried", "dismissed"]

_COLUMNS = "id, reason, detail, source, digest, offset, path, excerpt, scan, at, last_at, seen, state, input_id"
# No finding hides in such a line, so the scan around it may still be complete.
NOT_FINDINGS = frozenset({"log_line", "unknown_record"})


@dataclass(slots=True, frozen=True)
class Quarantined:
    """A row of the quarantine.

    Attributes:
        source: path of the file.
        digest: of the document, or None for a line of a stream.
        path: where inside a document.
        scan: row of the scan that it was part of, or None.
        at, last_at, seen: when it was met first and last, and how often.
        file_known: the file is still there as far as the ledger knows, so that `retry` can work.
    """

    id: int
    reason: str
    detail: str
    source: str
    digest: str | None
    offset: int | None
    path: str | None
    excerpt: bytes
    scan: int | None
    at: str
    last_at: str
    seen: int
    state: QuarantineState
    file_known: bool


def store_reject(
    connection: Connection, source: Input, reject: Reject, *, digest: str | None, scan: int | None, now: str
) -> bool:
    """Put a piece into quarantine; returns False where it was there already.

    Args:
        digest: of the document that holds it; then the same piece of the same document is one row wherever the
            document turns up. None for a line of a stream: there the same line at the same place of the same path is.
    """
    place = digest if digest is not None else os.fsencode(source.name)
    excerpt = reject.excerpt[:EXCERPT_BYTES]
    key = codec.text_digest(
        "stream" if digest is None else "document",
        place,
        reject.reason,
        str(reject.offset),
        reject.path or "",
        reject.detail,
        excerpt,
    )
    cursor = connection.execute(
        "INSERT INTO quarantine"
        " (key, reason, detail, input_id, source, digest, offset, path, excerpt, scan, at, last_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        (
            key,
            reject.reason,
            codec.text(reject.detail),
            source.input_id,
            os.fsencode(source.name),
            digest,
            reject.offset,
            None if reject.path is None else codec.text(reject.path),
            excerpt,
            scan,
            now,
            now,
        ),
    )
    if cursor.rowcount:
        return True
    connection.execute(
        "UPDATE quarantine SET seen = seen + 1, last_at = ?, source = ?, input_id = ?,"
        " state = CASE state WHEN 'retried' THEN 'open' ELSE state END WHERE key = ?",
        (now, os.fsencode(source.name), source.input_id, key),
    )
    return False


class QuarantineStore(Store):
    """The part of the ledger that a person looks through."""

    def prune(self, limit: int) -> int:
        """Delete at most `limit` of the rows beyond `MAX_ROWS`; returns how many."""
        with self._database.write() as connection:
            return connection.execute(
                "DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine ORDER BY state = 'open', id LIMIT"
                " min(?, max(0, (SELECT count(*) FROM quarantine) - ?)))",
                (limit, MAX_ROWS),
            ).rowcount

    def rows(
        self, state: QuarantineState | None = "open", reason: str | None = None, limit: int = 1000
    ) -> list[Quarantined]:
        """Give rows, the latest first; `state` None means all."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM quarantine WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR reason = ?2)"  # noqa: S608
                " ORDER BY id DESC LIMIT ?3",
                (state, reason, limit),
            ).fetchall()
        return [_row(row) for row in rows]

    def num_open(self) -> int:
        """Count the rows that nobody has looked at."""
        with self._database.read() as connection:
            number: int = connection.execute("SELECT count(*) FROM quarantine WHERE state = 'open'").fetchone()[0]
        return number

    def find(self, row_id: int) -> Quarantined | None:
        """Give one row, whatever its state, or None when there is none with this number."""
        with self._database.read() as connection:
            row = connection.execute(f"SELECT {_COLUMNS} FROM quarantine WHERE id = ?", (row_id,)).fetchone()  # noqa: S608
        return None if row is None else _row(row)

    def show(self, row_id: int) -> Quarantined:
        """Give one row.

        Raises:
            LedgerError: when there is none with this number.
        """
        row = self.find(row_id)
        if row is None:
            raise LedgerError(f"quarantine {row_id}: no such row; see `sysscan-agent ledger quarantine list`")
        return row

    def retry(self, row_id: int) -> Quarantined:
        """Ask for the row's file to be read again; all open rows of that file become `retried`.

        Raises:
            LedgerError: when the row or its file is gone.
        """
        with self._database.write() as connection:
            row = self.show(row_id)
            if not row.file_known:
                raise LedgerError(
                    f"quarantine {row_id}: {row.source} is gone from the watched directories; put it back under a "
                    "watched directory, and it will be read as a new file"
                )
            (input_id,) = connection.execute("SELECT input_id FROM quarantine WHERE id = ?", (row_id,)).fetchone()
            connection.execute("UPDATE inputs SET reread = 1 WHERE input_id = ?", (input_id,))
            connection.execute(
                "UPDATE quarantine SET state = 'retried' WHERE id = ?1 OR (input_id = ?2 AND state = 'open')",
                (row_id, input_id),
            )
        return self.show(row_id)

    def dismiss(self, row_id: int) -> Quarantined:
        """Mark a row as seen and of no interest; it stays so if the same piece is met again."""
        with self._database.write() as connection:
            self.show(row_id)
            connection.execute("UPDATE quarantine SET state = 'dismissed' WHERE id = ?", (row_id,))
        return self.show(row_id)


def _row(row: tuple[object, ...]) -> Quarantined:
    values = list(row)
    source = values[3]
    assert isinstance(source, bytes)
    values[3] = os.fsdecode(source)
    values[13] = values[13] is not None
    return Quarantined(*values)  # type: ignore[arg-type]
