"""Scans of a document that is stored in pieces: rows of the inbox that count when the document is whole, not before.

To store a large document is one transaction, which would take seconds. So its findings are put into the inbox a few
thousand at a time, under a scan that is open and noted here; the transaction that closes it, and stores the position
behind the document, is short. What a crash, a document that proves unusable, or a redelivery leaves is noted here and
belongs to nobody who is at work on it (`Begun`): it counts for nothing, and is deleted in pieces.
"""

from sqlite3 import Connection

from daemon.ledger.settling import AT_ONCE

TABLE = """
CREATE TABLE staging (
  scan INTEGER PRIMARY KEY REFERENCES scans (scan)
) STRICT
"""

Begun = set[int]  # scans that this process is putting together; those that another one left are in no process's set


def make_table(connection: Connection) -> None:
    """Add the table to a ledger of schema 4."""
    connection.execute(TABLE)


def note(connection: Connection, scan: int) -> None:
    """Note that an open scan is put together in pieces."""
    connection.execute("INSERT INTO staging (scan) VALUES (?)", (scan,))


def count(connection: Connection, scan: int) -> None:
    """Let a scan count, which the same transaction closes."""
    connection.execute("DELETE FROM staging WHERE scan = ?", (scan,))


def next_left(connection: Connection, begun: Begun) -> int | None:
    """Give a scan that nobody goes on with, if there is one."""
    rows = connection.execute("SELECT scan FROM staging ORDER BY scan LIMIT ?", (len(begun) + 1,)).fetchall()
    return next((scan for (scan,) in rows if scan not in begun), None)


def delete(connection: Connection, scan: int) -> None:
    """Delete a bounded piece of a scan that was left, and the scan itself when nothing is left of it."""
    gone = connection.execute(
        "DELETE FROM inbox WHERE scan = ?1 AND seq < (SELECT min(seq) FROM inbox WHERE scan = ?1) + ?2",
        (scan, AT_ONCE),
    ).rowcount
    if gone < AT_ONCE:
        connection.execute("DELETE FROM staging WHERE scan = ?", (scan,))
        connection.execute("DELETE FROM scans WHERE scan = ?", (scan,))
