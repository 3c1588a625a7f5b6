"""Finished scans, and what was said of them."""

import os
from dataclasses import dataclass
from sqlite3 import Connection

from daemon.ledger import codec
from daemon.ledger.store import Store

KEEP_RECORDS = 30  # scan records that stay readable for each host and profile


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


@dataclass(slots=True, frozen=True)
class ScanInput:
    """What a scan was made from.

    Attributes:
        digest: of the report, or of the findings of a stream.
        verdicts: up to which verdict it was judged with.
    """

    scan_no: int
    source: str
    digest: str
    taken_in_at: str
    finished_at: str | None
    verdicts: int


class RecordStore(Store):
    """The scans that are done, for people to look through."""

    def find(self, scan_id: str | None = None, host: str | None = None) -> ScanEntry | None:
        """Give the latest finished scan that has a record, of all or of one host, or the one with this id."""
        entries = self.rows(scan_id=scan_id, host=host, limit=1)
        return entries[0] if entries else None

    def input_of(self, scan_id: str) -> ScanInput | None:
        """Say what a scan was made from; None where the ledger does not know it."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT scan_no, source, content_hash, opened_at, finished_at, verdicts FROM scans"
                " WHERE scan_id = ? AND scan_no IS NOT NULL",
                (codec.text(scan_id),),
            ).fetchone()
        return None if row is None else ScanInput(row[0], os.fsdecode(row[1]), *row[2:])

    def rows(
        self,
        scan_id: str | None = None,
        host: str | None = None,
        profile: str | None = None,
        limit: int = KEEP_RECORDS,
    ) -> list[ScanEntry]:
        """Give finished scans, the latest first; `scan_id` may be the beginning of one."""
        return self._entries(
            "(?1 IS NULL OR substr(scan_id, 1, length(?1)) = ?1) AND (?2 IS NULL OR host = ?2)"
            " AND (?3 IS NULL OR profile = ?3) ORDER BY scan_no DESC LIMIT ?4",
            (scan_id and codec.text(scan_id), host and codec.text(host), profile, limit),
        )

    def latest(self, host: str | None = None) -> list[ScanEntry]:
        """Give the latest finished scan of each host and profile, by these; of all hosts or of one."""
        return self._entries(
            "scan_no IN (SELECT max(scan_no) FROM scans WHERE state = 'done' GROUP BY host, profile)"
            " AND (?1 IS NULL OR host = ?1) ORDER BY host, profile",
            (host and codec.text(host),),
        )

    def newest(self) -> list[tuple[int, str]]:
        """Give number and time of the latest finished scan of each host and profile; cheap enough for every scrape."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT max(scan_no), finished_at, host FROM scans WHERE state = 'done' GROUP BY host, profile"
            ).fetchall()
        return [(number, finished_at) for number, finished_at, _ in rows]

    def record(self, scan_no: int) -> bytes | None:
        """Give the record of a finished scan, if it is still kept."""
        with self._database.read() as connection:
            row = connection.execute("SELECT record FROM scans WHERE scan_no = ?", (scan_no,)).fetchone()
        return None if row is None else row[0]

    def _entries(self, where: str, values: tuple[object, ...]) -> list[ScanEntry]:
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT scan_no, scan_id, host, profile, source, findings, rejected, complete, as_of, finished_at,"  # noqa: S608
                f" record FROM scans WHERE state = 'done' AND {where}",
                values,
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


def forget_old_records(connection: Connection, host: str, profile: str) -> None:
    """Keep the latest `KEEP_RECORDS` records of a host and profile."""
    connection.execute(
        "UPDATE scans SET record = NULL WHERE host = ?1 AND profile = ?2 AND record IS NOT NULL AND scan_no <"
        " (SELECT scan_no FROM scans WHERE host = ?1 AND profile = ?2 ORDER BY scan_no DESC LIMIT 1 OFFSET ?3)",
        (host, profile, KEEP_RECORDS - 1),
    )
