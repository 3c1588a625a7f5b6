"""The tables of the ledger, and how an older ledger becomes a newer one."""

from collections.abc import Callable, Mapping
from sqlite3 import Connection

from daemon.ledger import given_up, migrations, part_sets, reviewing, settling, staging, words
from pipeline.errors import UnknownSchema

SCHEMA_VERSION = 9
APPLICATION_ID = 0x53534C47  # "SSLG", in the file's header, so that a stranger's database is not taken for ours

# Names (paths) are bytes as the file system has them. `scan` is the row of a scan from its first line on; `scan_no` is
# its place in the order of closing. Rows of finished scans and of places stay for ever, everything else goes.
TABLES = """
CREATE TABLE inputs (
  input_id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL DEFAULT '',                  -- of the source that reads it
  name BLOB NOT NULL,
  position TEXT NOT NULL DEFAULT '',              -- in words that only the source reads
  host_key TEXT,                                  -- the host that the place of the input stands for
  reread INTEGER NOT NULL DEFAULT 0,              -- somebody asked for it to be read again
  context BLOB,                                   -- header lines of the stream's latest scan
  open_scan INTEGER REFERENCES scans (scan)
) STRICT;

-- The directory source's own: what tells files apart, whatever they are called.
CREATE TABLE files (
  input_id INTEGER PRIMARY KEY REFERENCES inputs (input_id) ON DELETE CASCADE,
  device INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  birth_ns INTEGER,
  kind TEXT NOT NULL CHECK (kind IN ('document', 'stream'))
) STRICT;

CREATE TABLE scans (
  scan INTEGER PRIMARY KEY AUTOINCREMENT,
  scan_no INTEGER UNIQUE,
  state TEXT NOT NULL CHECK (state IN ('open', 'closed', 'done')),
  input_id INTEGER REFERENCES inputs (input_id) ON DELETE SET NULL,
  source BLOB NOT NULL,
  scan_id TEXT UNIQUE,
  host TEXT,
  host_source TEXT CHECK (host_source IN ('report', 'option', 'key', 'unknown')),
  header_hash TEXT,                               -- of a stream's header lines; NULL for JSON and SARIF
  n INTEGER,                                      -- which scan with this host and header (report, NULL for 0), from 0
  content_hash TEXT,                              -- JSON, SARIF: of the report; NDJSON: of the findings
  header BLOB,                                    -- until the scan is done
  emitted INTEGER,
  findings INTEGER NOT NULL DEFAULT 0,
  rejected INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,               -- of its findings, as `codec.weight` counts them
  attempt INTEGER NOT NULL DEFAULT 0,             -- how often a process ended over it, and nothing was done since
  aside TEXT,                                     -- why it is not worked on, until a person says so
  complete INTEGER NOT NULL DEFAULT 0,
  continued INTEGER NOT NULL DEFAULT 0,           -- goes on after the end of another scan of its input
  opened_at TEXT NOT NULL,                        -- pinned ingest time
  as_of TEXT,
  batch_size INTEGER,                             -- set when the batches are committed
  profile TEXT,
  record BLOB,                                    -- of the latest scans of a host and profile
  finished_at TEXT,
  verdicts INTEGER NOT NULL DEFAULT 0,            -- up to which verdict it is judged with, pinned when it is closed
  verdicts_head TEXT NOT NULL DEFAULT '',         -- the hash of their log there
  CHECK ((state = 'open') = (scan_no IS NULL)),
  CHECK (state = 'open' OR (scan_id IS NOT NULL AND host IS NOT NULL AND host_source IS NOT NULL
         AND as_of IS NOT NULL AND content_hash IS NOT NULL))
) STRICT;
CREATE INDEX scans_waiting ON scans (scan_no) WHERE state = 'closed';
CREATE INDEX scans_undone ON scans (scan) WHERE state <> 'done';
CREATE INDEX scans_header ON scans (host, header_hash, n) WHERE header_hash IS NOT NULL;
CREATE INDEX scans_input ON scans (input_id);
CREATE INDEX scans_host ON scans (host, profile, scan_no);

-- Which scans without times the present content of an input has shown so far, in order: one that shows a scan twice
-- holds two.
CREATE TABLE claims (
  claim INTEGER PRIMARY KEY,
  input_id INTEGER NOT NULL REFERENCES inputs (input_id) ON DELETE CASCADE,
  scan INTEGER NOT NULL REFERENCES scans (scan),
  UNIQUE (input_id, scan)
) STRICT;
CREATE INDEX claims_scan ON claims (scan);

-- What was shown under a name, whatever input bore it; see `daemon.ledger.places`.
CREATE TABLE places (
  kind TEXT NOT NULL,
  name BLOB NOT NULL,
  owner INTEGER NOT NULL,                         -- the input that showed something here last
  before TEXT NOT NULL,                           -- scans of the content in front of the present one: a JSON list
  base TEXT NOT NULL,                             -- host to its latest scan_no from before the present content: JSON
  marks TEXT NOT NULL,                            -- host to its latest scan_no that was shown here: JSON
  PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
  scan INTEGER NOT NULL REFERENCES scans (scan),
  seq INTEGER NOT NULL,
  finding BLOB NOT NULL,
  PRIMARY KEY (scan, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE batches (
  batch_id INTEGER PRIMARY KEY AUTOINCREMENT,
  scan INTEGER NOT NULL REFERENCES scans (scan),
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  attempt INTEGER NOT NULL DEFAULT 0,
  done INTEGER NOT NULL DEFAULT 0,
  UNIQUE (scan, first),
  CHECK (first < last)
) STRICT;

-- Keys of the findings of scans in work: the last guard against emitting one twice.
CREATE TABLE keys (
  scan INTEGER NOT NULL REFERENCES scans (scan),
  key TEXT NOT NULL,
  PRIMARY KEY (scan, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL CHECK (kind IN ('finding', 'scan', 'verdict')),
  key TEXT NOT NULL,
  level TEXT NOT NULL,
  changed INTEGER NOT NULL,
  line BLOB NOT NULL
) STRICT;

CREATE TABLE sinks (
  name TEXT PRIMARY KEY,
  delivered INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE baseline (
  host TEXT NOT NULL,
  profile TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  class_id TEXT NOT NULL,
  status TEXT NOT NULL,
  content TEXT NOT NULL,
  first_seen_at TEXT NOT NULL,
  last_scan_no INTEGER NOT NULL,
  count INTEGER NOT NULL,
  label TEXT NOT NULL,
  PRIMARY KEY (host, profile, fingerprint)
) STRICT, WITHOUT ROWID;

CREATE TABLE analyses (
  row INTEGER PRIMARY KEY AUTOINCREMENT,          -- age, for the bound
  key TEXT NOT NULL UNIQUE,
  value BLOB NOT NULL
) STRICT;

CREATE TABLE quarantine (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL UNIQUE,                       -- the same bad piece met again is the same row
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  input_id INTEGER REFERENCES inputs (input_id) ON DELETE SET NULL,
  source BLOB NOT NULL,
  digest TEXT,
  offset INTEGER,
  path TEXT,
  excerpt BLOB NOT NULL,
  scan INTEGER REFERENCES scans (scan) ON DELETE SET NULL,
  at TEXT NOT NULL,
  last_at TEXT NOT NULL,
  seen INTEGER NOT NULL DEFAULT 1,
  state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'retried', 'dismissed'))
) STRICT;
CREATE INDEX quarantine_input ON quarantine (input_id);
CREATE INDEX quarantine_scan ON quarantine (scan);
CREATE INDEX quarantine_state ON quarantine (state, reason);

CREATE TABLE counters (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""


# From the version in the key to the next one; each runs inside the transaction that raises the version.
def _to_8(connection: Connection) -> None:
    given_up.make_table(connection)
    reviewing.tell_situations_apart(connection)


MIGRATIONS: Mapping[int, Callable[[Connection], None]] = {
    1: settling.make_tables,
    2: migrations.to_3,
    3: migrations.to_4,
    4: staging.make_table,
    5: part_sets.make_tables,
    6: reviewing.migrate,
    7: _to_8,
    8: words.make_tables,
}


def create(connection: Connection) -> None:
    for statement in _statements(TABLES):
        connection.execute(statement)
    settling.make_tables(connection)
    part_sets.make_tables(connection)
    staging.make_table(connection)
    reviewing.make_tables(connection)
    words.make_tables(connection)
    given_up.make_table(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def migrate(connection: Connection, version: int, migrations: Mapping[int, Callable[[Connection], None]]) -> None:
    """Bring the tables from `version` to the present one; the caller holds the transaction.

    Raises:
        UnknownSchema: when there is no way from so old a version.
    """
    for step in range(version, SCHEMA_VERSION):
        if step not in migrations:
            raise UnknownSchema(f"schema {step} is too old for this version; migrate with an earlier version first")
        migrations[step](connection)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _statements(script: str) -> list[str]:
    lines = (line.split("--", 1)[0].rstrip() for line in script.splitlines())
    return [statement for statement in "\n".join(lines).split(";") if statement.strip()]
