"""States of hosts: what it takes to go on with a partition where its ledger is not.

With every scan that is done goes what the next one of its host is compared with, as it was right after that scan: by
the time it is delivered the ledger may be further. Their topic is compacted: of each key the latest counts.

    ["host", KEY]                      through: records of the key before this offset are delivered, and of the one
                                       there the first bytes of its text, or reports of its document (within);
                                       history: the latest scans, by which a redelivery is known; pieces: how many of
                                       each profile there are
    ["baseline", HOST, PROFILE, N]     a piece of the baseline, from the N-th thousand rows on

Values are JSON, compressed with zlib: a client checks the size of a record before its own compression.
"""

import base64
import os
import zlib
from collections.abc import Mapping, Sequence
from sqlite3 import Connection
from typing import Any

import orjson

from daemon.ports.lane import State

LINES = "kafka-lines"  # kind of the inputs that are streams
HISTORY = 128  # scans of a key by which a redelivery is known in a ledger that was rebuilt
PIECE_ROWS = 4_000  # of a baseline in one record: 100 kB
_LABEL_BYTES = 400_000  # in one record: a host may make up labels that cannot be packed, and a record has a limit
_CONTEXT_BYTES = 64 << 10  # header lines beyond this are not carried along; findings after them begin a scan anew

TABLES = """
CREATE TABLE IF NOT EXISTS lane_states (
  row INTEGER PRIMARY KEY AUTOINCREMENT,
  scan INTEGER NOT NULL,
  position INTEGER NOT NULL,                      -- of the scan's record in the outbox
  key TEXT NOT NULL,
  value BLOB,
  upto TEXT                                       -- the last fingerprint in it
) STRICT;
CREATE INDEX IF NOT EXISTS lane_states_position ON lane_states (position);
CREATE INDEX IF NOT EXISTS lane_inputs_name ON inputs (name);

-- How many pieces of a baseline have been written.
CREATE TABLE IF NOT EXISTS lane_profiles (
  host TEXT NOT NULL,
  profile TEXT NOT NULL,
  pieces INTEGER NOT NULL,
  PRIMARY KEY (host, profile)
) STRICT, WITHOUT ROWID;
"""

# The set of parts whose report is being taken in slices, and how many bytes of it are.
_SLICING = (
    "SELECT json_extract(n.value, '$[0]') AS part_set, json_extract(q.position, '$.within') AS within"
    " FROM lane_notes n, inputs q WHERE n.name = 'slicing' AND q.kind = 'kafka' AND q.position <> ''"
    " AND json_extract(q.position, '$.within') > 0"
    " AND json_extract(q.position, '$.next') = json_extract(n.value, '$[1]')"
)

_BASELINE = "fingerprint, class_id, status, content, first_seen_at, last_scan_no, count, label"


def keep(connection: Connection, scan: int) -> bool:
    """Store the next piece of the state after a scan; returns whether all of it is stored."""
    row = connection.execute(
        "SELECT s.host, s.profile, s.host_source, s.scan_no, l.position, l.key, l.last, l.context FROM scans s"
        " JOIN lane_scans l ON l.scan = s.scan WHERE s.scan = ?",
        (scan,),
    ).fetchone()
    if row is None:
        return True
    host, profile, host_source, scan_no, position, key, last, context = row
    if profile and host_source != "unknown" and not _keep_baseline(connection, scan, position, host, profile):
        return False
    through, within = _first_of_later(connection, key, scan_no, last)
    _put(connection, scan, position, ["host", key.decode("utf-8", "backslashreplace")], {
        "through": through,
        **({"within": within} if within else {}),
        "history": _history(connection, scan, scan_no),
        "pieces": [] if host_source == "unknown" else _pieces(connection, host, scan, position),
        "context": base64.b64encode(context).decode() if context and len(context) <= _CONTEXT_BYTES else None,
    })  # fmt: skip
    return True


def note_slicing(connection: Connection, part_set: int, offset: int) -> None:
    """Note of which set the report is that is taken in slices, in place of the record at an offset."""
    connection.execute(
        "INSERT OR REPLACE INTO lane_notes (name, value) VALUES ('slicing', json_array(?, ?))", (part_set, offset)
    )


def due(connection: Connection, after: int, through: int) -> list[State]:
    """Give the states of the scans whose records are between two positions, the latest of each key."""
    latest: dict[str, bytes | None] = {}
    for key, value in connection.execute(
        "SELECT key, value FROM lane_states WHERE position > ? AND position <= ? ORDER BY row", (after, through)
    ):
        latest.pop(key, None)
        latest[key] = value
    return [State(key, value) for key, value in latest.items()]


def forget(connection: Connection, through: int) -> None:
    """Drop the states that are delivered."""
    connection.execute("DELETE FROM lane_states WHERE position <= ?", (through,))


def load(connection: Connection, states: Mapping[str, bytes], topic: str, partition: int) -> int:
    """Fill an empty ledger from the latest states of a partition; returns how many hosts there are.

    Args:
        states: by key.

    Raises:
        ValueError: when a state is none of ours.
    """
    said = {key: _open(value) for key, value in states.items() if key.startswith('["host",')}
    history = sorted(
        ((tuple(row), key) for key, state in said.items() for row in state["history"]), key=lambda one: one[0][0]
    )
    inputs: dict[tuple[str, str], int] = {}

    def input_of(kind: str, key: str) -> int:
        if (kind, key) not in inputs:
            name = os.fsencode(f"{topic}/{partition}/{key}")
            added = connection.execute("INSERT INTO inputs (kind, name) VALUES (?, ?)", (kind, name)).lastrowid
            assert added is not None
            inputs[kind, key] = added
        return inputs[kind, key]

    latest: dict[int, tuple[int, str]] = {}  # of each input: its scan, and its kind
    marks: dict[int, dict[str, int]] = {}
    for (scan_no, scan_id, host, header_hash, n, content, as_of, profile, kind), name in history:
        key = orjson.loads(name)[1]
        owner = input_of(kind, key)
        scan = connection.execute(
            "INSERT INTO scans (scan_no, state, input_id, source, scan_id, host, host_source, header_hash, n,"
            " content_hash, emitted, opened_at, as_of, profile, finished_at)"
            " VALUES (?, 'done', ?, ?, ?, ?, 'key', ?, ?, ?, 0, ?, ?, ?, ?)",
            (scan_no, owner, os.fsencode(f"{topic}/{partition}/{key}"), scan_id, host, header_hash, n, content, as_of,
             as_of, profile, as_of),
        ).lastrowid  # fmt: skip
        assert scan is not None
        latest[owner] = (scan, kind)
        if kind == LINES:  # one content, which has shown all of them; a document is a content of its own
            connection.execute("INSERT INTO claims (input_id, scan) VALUES (?, ?)", (owner, scan))
        marks.setdefault(owner, {})[host] = scan_no
    for owner, (scan, kind) in latest.items():
        (name,) = connection.execute("SELECT name FROM inputs WHERE input_id = ?", (owner,)).fetchone()
        if kind != LINES:
            connection.execute("INSERT INTO claims (input_id, scan) VALUES (?, ?)", (owner, scan))
        connection.execute(
            "INSERT INTO places (kind, name, owner, before, base, marks) VALUES (?, ?, ?, '[]', '{}', ?)",
            (kind, name, owner, orjson.dumps(marks[owner]).decode()),
        )
    for name, state in said.items():
        key = orjson.loads(name)[1]
        connection.execute(
            "INSERT INTO lane_keys (key, through, within) VALUES (?, ?, ?)",
            (key.encode(), int(state["through"]), int(state.get("within", 0))),
        )
        if state["context"]:
            connection.execute(
                "UPDATE inputs SET context = ? WHERE input_id = ?",
                (base64.b64decode(state["context"]), input_of(LINES, key)),
            )
        for host, profile, pieces in state["pieces"]:
            _load_baseline(connection, states, host, profile, pieces)
    connection.execute(
        "INSERT OR REPLACE INTO counters (name, value) SELECT 'rebuilt', coalesce(max(scan_no), 0) FROM scans"
    )
    return len(said)


def _load_baseline(connection: Connection, states: Mapping[str, bytes], host: str, profile: str, pieces: int) -> None:
    for number in range(pieces):
        value = states.get(_key(["baseline", host, profile, number]))
        if value is None:
            raise ValueError(f"piece {number} of {pieces} of the baseline of {host} is missing")
        connection.executemany(
            f"INSERT OR REPLACE INTO baseline (host, profile, {_BASELINE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            ((host, profile, *row) for row in _open(value)["rows"]),
        )
    connection.execute(
        "INSERT OR REPLACE INTO lane_profiles (host, profile, pieces) VALUES (?, ?, ?)", (host, profile, pieces)
    )


def _keep_baseline(connection: Connection, scan: int, position: int, host: str, profile: str) -> bool:
    """Store the next piece of a baseline; returns whether it was the last one."""
    number, upto = connection.execute(
        "SELECT count(*), coalesce(max(upto), '') FROM lane_states WHERE scan = ? AND upto IS NOT NULL", (scan,)
    ).fetchone()
    rows = connection.execute(
        f"SELECT {_BASELINE} FROM baseline WHERE host = ? AND profile = ? AND fingerprint > ? ORDER BY fingerprint"  # noqa: S608
        " LIMIT ?",
        (host, profile, upto, PIECE_ROWS),
    ).fetchall()
    whole = len(rows) < PIECE_ROWS
    size = 0
    for at, row in enumerate(rows):
        size += len(row[-1].encode())
        if size > _LABEL_BYTES and at:
            rows, whole = rows[:at], False
            break
    if rows or not number:
        _put(connection, scan, position, ["baseline", host, profile, number], {"rows": rows},
             rows[-1][0] if rows else "")  # fmt: skip
        number += 1
    if not whole:
        return False
    connection.execute(
        "INSERT OR REPLACE INTO lane_profiles (host, profile, pieces) VALUES (?, ?, ?)", (host, profile, number)
    )
    return True


def _first_of_later(connection: Connection, key: bytes, scan_no: int, last: int) -> tuple[int, int]:
    """Give what a scan of the key needs first that is not delivered with this one or before it: the offset of a record,
    and from which byte of its text, or which report of its document, on."""
    found = [(last + 1, 0)]
    found += connection.execute(
        "SELECT l.first, l.begins FROM lane_scans l JOIN scans s ON s.scan = l.scan WHERE l.key = ?"
        " AND (s.scan_no IS NULL OR s.scan_no > ?) ORDER BY l.first, l.begins LIMIT 1",
        (key, scan_no),
    ).fetchall()
    # Parts that wait: all of them are needed, but for what is taken of a report that is whole by now.
    found += connection.execute(
        "SELECT p.first, iif(n.part_set IS NULL, 0, n.within) FROM part_sets p JOIN inputs i ON i.input_id = p.input_id"  # noqa: S608
        f" LEFT JOIN ({_SLICING}) n ON n.part_set = p.part_set"
        " WHERE p.state = 'open' AND i.name = (SELECT source FROM scans WHERE scan_no = ?) ORDER BY p.first LIMIT 1",
        (scan_no,),
    ).fetchall()
    # Of a large record only a part may be taken, and what comes of the rest has not begun.
    found += connection.execute(
        "SELECT json_extract(position, '$.next'), json_extract(position, '$.within') FROM inputs"
        " WHERE kind = 'kafka' AND position <> '' AND json_extract(position, '$.within') > 0"
    ).fetchall()
    return min(found)


def _history(connection: Connection, scan: int, scan_no: int) -> list[Sequence[Any]]:
    rows = connection.execute(
        "SELECT s.scan_no, s.scan_id, s.host, s.header_hash, s.n, s.content_hash, s.as_of, coalesce(s.profile, ''),"
        " i.kind FROM inputs i JOIN scans s ON s.input_id = i.input_id"
        " WHERE i.name = (SELECT source FROM scans WHERE scan = ?) AND s.state = 'done' AND s.scan_no <= ?"
        " ORDER BY s.scan_no DESC LIMIT ?",
        (scan, scan_no, HISTORY),
    ).fetchall()
    return [list(row) for row in reversed(rows)]


def _pieces(connection: Connection, host: str, scan: int, position: int) -> list[Sequence[Any]]:
    """List the profiles that are remembered, and delete the pieces of those that are not any more."""
    kept: list[Sequence[Any]] = []
    for profile, pieces in connection.execute(
        "SELECT profile, pieces FROM lane_profiles WHERE host = ? ORDER BY profile", (host,)
    ).fetchall():
        if connection.execute(
            "SELECT 1 FROM baseline WHERE host = ? AND profile = ? LIMIT 1", (host, profile)
        ).fetchone():
            kept.append([host, profile, pieces])
            continue
        for number in range(pieces):
            connection.execute(
                "INSERT INTO lane_states (scan, position, key, value) VALUES (?, ?, ?, NULL)",
                (scan, position, _key(["baseline", host, profile, number])),
            )
        connection.execute("DELETE FROM lane_profiles WHERE host = ? AND profile = ?", (host, profile))
    return kept


def _put(
    connection: Connection, scan: int, position: int, key: Sequence[Any], value: Any, upto: str | None = None
) -> None:
    connection.execute(
        "INSERT INTO lane_states (scan, position, key, value, upto) VALUES (?, ?, ?, ?, ?)",
        (scan, position, _key(key), zlib.compress(orjson.dumps(value), 3), upto),
    )


def _key(parts: Sequence[Any]) -> str:
    return orjson.dumps(parts).decode()


def _open(value: bytes) -> Any:
    try:
        return orjson.loads(zlib.decompress(value))
    except zlib.error as error:
        raise ValueError(f"cannot be decompressed: {error}") from error
