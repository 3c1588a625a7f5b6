"""Everything that must be true of a ledger, as queries that find where it is not."""

from collections.abc import Callable, Iterator
from sqlite3 import Connection, DatabaseError
from typing import get_args

from daemon.ledger import codec, part_sets, scans
from daemon.ledger.database import Database
from pipeline.errors import QuarantineReason

# Each query gives one row for each violation; its columns fill the message.
RULES: tuple[tuple[str, str], ...] = (
    (
        "scan row {}: open, but no input of its own has it open",
        "SELECT s.scan FROM scans s WHERE s.state = 'open' AND s.scan NOT IN (SELECT scan FROM staging)"
        " AND NOT EXISTS (SELECT 1 FROM inputs i WHERE i.open_scan = s.scan AND i.input_id = s.input_id)",
    ),
    (
        "input {}: its open scan {} is closed",
        "SELECT i.input_id, i.open_scan FROM inputs i JOIN scans s ON s.scan = i.open_scan WHERE s.state <> 'open'",
    ),
    (
        "scan row {}: {} findings counted, {} in the inbox",
        "SELECT s.scan, s.findings, count(i.seq) FROM scans s LEFT JOIN inbox i ON i.scan = s.scan"
        " WHERE s.state <> 'done' AND s.scan NOT IN (SELECT scan FROM staging)"
        " GROUP BY s.scan HAVING s.findings <> count(i.seq)",
    ),
    (
        "scan row {}: put together in pieces, but closed, or an input has it open",
        "SELECT scan FROM staging WHERE scan NOT IN (SELECT scan FROM scans WHERE state = 'open')"
        " OR scan IN (SELECT open_scan FROM inputs)",
    ),
    (
        "scan row {}: findings are not numbered 0 to {}",
        "SELECT s.scan, s.findings - 1 FROM scans s JOIN inbox i ON i.scan = s.scan WHERE s.state <> 'done'"
        " AND s.scan NOT IN (SELECT scan FROM staging) GROUP BY s.scan"
        " HAVING min(i.seq) <> 0 OR max(i.seq) <> count(*) - 1",
    ),
    (
        "inbox: findings of scan row {}, which is done or gone",
        "SELECT DISTINCT i.scan FROM inbox i LEFT JOIN scans s ON s.scan = i.scan"
        " WHERE s.scan IS NULL OR (s.state = 'done' AND s.scan NOT IN (SELECT scan FROM settling))",
    ),
    (
        "batches: of scan row {}, which is done, open or gone",
        "SELECT DISTINCT b.scan FROM batches b LEFT JOIN scans s ON s.scan = b.scan"
        " WHERE s.scan IS NULL OR s.state <> 'closed' OR s.batch_size IS NULL",
    ),
    (
        "keys: of scan row {}, which is done, open or gone",
        "SELECT DISTINCT k.scan FROM keys k LEFT JOIN scans s ON s.scan = k.scan"
        " WHERE s.scan IS NULL OR (s.state <> 'closed' AND s.scan NOT IN (SELECT scan FROM settling))",
    ),
    (
        "staged baseline: of scan row {}, which is in order, open or gone",
        "SELECT DISTINCT b.scan FROM staged b LEFT JOIN scans s ON s.scan = b.scan"
        " WHERE s.scan IS NULL OR (s.state <> 'closed' AND s.scan NOT IN (SELECT scan FROM settling))",
    ),
    (
        "scan row {}: to be put in order, but not done",
        "SELECT scan FROM settling WHERE scan NOT IN (SELECT scan FROM scans WHERE state = 'done')",
    ),
    (
        "scan row {}: its batches cover {} of {} findings",
        "SELECT s.scan, coalesce(sum(b.last - b.first), 0), s.findings FROM scans s LEFT JOIN batches b"
        " ON b.scan = s.scan WHERE s.state = 'closed' AND s.batch_size IS NOT NULL GROUP BY s.scan"
        " HAVING coalesce(sum(b.last - b.first), 0) <> s.findings",
    ),
    (
        "batch {}: does not begin where the one before it ends",
        "SELECT batch_id FROM (SELECT batch_id, first,"
        " lag(last, 1, 0) OVER (PARTITION BY scan ORDER BY first) AS before FROM batches) WHERE first <> before",
    ),
    (
        "scan row {}: {} findings in done batches, {} keys",
        "SELECT s.scan, d.total, k.total FROM scans s"
        " JOIN (SELECT scan, sum(CASE WHEN done THEN last - first ELSE 0 END) AS total FROM batches GROUP BY scan) d"
        " ON d.scan = s.scan JOIN (SELECT s2.scan, count(k2.key) AS total FROM scans s2 LEFT JOIN keys k2"
        " ON k2.scan = s2.scan GROUP BY s2.scan) k ON k.scan = s.scan WHERE d.total <> k.total",
    ),
    (
        "scan numbers: {} of {} are there",
        # Of a ledger that was rebuilt only what came after: it knows the latest scans of each host from before.
        "SELECT count(scan_no), max(scan_no) - rebuilt FROM scans,"
        " (SELECT coalesce(max(value), 0) AS rebuilt FROM counters WHERE name = 'rebuilt')"
        " WHERE scan_no > rebuilt HAVING count(scan_no) <> coalesce(max(scan_no) - rebuilt, 0)",
    ),
    (
        "scan row {}: done, but has no profile, or still its header",
        "SELECT scan FROM scans WHERE state = 'done'"
        " AND (profile IS NULL OR finished_at IS NULL OR header IS NOT NULL)",
    ),
    (
        "scan row {}: waits for analysis without a header",
        "SELECT scan FROM scans WHERE state = 'closed' AND header IS NULL",
    ),
    (
        "scan row {}: called complete with {} of {} findings and {} rejected",
        "SELECT scan, findings, emitted, rejected FROM scans WHERE complete AND header_hash IS NOT NULL"
        " AND (emitted IS NULL OR findings <> emitted OR rejected <> 0)",
    ),
    (
        "scans of {}: two have header {} and number {}",
        "SELECT host, header_hash, n FROM scans WHERE n IS NOT NULL AND header_hash IS NOT NULL AND state <> 'open'"
        " GROUP BY host, header_hash, n HAVING count(*) > 1",
    ),
    (
        "outbox: {} rows from position {} to {}",
        "SELECT count(*), min(position), max(position) FROM outbox"
        " HAVING count(*) > 0 AND count(*) <> max(position) - min(position) + 1",
    ),
    (
        "outbox: ends at {}, {} positions were given",
        "SELECT (SELECT max(position) FROM outbox), (SELECT seq FROM sqlite_sequence WHERE name = 'outbox')"
        " WHERE (SELECT max(position) FROM outbox) <> (SELECT seq FROM sqlite_sequence WHERE name = 'outbox')",
    ),
    (
        "sink {}: its mark {} is past the end of the outbox",
        "SELECT name, delivered FROM sinks"
        " WHERE delivered > coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0) OR delivered < 0",
    ),
    (
        "sink {}: rows after its mark {} are missing",
        "SELECT name, delivered FROM sinks WHERE delivered <"
        " coalesce((SELECT min(position) - 1 FROM outbox), (SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0)",
    ),
    (
        # The number may be past the last scan's: `analyze --record` counts on without a scan of the ledger's own.
        "baseline: fingerprint {} of {} was seen {} times, last in scan {}",
        "SELECT fingerprint, host, count, last_scan_no FROM baseline WHERE last_scan_no < 0 OR count < 1",
    ),
    (
        "input {}: has shown scan row {}, which is still open",
        "SELECT c.input_id, c.scan FROM claims c JOIN scans s ON s.scan = c.scan WHERE s.state = 'open'",
    ),
    (
        "input {}: is of kind directory and has no file, or the other way round",
        "SELECT i.input_id FROM inputs i LEFT JOIN files f ON f.input_id = i.input_id"
        " WHERE (i.kind = 'directory') <> (f.input_id IS NOT NULL)",
    ),
    (
        "place {}: what it has shown cannot be read",
        "SELECT name FROM places WHERE NOT (json_valid(before) AND json_valid(base) AND json_valid(marks))",
    ),
    (
        "scan row {}: judged with {} verdicts, but only {} were told",
        "SELECT scan, verdicts, (SELECT seq FROM told) FROM scans"
        " WHERE verdicts > (SELECT coalesce(max(seq), 0) FROM told)",
    ),
    (
        "kept finding {}: its line or its situation is missing",
        "SELECT row FROM retained WHERE row NOT IN (SELECT row FROM retained_lines)"
        " OR situation NOT IN (SELECT situation FROM situations)",
    ),
    (
        "kept line {}: of a finding that is not kept",
        "SELECT row FROM retained_lines WHERE row NOT IN (SELECT row FROM retained)",
    ),
    (
        "kept finding {}: it has no words, or they are of a finding that is not kept",
        "SELECT row FROM retained WHERE row NOT IN (SELECT row FROM retained_words)"
        " UNION SELECT row FROM retained_words WHERE row NOT IN (SELECT row FROM retained)",
    ),
    ("quarantine {}: met {} times", "SELECT id, seen FROM quarantine WHERE seen < 1"),
    *part_sets.RULES,
)


def fsck(database: Database) -> list[str]:
    """Check file, keys and every rule; returns what is wrong, one line each, and nothing when all is well.

    One read transaction, so it may run beside a daemon.
    """
    connection = database.connection
    problems: list[str] = []
    checks: tuple[Callable[[Connection], Iterator[str]], ...] = (_pages, _references, _rules, _scans, _reasons)
    with database.read():
        connection.execute("BEGIN")
        try:
            for check in checks:
                try:
                    problems.extend(check(connection))
                except DatabaseError as error:
                    problems.append(f"cannot be read further: {error}")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    return problems


def _pages(connection: Connection) -> Iterator[str]:
    for (line,) in connection.execute("PRAGMA integrity_check(100)").fetchall():
        if line != "ok":
            yield f"database file: {line}"


def _references(connection: Connection) -> Iterator[str]:
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchall():
        yield f"{table} {'' if row is None else row}: refers to a row of {parent} that is not there"


def _rules(connection: Connection) -> Iterator[str]:
    for message, query in RULES:
        for row in connection.execute(query).fetchall():
            yield message.format(*row)


def _scans(connection: Connection) -> Iterator[str]:
    """Decode what is stored of the scans in work, and compute their ids once more."""
    rows = connection.execute(
        "SELECT scan, state, scan_id, host, header, header_hash, n, content_hash, emitted FROM scans"
        " WHERE state <> 'done' ORDER BY scan"
    ).fetchall()
    for scan, state, scan_id, host, header, header_hash, n, content_hash, emitted in rows:
        try:
            for (finding,) in connection.execute("SELECT finding FROM inbox WHERE scan = ?", (scan,)):
                codec.decode_finding(finding)
            said = None if header is None else codec.decode_header(header)
        except codec.DAMAGE as error:
            yield f"scan row {scan}: cannot be decoded: {error}"
            continue
        if said is not None and said.emitted != emitted:
            yield f"scan row {scan}: {emitted} findings announced, its header says {said.emitted}"
        if state == "open" or said is None:
            continue
        if header_hash is None:
            expected = scans.document_scan_id(host, said, content_hash, n or 0)
        else:
            expected = scans.stream_scan_id(host, header_hash, n)
            if scans.header_hash(said) != header_hash:
                yield f"scan row {scan}: its header does not hash to what is stored"
            if scans.content_hash(connection, scan) != content_hash:
                yield f"scan row {scan}: its findings do not hash to what is stored"
        if expected != scan_id:
            yield f"scan row {scan}: its id {scan_id} is not that of its content"


def _reasons(connection: Connection) -> Iterator[str]:
    known = frozenset(get_args(QuarantineReason))
    for row_id, reason in connection.execute("SELECT id, reason FROM quarantine").fetchall():
        if reason not in known:
            yield f"quarantine {row_id}: no such reason: {reason}"
