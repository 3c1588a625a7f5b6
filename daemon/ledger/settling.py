"""What a large scan leaves to be put in order once it is done, in pieces that hold nobody up.

To finish a scan is one transaction, which for a large one would take seconds: its baseline rows replace older ones, and
its findings leave the inbox. So the rows are staged beforehand, under the scan; the finishing transaction only notes
how many of them count; and `settle` moves and deletes a bounded number at a time. A crash before the note leaves rows
that count for nothing and are written over; one after it leaves work that the next start goes on with.
"""

from collections.abc import Sequence
from sqlite3 import Connection

from daemon.ledger import codec
from daemon.ports.work import BaselineRow

AT_ONCE = 4_000  # rows of one transaction, some 40 ms; scans up to this size are finished in one

TABLES = """
-- Baseline rows of a scan, until they are among the others. Those without a status are to be forgotten.
CREATE TABLE staged (
  scan INTEGER NOT NULL REFERENCES scans (scan),
  row INTEGER NOT NULL,
  fingerprint TEXT NOT NULL,
  class_id TEXT NOT NULL,
  status TEXT NOT NULL,
  content TEXT NOT NULL,
  first_seen_at TEXT NOT NULL,
  last_scan_no INTEGER NOT NULL,
  count INTEGER NOT NULL,
  label TEXT NOT NULL,
  PRIMARY KEY (scan, row)
) STRICT, WITHOUT ROWID;

-- Scans that are done, with rows that are still to be moved or deleted.
CREATE TABLE settling (
  scan INTEGER PRIMARY KEY REFERENCES scans (scan),
  staged INTEGER NOT NULL                         -- how many of the staged rows count, from 0
) STRICT;
"""

_COLUMNS = "fingerprint, class_id, status, content, first_seen_at, last_scan_no, count, label"


def stage(connection: Connection, scan: int, start: int, rows: Sequence[BaselineRow]) -> None:
    """Keep baseline rows beside the baseline, numbered from `start`; the same numbers again replace them."""
    connection.executemany(
        f"INSERT OR REPLACE INTO staged (scan, row, {_COLUMNS})"  # noqa: S608 - names of our own
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (scan, row, r.fingerprint, r.class_id, r.status, r.content, r.first_seen_at, r.last_scan_no, r.count,
             codec.text(r.label))
            for row, r in enumerate(rows, start)
        ),
    )  # fmt: skip


def note(connection: Connection, scan: int, staged: int) -> None:
    """Note that a scan is done, with the first `staged` of its rows."""
    connection.execute("INSERT INTO settling (scan, staged) VALUES (?, ?)", (scan, staged))


def next_unsettled(connection: Connection) -> tuple[int, int] | None:
    """Give the scan that is to be put in order first, and how many of its staged rows count."""
    row: tuple[int, int] | None = connection.execute(
        "SELECT scan, staged FROM settling ORDER BY scan LIMIT 1"
    ).fetchone()
    return row


def settle(connection: Connection, scan: int, staged: int) -> bool:
    """Move or delete the next rows of a scan; returns whether none were left, so that it is in order."""
    moved = _move(connection, scan, staged) or _empty_inbox(connection, scan) or _empty_keys(connection, scan)
    return not moved


def forget(connection: Connection, scan: int) -> None:
    """Note that a scan is in order."""
    connection.execute("DELETE FROM settling WHERE scan = ?", (scan,))


def _move(connection: Connection, scan: int, staged: int) -> int:
    (first,) = connection.execute("SELECT min(row) FROM staged WHERE scan = ?", (scan,)).fetchone()
    if first is None:
        return 0
    piece = (scan, first, first + AT_ONCE - 1, staged)
    host, profile = connection.execute("SELECT host, profile FROM scans WHERE scan = ?", (scan,)).fetchone()
    which = "FROM staged WHERE scan = ? AND row BETWEEN ? AND ? AND row < ?"
    connection.execute(
        f"INSERT OR REPLACE INTO baseline (host, profile, {_COLUMNS}) SELECT ?, ?, {_COLUMNS} {which} AND status <> ''",
        (host, profile, *piece),
    )
    connection.execute(
        "DELETE FROM baseline WHERE host = ? AND profile = ? AND fingerprint IN"  # noqa: S608
        f" (SELECT fingerprint {which} AND status = '')",
        (host, profile, *piece),
    )
    return connection.execute("DELETE FROM staged WHERE scan = ? AND row BETWEEN ? AND ?", piece[:3]).rowcount


def _empty_inbox(connection: Connection, scan: int) -> int:
    return connection.execute(
        "DELETE FROM inbox WHERE scan = ?1 AND seq < (SELECT min(seq) FROM inbox WHERE scan = ?1) + ?2",
        (scan, AT_ONCE),
    ).rowcount


def _empty_keys(connection: Connection, scan: int) -> int:
    return connection.execute(
        "DELETE FROM keys WHERE scan = ?1 AND key IN (SELECT key FROM keys WHERE scan = ?1 LIMIT ?2)", (scan, AT_ONCE)
    ).rowcount


def make_tables(connection: Connection) -> None:
    """Add the tables to a ledger of schema 1."""
    for statement in TABLES.split(";"):
        if statement.strip():
            connection.execute(statement)
