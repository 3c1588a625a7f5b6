"""What the ledger keeps for reviews: findings as they came out, and how far the log of verdicts has been told.

The findings are kept in the transaction that puts their lines into the outbox, one row a finding of a host in
each situation (its worst line), until they are too old or too many. The small row is what lists are made from; the line
lies apart.
"""

from collections.abc import Sequence
from sqlite3 import Connection

from daemon.ledger import words
from daemon.ledger.codec import text
from daemon.ports.work import Reviewable

MAX_KEYS = 64  # dedupe keys that are kept of one finding; twins have one each
_KEY_CHARS = 33
_VARIABLES = 500  # in one statement

# What a scan is pinned to when it is closed: all that was told, and so stands in the outbox before it.
PIN = "verdicts = (SELECT seq FROM told), verdicts_head = (SELECT head FROM told)"

TABLES = """
-- Up to which verdict of the log everything is told: its records are in the outbox.
CREATE TABLE told (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  seq INTEGER NOT NULL,
  head TEXT NOT NULL
) STRICT;

INSERT INTO told (one, seq, head) VALUES (1, 0, '');

CREATE TABLE situations (
  situation TEXT PRIMARY KEY,
  class_id TEXT NOT NULL,
  said BLOB NOT NULL                              -- class, status and features: JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE retained (
  row INTEGER PRIMARY KEY,
  host TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  situation TEXT NOT NULL,
  class_id TEXT NOT NULL,
  scanner TEXT NOT NULL,
  status TEXT NOT NULL,
  level TEXT NOT NULL,
  score INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  scan_no INTEGER NOT NULL,
  profile TEXT NOT NULL,                          -- what its scan covered
  at TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  keys TEXT NOT NULL                              -- dedupe keys, with a blank between
) STRICT;
CREATE UNIQUE INDEX retained_finding ON retained (host, fingerprint, situation);
-- All that lists are made from, in the order in which they group it.
CREATE INDEX retained_situation ON retained
  (situation, host, profile, scan_no, status, level, scanner, class_id, score, lines);
CREATE INDEX retained_age ON retained (at, bytes);

-- The latest scan of a host and profile that resolves: what was last seen before it is gone.
CREATE TABLE covered (
  host TEXT NOT NULL,
  profile TEXT NOT NULL,
  scan_no INTEGER NOT NULL,
  PRIMARY KEY (host, profile)
) STRICT, WITHOUT ROWID;

CREATE TABLE retained_lines (
  row INTEGER PRIMARY KEY,
  line BLOB NOT NULL
) STRICT;
"""


def make_tables(connection: Connection) -> None:
    """Add the tables to a ledger that lacks them."""
    lines = (line.split("--", 1)[0].rstrip() for line in TABLES.splitlines())
    for statement in "\n".join(lines).split(";"):
        if statement.strip():
            connection.execute(statement)


def migrate(connection: Connection) -> None:
    """Pin scans to verdicts, let records of verdicts into the outbox, and keep findings for reviews."""
    connection.execute("ALTER TABLE scans ADD COLUMN verdicts INTEGER NOT NULL DEFAULT 0")
    connection.execute("ALTER TABLE scans ADD COLUMN verdicts_head TEXT NOT NULL DEFAULT ''")
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
    for statement in (
        "CREATE TABLE outbox_5 (position INTEGER PRIMARY KEY AUTOINCREMENT,"
        " kind TEXT NOT NULL CHECK (kind IN ('finding', 'scan', 'verdict')), key TEXT NOT NULL, level TEXT NOT NULL,"
        " changed INTEGER NOT NULL, line BLOB NOT NULL) STRICT",
        "INSERT INTO outbox_5 SELECT position, kind, key, level, changed, line FROM outbox ORDER BY position",
        "DROP TABLE outbox",
        "ALTER TABLE outbox_5 RENAME TO outbox",
    ):
        connection.execute(statement)
    connection.execute("DELETE FROM sqlite_sequence WHERE name IN ('outbox', 'outbox_5')")
    if row is not None:  # also where the table is empty: no position is used twice
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?)", row)
    make_tables(connection)


def tell_situations_apart(connection: Connection) -> None:
    """Keep a row for each situation that lines of a finding are in."""
    connection.execute("DROP INDEX IF EXISTS retained_finding")
    connection.execute("CREATE UNIQUE INDEX retained_finding ON retained (host, fingerprint, situation)")


def retain(connection: Connection, scan_no: int, now: str, findings: Sequence[Reviewable]) -> None:
    """Keep findings of a scan, each once; of one that is there already the worst line of the latest scan stays."""
    (host,) = connection.execute("SELECT host FROM scans WHERE scan_no = ?", (scan_no,)).fetchone()
    connection.executemany(
        "INSERT OR IGNORE INTO situations (situation, class_id, said) VALUES (?, ?, ?)",
        {one.situation: (one.situation, one.class_id, one.said) for one in findings}.values(),
    )
    known = _known(connection, host, [one.fingerprint for one in findings])
    (row,) = connection.execute("SELECT coalesce(max(row), 0) FROM retained").fetchone()
    more: list[tuple[int, str, int]] = []
    added: list[tuple[object, ...]] = []
    again: list[tuple[object, ...]] = []
    lines: list[tuple[int, bytes]] = []
    for one in findings:
        count, keys = len(one.keys), " ".join(one.keys[:MAX_KEYS])
        before = known.get((one.fingerprint, one.situation))
        about = one.class_id, text(one.scanner), one.status, one.level, one.score
        if before is None:
            row += 1
            name = host, one.fingerprint, one.situation
            added.append((row, *name, *about, count, scan_no, one.profile, now, len(one.line), keys))
            lines.append((row, one.line))
            continue
        at, seen_in, score, counted, had = before
        if seen_in == scan_no:  # by an earlier batch
            count, keys = count + counted, f"{had} {keys}"[: MAX_KEYS * _KEY_CHARS - 1]
            if score >= one.score:
                more.append((count, keys, at))
                continue
        again.append((*about, count, scan_no, one.profile, now, len(one.line), keys, at))
        lines.append((at, one.line))
    connection.executemany("UPDATE retained SET lines = ?, keys = ? WHERE row = ?", more)
    connection.executemany(
        "INSERT INTO retained (row, host, fingerprint, situation, class_id, scanner, status, level, score, lines,"
        " scan_no, profile, at, bytes, keys) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        added,
    )
    connection.executemany(
        "UPDATE retained SET class_id = ?, scanner = ?, status = ?, level = ?, score = ?, lines = ?, scan_no = ?,"
        " profile = ?, at = ?, bytes = ?, keys = ? WHERE row = ?",
        again,
    )
    connection.executemany("INSERT OR REPLACE INTO retained_lines (row, line) VALUES (?, ?)", lines)
    words.without(connection, [at for at, _ in lines])
    # What an earlier scan saw of these findings in situations that this one does not see them in.
    seen = {(one.fingerprint, one.situation) for one in findings}
    gone = [(before[0],) for name, before in known.items() if name not in seen and before[1] < scan_no]
    forget(connection, gone)


def forget(connection: Connection, rows: Sequence[tuple[int]]) -> None:
    """Keep findings no longer, by row."""
    words.forget(connection, rows)
    connection.executemany("DELETE FROM retained_lines WHERE row = ?", rows)
    connection.executemany("DELETE FROM retained WHERE row = ?", rows)


def forget_situations(connection: Connection) -> None:
    """Keep situations no longer that no finding is in."""
    connection.execute("DELETE FROM situations WHERE situation NOT IN (SELECT situation FROM retained)")
    words.forget_situations(connection)


def _known(
    connection: Connection, host: str, fingerprints: Sequence[str]
) -> dict[tuple[str, str], tuple[int, int, int, int, str]]:
    """Give row, scan, score, lines and keys of those findings of a host that are kept, by fingerprint and situation."""
    found: dict[tuple[str, str], tuple[int, int, int, int, str]] = {}
    for start in range(0, len(fingerprints), _VARIABLES):
        chunk = fingerprints[start : start + _VARIABLES]
        marks = ",".join("?" * len(chunk))
        for name, situation, *rest in connection.execute(
            "SELECT fingerprint, situation, row, scan_no, score, lines, keys FROM retained"  # noqa: S608 - marks only
            f" WHERE host = ? AND fingerprint IN ({marks})",
            (host, *chunk),
        ):
            found[name, situation] = (rest[0], rest[1], rest[2], rest[3], rest[4])
    return found


def cover(connection: Connection, scan_no: int, host: str, profile: str) -> None:
    """Note that a finished scan looked at all that its profile covers: what it does not have is gone."""
    connection.execute(
        "INSERT OR REPLACE INTO covered (host, profile, scan_no) VALUES (?, ?, ?)", (host, profile, scan_no)
    )
