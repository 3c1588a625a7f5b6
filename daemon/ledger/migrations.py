"""How the tables of an older version become those of the next one; each step runs inside one transaction."""

import json
from sqlite3 import Connection

_STANDARD_INPUT = b"-"


def to_3(connection: Connection) -> None:
    """Part inputs from files, and remember what was shown under each name.

    What version 0.1 kept of the bytes it had read goes into the position as it is (`samples`); the directory source
    replaces it when it next reads the file.
    """
    for statement in (
        "ALTER TABLE files RENAME TO inputs",
        "ALTER TABLE inputs RENAME COLUMN file_id TO input_id",
        "ALTER TABLE inputs RENAME COLUMN path TO name",
        "ALTER TABLE inputs RENAME COLUMN kind TO file_kind",
        "ALTER TABLE inputs ADD COLUMN kind TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE inputs ADD COLUMN position TEXT NOT NULL DEFAULT ''",
        "CREATE TABLE files (input_id INTEGER PRIMARY KEY REFERENCES inputs (input_id) ON DELETE CASCADE,"
        " device INTEGER NOT NULL, inode INTEGER NOT NULL, birth_ns INTEGER,"
        " kind TEXT NOT NULL CHECK (kind IN ('document', 'stream'))) STRICT",
    ):
        connection.execute(statement)
    connection.execute(
        "UPDATE inputs SET kind = CASE WHEN name = ? THEN 'stdin' ELSE 'directory' END", (_STANDARD_INPUT,)
    )
    connection.execute(
        "INSERT INTO files SELECT input_id, device, inode, birth_ns, file_kind FROM inputs WHERE kind = 'directory'"
    )
    rows = connection.execute(
        "SELECT input_id, file_kind, offset, tail_digest, head_length, head_digest, digest FROM inputs"
    ).fetchall()
    for input_id, kind, offset, tail_digest, head_length, head_digest, digest in rows:
        said = {} if digest is None else {"digest": digest}
        if kind == "stream" and offset:
            said["samples"] = [offset, head_length, head_digest, tail_digest]
        text = json.dumps(said, separators=(",", ":"))
        connection.execute("UPDATE inputs SET position = ? WHERE input_id = ?", (text, input_id))
    for column in (
        *("device", "inode", "birth_ns", "head_length", "head_digest", "file_kind"),
        *("offset", "tail_digest", "digest"),
    ):
        connection.execute(f"ALTER TABLE inputs DROP COLUMN {column}")
    for statement in (
        "ALTER TABLE scans RENAME COLUMN file_id TO input_id",
        "DROP INDEX scans_file",
        "CREATE INDEX scans_input ON scans (input_id)",
        "ALTER TABLE quarantine RENAME COLUMN file_id TO input_id",
        "DROP INDEX quarantine_file",
        "CREATE INDEX quarantine_input ON quarantine (input_id)",
        "CREATE TABLE claims_2 (claim INTEGER PRIMARY KEY,"
        " input_id INTEGER NOT NULL REFERENCES inputs (input_id) ON DELETE CASCADE,"
        " scan INTEGER NOT NULL REFERENCES scans (scan), UNIQUE (input_id, scan)) STRICT",
        "INSERT INTO claims_2 (input_id, scan) SELECT file_id, scan FROM claims ORDER BY file_id, scan",
        "DROP TABLE claims",
        "ALTER TABLE claims_2 RENAME TO claims",
        "CREATE INDEX claims_scan ON claims (scan)",
        "CREATE TABLE places (kind TEXT NOT NULL, name BLOB NOT NULL, owner INTEGER NOT NULL, before TEXT NOT NULL,"
        " base TEXT NOT NULL, marks TEXT NOT NULL, PRIMARY KEY (kind, name)) STRICT, WITHOUT ROWID",
    ):
        connection.execute(statement)
    _fill_places(connection)


def to_4(connection: Connection) -> None:
    """Count what the findings of a scan take, and how often a process ended over it."""
    for statement in (
        "ALTER TABLE scans ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE scans ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE scans ADD COLUMN aside TEXT",
        "UPDATE scans SET bytes = (SELECT coalesce(sum(length(finding)), 0) FROM inbox WHERE inbox.scan = scans.scan)"
        " WHERE state <> 'done'",
    ):
        connection.execute(statement)


def _fill_places(connection: Connection) -> None:
    marks: dict[bytes, dict[str, int]] = {}
    for source, host, number in connection.execute(
        "SELECT source, host, max(scan_no) FROM scans WHERE scan_no IS NOT NULL GROUP BY source, host"
    ).fetchall():
        marks.setdefault(source, {})[host] = number
    for name, hosts in marks.items():
        (owner,) = connection.execute(
            "SELECT coalesce(max(input_id), 0) FROM inputs WHERE name = ?", (name,)
        ).fetchone()
        connection.execute(
            "INSERT INTO places (kind, name, owner, before, base, marks) VALUES (?, ?, ?, '[]', '{}', ?)",
            ("stdin" if name == _STANDARD_INPUT else "directory", name, owner, json.dumps(hosts)),
        )
