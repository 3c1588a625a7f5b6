"""Scans that are not worked on until a person says so: they ended the process, or cannot be read.

They stay as they are, header and findings, and hold nobody up. What they were is remembered, so a copy of such a report
is a redelivery as any other.
"""

import os
from dataclasses import dataclass
from sqlite3 import Connection

from daemon.ledger import codec
from daemon.ledger.store import Store
from pipeline.errors import LedgerError

MAX_ATTEMPTS = 2  # processes that end over a scan, with nothing of it done in between


@dataclass(slots=True, frozen=True)
class SetAside:
    """A scan that is not worked on, and why."""

    scan_no: int
    scan_id: str
    host: str
    source: str
    findings: int
    attempt: int
    reason: str


class AsideStore(Store):
    """The part of the ledger that a person looks through, and takes scans back out of."""

    def rows(self) -> list[SetAside]:
        """Give all scans that are set aside, in order."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT scan_no, scan_id, host, source, findings, attempt, aside FROM scans"
                " WHERE state = 'closed' AND aside IS NOT NULL ORDER BY scan_no"
            ).fetchall()
        return [
            SetAside(scan_no, scan_id, host, os.fsdecode(source), findings, attempt, reason)
            for scan_no, scan_id, host, source, findings, attempt, reason in rows
        ]

    def count(self) -> int:
        """Count them; cheap enough for every second."""
        with self._database.read() as connection:
            number: int = connection.execute(
                "SELECT count(*) FROM scans WHERE state = 'closed' AND aside IS NOT NULL"
            ).fetchone()[0]
        return number

    def retry(self, scan_no: int) -> None:
        """Have a scan worked on once more, with all attempts before it.

        Raises:
            LedgerError: when no scan with this number is set aside.
        """
        with self._database.write() as connection:
            found = connection.execute(
                "UPDATE scans SET aside = NULL, attempt = 0 WHERE scan_no = ? AND aside IS NOT NULL", (scan_no,)
            ).rowcount
        if not found:
            raise LedgerError(f"scan {scan_no}: not set aside; see `sysscan-agent ledger aside list`")


def set_aside(connection: Connection, scan_no: int, reason: str) -> None:
    """Take a scan that is not done out of the way."""
    connection.execute(
        "UPDATE scans SET aside = ? WHERE scan_no = ? AND state = 'closed'", (codec.text(reason), scan_no)
    )


def count_attempt(connection: Connection, scan_no: int, reason: str) -> bool:
    """Count that a process ended over a scan; returns whether the scan is set aside now."""
    row = connection.execute(
        "UPDATE scans SET attempt = attempt + 1 WHERE scan_no = ? AND state = 'closed' AND aside IS NULL"
        " RETURNING attempt",
        (scan_no,),
    ).fetchone()
    if row is None or row[0] < MAX_ATTEMPTS:
        return False
    set_aside(connection, scan_no, f"{reason}; {row[0]} times, with nothing done in between")
    return True
