"""Which scan is it? Identity, redelivery and the order of closing.

A JSON or SARIF report is its own bytes: scan_id = H(host, started_at, digest of the report). With times in it, the same
bytes are the same scan for ever. Without, a host that returns to an earlier state gives the same bytes once more, which
is news: n rises and is hashed too. Whether it is a return or another delivery is told by the place (`places`).

An NDJSON scan has no times, so it is known by host, header and a number n: scan_id = H(host, header, n). n is fixed
when the header is read, unless that header is known already. Then the scan is held until it ends, and is a redelivery
if one of the known scans says the same and the place shows that again, else n rises.

"The same" is decided by the findings as they were understood, in order, not by line ends or compression: the copy
`scan.ndjson.1.gz` of a stream is a redelivery too. Within one file each scan stands for itself: a file that shows the
same scan twice holds two, and a copy of that file redelivers two. So a file may claim each known scan once.
"""

import hashlib
import os
from collections.abc import Iterator
from sqlite3 import Connection

from daemon.ledger import codec
from daemon.ledger.places import Place
from daemon.ledger.reviewing import PIN
from daemon.ports.inputs import Input
from pipeline.classes.scan import HostSource
from pipeline.finding import ScanHeader

UNKNOWN_HOST = "unknown"
# What a host is called that nobody has named: by distributions, by the kernel, and by our own output.
NO_HOST = frozenset(
    {
        "localhost", "localhost.localdomain", "localhost4", "localhost4.localdomain4", "localhost6",
        "localhost6.localdomain6", "(none)", "127.0.0.1", "::1", UNKNOWN_HOST,
    }
)  # fmt: skip
_FETCH = 1000


def resolve_host(header: ScanHeader, host_key: str | None, option: str | None) -> tuple[str, HostSource]:
    """Say whose scan it is. A host that the place stands for binds: what the report claims is only a claim.

    A name that every host has for itself names none: it is shown, but nobody knows whose scan it is, so it is compared
    with no other, and resolves nothing.
    """
    claimed = header.host or None
    if host_key:
        return codec.text(host_key), "report" if claimed == host_key else "key"
    names_one = claimed is not None and claimed.casefold().rstrip(".") not in NO_HOST
    if claimed and names_one:
        return codec.text(claimed), "report"
    if option:
        return codec.text(option), "option"
    return codec.text(claimed) if claimed else UNKNOWN_HOST, "unknown"


def header_hash(header: ScanHeader) -> str:
    """Hash what a stream's header lines say; a continuation is told from the scan that it continues."""
    return codec.text_digest(
        "header", codec.dumps(header.raw, sort_keys=True), "continued" if "continued" in header.notes else ""
    )


def is_timed(header: ScanHeader) -> bool:
    """Say whether a report says when it was made, so that the same bytes are the same scan for ever."""
    return bool(header.started_at or header.finished_at)


def document_scan_id(host: str, header: ScanHeader, digest: str, n: int = 0) -> str:
    """Give the id of a JSON or SARIF report; `n`: how often its host had returned to this state before."""
    return codec.text_digest("document", host, header.started_at or "", digest, *([str(n)] if n else []))


def known_documents(connection: Connection, host: str, header: ScanHeader, digest: str) -> list[tuple[int, int | None]]:
    """Give row and number of the known scans that consist of this report, in order."""
    found: list[tuple[int, int | None]] = []
    while True:
        scan_id = document_scan_id(host, header, digest, len(found))
        row = connection.execute("SELECT scan, scan_no FROM scans WHERE scan_id = ?", (scan_id,)).fetchone()
        if row is None:
            return found
        found.append((row[0], row[1]))


def stream_scan_id(host: str, hashed_header: str, n: int) -> str:
    return codec.text_digest("stream", host, hashed_header, str(n))


def open_scan(connection: Connection, source: Input, opened_at: str, *, continued: bool = False) -> int:
    """Begin a scan; returns its row."""
    cursor = connection.execute(
        "INSERT INTO scans (state, input_id, source, opened_at, continued) VALUES ('open', ?, ?, ?, ?)",
        (source.input_id, os.fsencode(source.name), opened_at, continued),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def set_header(connection: Connection, scan: int, header: ScanHeader, host: str, host_source: HostSource) -> None:
    """Store what the report says of its scan."""
    connection.execute(
        "UPDATE scans SET header = ?, host = ?, host_source = ?, emitted = ? WHERE scan = ?",
        (codec.encode_header(header), host, host_source, header.emitted, scan),
    )


def number_stream(connection: Connection, scan: int, place: Place, input_id: int, hashed_header: str) -> bool:
    """Fix n of a scan whose header has just been read; returns False where it must be held, as the header is known."""
    (host,) = connection.execute("SELECT host FROM scans WHERE scan = ?", (scan,)).fetchone()
    known = connection.execute(
        "SELECT scan, scan_no FROM scans WHERE host = ? AND header_hash = ? AND scan <> ? ORDER BY n",
        (host, hashed_header, scan),
    ).fetchall()
    held = place.find(input_id, host, known, timed=False) is not None
    n = None if held else _next_n(connection, host, hashed_header)
    connection.execute("UPDATE scans SET header_hash = ?, n = ? WHERE scan = ?", (hashed_header, n, scan))
    return not held


def close_stream_scan(connection: Connection, scan: int, place: Place, input_id: int) -> bool:
    """End a scan whose findings and counts are stored.

    Returns:
        True when it goes to analysis, False when it was a redelivery and has vanished.
    """
    host, hashed_header, n, findings, rejected, emitted, header, opened_at = connection.execute(
        "SELECT host, header_hash, n, findings, rejected, emitted, header, opened_at FROM scans WHERE scan = ?", (scan,)
    ).fetchone()
    content = content_hash(connection, scan)
    known = connection.execute(
        "SELECT scan, scan_no FROM scans WHERE host = ? AND header_hash = ? AND content_hash = ? AND state <> 'open'"
        " ORDER BY scan_no",
        (host, hashed_header, content),
    ).fetchall()
    same = place.find(input_id, host, known, timed=False)
    if same is not None:
        place.show(input_id, host, same, timed=False)
        connection.execute("DELETE FROM inbox WHERE scan = ?", (scan,))
        connection.execute("DELETE FROM scans WHERE scan = ?", (scan,))
        return False
    if n is None:
        n = _next_n(connection, host, hashed_header)
    said = codec.decode_header(header)
    connection.execute(
        "UPDATE scans SET state = 'closed', scan_no = ?, scan_id = ?, n = ?, content_hash = ?, complete = ?, as_of = ?,"  # noqa: S608
        f" {PIN} WHERE scan = ?",
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
    place.show(input_id, host, scan, timed=False)
    return True


def close_document_scan(connection: Connection, scan: int, scan_id: str, n: int, digest: str, as_of: str) -> None:
    """Hand a scan from a whole document, whose findings and counts are stored, to analysis."""
    connection.execute(
        "UPDATE scans SET state = 'closed', scan_no = ?, scan_id = ?, n = ?, content_hash = ?, as_of = ?,"  # noqa: S608
        f" {PIN} WHERE scan = ?",
        (_next_scan_no(connection), scan_id, n or None, digest, as_of, scan),
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
