"""What the earlier scans of each host said of each fingerprint."""

from collections.abc import Sequence
from sqlite3 import Connection

from daemon.ledger import codec
from daemon.ledger.store import Store
from daemon.ports.work import BaselineRow

# Coverages of one host that have a baseline and records; those scanned longest ago go first. A host is scanned in a few
# ways, but the command line is the report's own claim, and a new one each time must not fill the disk.
KEEP_PROFILES = 32


class BaselineStore(Store):
    """The baseline of scans that do not pass through the inbox (`analyze --record`)."""

    def rows(self, host: str, profile: str) -> dict[str, BaselineRow]:
        """Give what is known of a host's scans with a profile, by fingerprint."""
        with self._database.read() as connection:
            return read_baseline(connection, host, profile)

    def update(self, host: str, profile: str, rows: Sequence[BaselineRow], gone: Sequence[str]) -> None:
        """Replace what is known of these fingerprints, and forget those that are gone."""
        with self._database.write() as connection:
            write_baseline(connection, host, profile, rows, gone)


def read_baseline(
    connection: Connection, host: str, profile: str, after: str = "", limit: int = -1
) -> dict[str, BaselineRow]:
    """Give the rows of a host and profile, by fingerprint, in order, from the one after `after` on."""
    rows = connection.execute(
        "SELECT fingerprint, class_id, status, content, first_seen_at, last_scan_no, count, label FROM baseline"
        " WHERE host = ? AND profile = ? AND fingerprint > ? ORDER BY fingerprint LIMIT ?",
        (host, profile, after, limit),
    ).fetchall()
    return {row[0]: BaselineRow(*row) for row in rows}


def write_baseline(
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
