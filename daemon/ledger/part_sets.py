"""The tables of reports that come in several messages; see `daemon.ledger.parts`."""

from sqlite3 import Connection

TABLES = """
CREATE TABLE part_sets (
  part_set INTEGER PRIMARY KEY AUTOINCREMENT,
  input_id INTEGER NOT NULL REFERENCES inputs (input_id) ON DELETE CASCADE,
  host TEXT NOT NULL,                             -- or nothing
  report TEXT NOT NULL,                           -- sha256 of all parts, put together
  count INTEGER NOT NULL,
  bytes INTEGER NOT NULL DEFAULT 0,               -- of the parts that are there
  first INTEGER NOT NULL,                         -- where the source found the first of them
  again INTEGER NOT NULL DEFAULT 0,               -- the same report was whole once, not long ago
  state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'taken', 'refused')),
  last_at TEXT NOT NULL,
  UNIQUE (input_id, host, report, count)
) STRICT;
CREATE INDEX part_sets_age ON part_sets (last_at);

CREATE TABLE parts (
  part_set INTEGER NOT NULL REFERENCES part_sets (part_set) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (part_set, number)
) STRICT;
"""

# For `daemon.ledger.fsck`.
RULES = (
    (
        "part set {}: {} bytes counted, {} there",
        "SELECT s.part_set, s.bytes, coalesce(sum(length(p.data)), 0) FROM part_sets s LEFT JOIN parts p"
        " ON p.part_set = s.part_set GROUP BY s.part_set HAVING s.bytes <> coalesce(sum(length(p.data)), 0)",
    ),
    (
        "part set {}: is over, but has parts",
        "SELECT DISTINCT s.part_set FROM part_sets s JOIN parts p ON p.part_set = s.part_set WHERE s.state <> 'open'",
    ),
    (
        "part set {}: has part {} of {}",
        "SELECT s.part_set, p.number, s.count FROM part_sets s JOIN parts p ON p.part_set = s.part_set"
        " WHERE p.number < 1 OR p.number > s.count",
    ),
    (
        "part set {}: has all of its {} parts and was not taken",
        "SELECT s.part_set, s.count FROM part_sets s JOIN parts p ON p.part_set = s.part_set GROUP BY s.part_set"
        " HAVING count(*) >= s.count",
    ),
)


def make_tables(connection: Connection) -> None:
    """Add the tables to a ledger of an earlier schema."""
    lines = (line.split("--", 1)[0] for line in TABLES.splitlines())
    for statement in "\n".join(lines).split(";"):
        if statement.strip():
            connection.execute(statement)
