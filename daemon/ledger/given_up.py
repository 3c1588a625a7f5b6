"""Verdicts that the ledger has seen and nobody has any more, and that somebody said to go on without.

What was seen of them stays noted, so that an auditor finds it; it only no longer counts as missing from the log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from sqlite3 import Connection

from pipeline.review.chain import Anchor, Head

TABLE = """
CREATE TABLE given_up (
  seq INTEGER NOT NULL,                           -- a verdict that was seen, as `scans.verdicts` or `told`
  head TEXT NOT NULL,
  upto INTEGER NOT NULL,                          -- where the log ended instead
  at TEXT NOT NULL,
  author TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (seq, head)
) STRICT, WITHOUT ROWID
"""

# Of `scans`: what it was judged with is not given up.
STANDS = "NOT EXISTS (SELECT 1 FROM given_up g WHERE g.seq = scans.verdicts AND g.head = scans.verdicts_head)"


@dataclass(slots=True, frozen=True)
class GivenUp:
    """Verdicts that were given up together.

    Attributes:
        first, last: their numbers, as far as they are known to have been there.
        at: when, RFC 3339.
    """

    first: int
    last: int
    at: str
    author: str
    reason: str

    def words(self) -> str:
        """Say it in a sentence."""
        which = f"verdict {self.first} was" if self.first == self.last else f"verdicts {self.first} to {self.last} were"
        return f"{which} given up by {self.author}, {self.at}: {self.reason}"


def make_table(connection: Connection) -> None:
    """Add the table to a ledger of schema 7."""
    connection.execute(TABLE)


def given_up(connection: Connection) -> list[GivenUp]:
    """List what was given up, in order of time."""
    rows = connection.execute(
        "SELECT upto + 1, max(seq), at, author, reason FROM given_up GROUP BY upto, at, author, reason"
        " ORDER BY at, upto"
    ).fetchall()
    return [GivenUp(*row) for row in rows]


def give_up(connection: Connection, lost: Sequence[Anchor], end: Head, *, at: str, author: str, reason: str) -> None:
    """Go on from where the log ends: what is beyond it is not missed any more, and its numbers are given again.

    Scans that wait are judged with what is left; for whoever has the ledger to itself.

    Args:
        lost: what was seen beyond the end.
        end: where the log ends.
    """
    head = end.hash if end.seq else ""
    connection.executemany(
        "INSERT OR IGNORE INTO given_up (seq, head, upto, at, author, reason) VALUES (?, ?, ?, ?, ?, ?)",
        [(one.head.seq, one.head.hash, end.seq, at, author, reason) for one in lost],
    )
    connection.execute("UPDATE told SET seq = ?1, head = ?2 WHERE seq > ?1", (end.seq, head))
    connection.execute(
        "UPDATE scans SET verdicts = ?1, verdicts_head = ?2 WHERE state <> 'done' AND verdicts > ?1", (end.seq, head)
    )
