"""Which scan is it? Identity, redelivery and the order of closing.

A JSON or SARIF report is its own bytes: scan_id = H(host, started_at, digest of the report). An NDJSON scan has no
times, so it is known by host, header and a number n: scan_id = H(host, header, n). n is fixed when the header is read,
unless that header is known already. Then the scan is held until it ends, and is a redelivery if one of the known scans
says the same, else n rises.

"The same" is decided by the findings as they were understood, in order, not by line ends or compression: the copy
`scan.ndjson.1.gz` of a stream is a redelivery too. Within one file each scan stands for itself: a file that shows the
same scan twice holds two, and a copy of that file redelivers two. So a file may claim each known scan once.
"""

import hashlib
import os
from collections.abc import Iterator
from sqlite3 import Connection

from daemon.ledger import codec
from daemon.ports.inputs import FileState
from pipeline.classes.scan import HostSource
from pipeline.finding import ScanHeader

UNKNOWN_HOST = "unknown"
_FETCH = 1000


def resolve_host(header: ScanHeader, host_key: str | None, option: str | None) -> tuple[str, HostSource]:
    """Say whose scan it is. A host that the place stands for binds: what the report claims is only a claim."""
    claimed = header.host or None
    if host_key:
        return codec.text(host_key), "report" if claimed == host_key else "key"
    if claimed:
        return codec.text(claimed), "report"
    if option:
        return codec.text(option), "option"
    return UNKNOWN_HOST, "unknown"


def header_hash(header: ScanHeader) -> str:
    """Hash what a stream's header lines say; a continuation is told from the scan that it continues."""
    return codec.text_digest(
        "header", codec.dumps(header.raw, sort_keys=True), "continued" if "continued" in header.notes else ""
    )


def document_scan_id(host: str, header: ScanHeader, digest: str) -> str:
    return codec.text_digest("document", host, header.started_at or "", digest)


def stream_scan_id(host: str, hashed_header: str, n: int) -> str:
    return codec.text_digest("stream", host, hashed_header, str(n))


def open_scan(connection: Connection, file: FileState, opened_at: str, *, continued: bool = False) -> int:
    """Begin a scan; returns its row."""
    cursor = connection.execute(
        "INSERT INTO scans (state, file_id, source, opened_at, continued) VALUES ('open', ?, ?, ?, ?)",
        (file.file_id, os.fsencode(file.path), opened_at, continued),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def set_header(connection: Connection, scan: int, header: ScanHeader, host: str, host_source: HostSource) -> None:
    """Store what the report says of its scan."""
    connection.execute(
        "UPDATE scans SET header = ?, host = ?, host_source = ?, emitted = ? WHERE scan = ?",
        (codec.encode_header(header), host, host_source, header.emitted, scan),
    )


def number_stream(connection: Connection, scan: int, file_id: int, hashed_header: str) -> bool:
    """Fix n of a scan whose header has just been read; returns False where it must be held, as the header is known."""
    (host,) = connection.execute("SELECT host FROM scans WHERE scan = ?", (scan,)).fetchone()
    known = connection.execute(
        "SELECT 1 FROM scans WHERE host = ? AND header_hash = ?"
        " AND scan NOT IN (SELECT scan FROM claims WHERE file_id = ?) LIMIT 1",
        (host, hashed_header, file_id),
    ).fetchone()
    n = None if known else _next_n(connection, host, hashed_header)
    connection.execute("UPDATE scans SET header_hash = ?, n = ? WHERE scan = ?", (hashed_header, n, scan))
    return n is not None


def close_stream_scan(connection: Connection, scan: int, file_id: int) -> bool:
    """End a scan whose findings and counts are stored.

    Returns:
        True when it goes to analysis, False when it was a redelivery and has vanished.
    """
    host, hashed_header, n, findings, rejected, emitted, header, opened_at = connection.execute(
        "SELECT host, header_hash, n, findings, rejected, emitted, header, opened_at FROM scans WHERE scan = ?", (scan,)
    ).fetchone()
    content = content_hash(connection, scan)
    same = connection.execute(
        "SELECT scan FROM scans WHERE host = ? AND header_hash = ? AND content_hash = ? AND state <> 'open'"
        " AND scan NOT IN (SELECT scan FROM claims WHERE file_id = ?) ORDER BY n LIMIT 1",
        (host, hashed_header, content, file_id),
    ).fetchone()
    if same is not None:
        connection.execute("INSERT INTO claims (file_id, scan) VALUES (?, ?)", (file_id, same[0]))
        connection.execute("DELETE FROM inbox WHERE scan = ?", (scan,))
        connection.execute("DELETE FROM scans WHERE scan = ?", (scan,))
        return False
    if n is None:
        n = _next_n(connection, host, hashed_header)
    said = codec.decode_header(header)
    connection.execute("INSERT INTO claims (file_id, scan) VALUES (?, ?)", (file_id, scan))
    connection.execute(
        "UPDATE scans SET state = 'closed', scan_no = ?, scan_id = ?, n = ?, content_hash = ?, complete = ?, as_of = ?"
        " WHERE scan = ?",
        (
            _next_scan_no(connection),
            stream_scan_id(host, hashed_header, n),
            n,
            content,
            rejected == 0 and findings == emitted,
            said.finished_at or said.started_at or opened_at,
            scan,
        ),
    )
    return True


def close_document_scan(connection: Connection, scan: int, scan_id: str, digest: str, as_of: str) -> None:
    """Hand a scan from a whole document, whose findings and counts are stored, to analysis."""
    connection.execute(
        "UPDATE scans SET state = 'closed', scan_no = ?, scan_id = ?, content_hash = ?, as_of = ? WHERE scan = ?",
        (_next_scan_no(connection), scan_id, digest, as_of, scan),
    )


def content_hash(connection: Connection, scan: int) -> str:
    """Hash the findings of a scan, in order."""
    state = hashlib.sha256()
    for finding in _findings(connection, scan):
        state.update(b"%d:" % len(finding))
        state.update(finding)
    return state.hexdigest()[:32]


def _next_n(connection: Connection, host: str, hashed_header: str) -> int:
    n: int = connection.execute(
        "SELECT coalesce(max(n), -1) + 1 FROM scans WHERE host = ? AND header_hash = ?", (host, hashed_header)
    ).fetchone()[0]
    return n


def _next_scan_no(connection: Connection) -> int:
    number: int = connection.execute("SELECT coalesce(max(scan_no), 0) + 1 FROM scans").fetchone()[0]
    return number


def _findings(connection: Connection, scan: int) -> Iterator[bytes]:
    cursor = connection.execute("SELECT finding FROM inbox WHERE scan = ? ORDER BY seq", (scan,))
    while rows := cursor.fetchmany(_FETCH):
        for (finding,) in rows:
            yield finding
