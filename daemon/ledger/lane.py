"""What the ledger of one partition of a Kafka topic keeps beside what every ledger keeps.

Positions, findings and scans go into the usual tables, with the usual rules. Here is what ties them to offsets: of each
scan that is not delivered yet, which records it is made of, so that the offset that is committed never passes one that
is still needed; what could not be used and is to be sent on; and the states of hosts (`lane_states`).

The tables belong to no version of the ledger's schema: a ledger that reads no topic has none of them.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from sqlite3 import Connection

import orjson

from daemon.ledger import lane_states
from daemon.ledger.documents import StagedDocument
from daemon.ledger.inputs import InputStore, add_input
from daemon.ledger.lane_admission import DOCUMENTS, Admission, ReadPosition, Taken, delivered_of
from daemon.ledger.lane_states import LINES
from daemon.ledger.ledger import Ledger
from daemon.ledger.quarantine import store_reject
from daemon.ports.inputs import Admitted, Input
from daemon.ports.lane import Arrival, Letter, State
from pipeline.finding import Reject
from pipeline.review.chain import Head

PARTITION = "kafka"  # kind of input
_PIN = "pin "  # begins the name of a note: the verdicts with which a scan is judged that was begun elsewhere
_ADMITTED_BYTES = 1 << 20

_TABLES = """
-- Scans that are not delivered yet, and the records that they are made of.
CREATE TABLE IF NOT EXISTS lane_scans (
  scan INTEGER PRIMARY KEY REFERENCES scans (scan) ON DELETE CASCADE,
  key BLOB NOT NULL,                              -- of the records
  first INTEGER NOT NULL,                         -- offsets
  last INTEGER NOT NULL,
  position INTEGER,                               -- of its record in the outbox, when it is done
  ready INTEGER NOT NULL DEFAULT 0,               -- its state is there, too
  context BLOB,                                   -- what its stream is read with after its end
  begins INTEGER NOT NULL DEFAULT 0               -- where in the text of its first record, or which report
) STRICT;
CREATE INDEX IF NOT EXISTS lane_scans_key ON lane_scans (key);

-- What is to be sent on, because it could not be used.
CREATE TABLE IF NOT EXISTS lane_letters (
  letter INTEGER PRIMARY KEY AUTOINCREMENT,
  offset INTEGER NOT NULL UNIQUE,
  key BLOB,
  value BLOB,
  headers BLOB NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;

-- Of a ledger that was rebuilt: records of a key before this offset are delivered, and so much of the one there: bytes
-- of lines, reports of a document.
CREATE TABLE IF NOT EXISTS lane_keys (
  key BLOB PRIMARY KEY,
  through INTEGER NOT NULL,
  within INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Up to which verdict everything was told, by the position in the outbox behind which that was so.
CREATE TABLE IF NOT EXISTS lane_told (
  seq INTEGER PRIMARY KEY,
  head TEXT NOT NULL,
  position INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS lane_notes (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""


class LaneStore:
    """The tables of one partition, beside those of its ledger. Every call is one durable transaction."""

    def __init__(self, ledger: Ledger, topic: str, partition: int) -> None:
        """Make the tables where they are not there, and keep the states of scans that are done from now on.

        Raises:
            LedgerError: when they cannot be made.
        """
        self._database = ledger.database
        self._inputs: InputStore = ledger.inputs
        self._parts = ledger.parts
        self._name = f"{topic}/{partition}"
        with self._database.write() as connection:
            for script in (_TABLES, lane_states.TABLES):
                for statement in script.split(";"):
                    if statement.strip():
                        connection.execute(statement)
            for table, column in (("lane_scans", "begins"), ("lane_keys", "within")):  # of an earlier version
                names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                if column not in names:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
            known = [one for one in self._inputs.known(PARTITION) if one.name == self._name]
            self._partition = known[0] if known else add_input(connection, PARTITION, self._name)
            self._through: dict[bytes, tuple[int, int]] = {
                key: (through, within)
                for key, through, within in connection.execute("SELECT key, through, within FROM lane_keys")
            }
            self._sources = self._known()
            self._pins: dict[str, Head] = {
                name.removeprefix(_PIN): Head(*orjson.loads(value))
                for name, value in connection.execute(
                    "SELECT name, value FROM lane_notes WHERE name GLOB ?", (f"{_PIN}*",)
                )
            }
        ledger.work.keeper = self
        ledger.reviews.teller = self

    # Reading

    def position(self) -> ReadPosition | None:
        """Say how far the partition was read; None where nothing was."""
        row = self._database.connection.execute(
            "SELECT position FROM inputs WHERE input_id = ?", (self._partition.input_id,)
        ).fetchone()
        return ReadPosition(**orjson.loads(row[0])) if row is not None and row[0] else None

    def begin_at(self, offset: int) -> None:
        """Go on reading at an offset, whatever was read before."""
        with self._database.write() as connection:
            self._store_position(connection, ReadPosition(offset))

    def restart(self, offset: int) -> None:
        """Begin with another topic of the same name: what was read of the old one is delivered whatever its offsets."""
        with self._writing() as connection:
            admission = self._admission(connection)
            for key in self.open_streams():
                admission.close(key, incomplete=True)
            connection.execute("DELETE FROM lane_keys")
            connection.execute("DELETE FROM lane_notes WHERE name IN ('letters', 'slicing')")
            connection.execute("UPDATE lane_scans SET first = ?1, last = ?1", (offset,))
            connection.execute("DELETE FROM part_sets")
            self._through = {}
            self._store_position(connection, ReadPosition(offset))

    def admit(self, arrivals: Sequence[Arrival]) -> Taken:
        """Take records of the partition, in order of their offsets; those that were taken before are passed over.

        Raises:
            LedgerError: when nothing can be stored just now; nothing was taken.
        """
        with self._writing() as connection:
            before = self.position()
            admission = self._admission(connection)
            taken = admission.take(arrivals)
            if admission.position is not None and admission.position != before:
                self._store_position(connection, admission.position)
            return taken

    def document_source(self, key: bytes) -> Input:
        """Give the input of the documents of a key."""
        with self._writing() as connection:
            return self._source(connection, DOCUMENTS, key)

    def stage(self, source: Input, arrival: Arrival) -> StagedDocument:
        """Begin to take a large document in pieces."""
        delivered = delivered_of(arrival, self._through)
        return self._inputs.stage(source, arrival.host, arrival.received, arrival.received, delivered)

    def count_staged(self, arrival: Arrival, staged: StagedDocument, source: Input, digest: str) -> Taken:
        """Let a document count that was staged, in one transaction with everything else that its record is for.

        Raises:
            LedgerError: when nothing can be stored just now; nothing of it counts.
        """
        with self._writing() as connection:
            admission = self._admission(connection)
            taken = admission.take_staged(arrival, staged, source, digest)
            assert admission.position is not None
            self._store_position(connection, admission.position)
        staged.drop()
        return taken

    def close_idle(self, key: bytes) -> Admitted:
        """End the open scan of a stream that nothing more came of."""
        with self._writing() as connection:
            admission = self._admission(connection)
            admission.close(key)
            return admission.admitted

    def note_gap(self, position: int, after: int, detail: str) -> None:
        """Go on at a later offset because what lies before it is gone: open scans end, and are never complete."""
        with self._writing() as connection:
            admission = self._admission(connection)
            for (key,) in connection.execute(
                "SELECT DISTINCT l.key FROM lane_scans l JOIN scans s ON s.scan = l.scan WHERE s.state = 'open'"
            ).fetchall():
                admission.close(key, incomplete=True)
            reject = Reject("unreadable", detail, position)
            store_reject(connection, self._partition, reject, digest=None, scan=None, now=self._inputs.now())
            self._store_position(connection, ReadPosition(after))

    def open_streams(self) -> dict[bytes, int]:
        """Give the keys whose streams have an open scan, with the offset of its latest record."""
        rows = self._database.connection.execute(
            "SELECT l.key, l.last FROM lane_scans l JOIN scans s ON s.scan = l.scan WHERE s.state = 'open'"
        )
        return dict(rows.fetchall())

    # Notes

    def note(self, name: str) -> str | None:
        """Give a note, or None where there is none."""
        row = self._database.connection.execute("SELECT value FROM lane_notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def make_note(self, name: str, value: str) -> None:
        """Keep a note."""
        with self._database.write() as connection:
            _make_note(connection, name, value)

    # Verdicts

    def told(self, connection: Connection, head: Head, position: int) -> None:
        """Note up to which verdict everything is told."""
        connection.execute(
            "INSERT OR REPLACE INTO lane_told (seq, head, position) VALUES (?, ?, ?)", (head.seq, head.hash, position)
        )

    def told_at(self, position: int) -> Head:
        """Say up to which verdict everything is told by what stands in the outbox up to a position."""
        row = self._database.connection.execute(
            "SELECT seq, head FROM lane_told WHERE position <= ? ORDER BY seq DESC LIMIT 1", (position,)
        ).fetchone()
        return Head() if row is None else Head(*row)

    def take_told(self, head: Head, position: int) -> None:
        """Take for told what was told by whoever delivered up to a position; does nothing where more is told here."""
        with self._database.write() as connection:
            (seq,) = connection.execute("SELECT seq FROM told").fetchone()
            if head.seq > seq:
                connection.execute("UPDATE told SET seq = ?, head = ?", (head.seq, head.hash))
                self.told(connection, head, position)

    def pin(self, scan_id: str, head: Head) -> None:
        """Have a scan judged, once it is closed, with the verdicts that its beginning was judged with elsewhere."""
        self._pins[scan_id] = head
        self.make_note(f"{_PIN}{scan_id}", orjson.dumps([head.seq, head.hash]).decode())

    def pinned(self, scan_id: str) -> Head:
        """Say up to which verdict a scan is judged with."""
        row = self._database.connection.execute(
            "SELECT verdicts, verdicts_head FROM scans WHERE scan_id = ? ORDER BY scan DESC LIMIT 1", (scan_id,)
        ).fetchone()
        return Head(*row) if row is not None and row[0] else Head()

    # Delivering

    def next_but_verdicts(self, after: int) -> int | None:
        """Give the position of the first row after a position that is not of a verdict; None where there is none."""
        row = self._database.connection.execute(
            "SELECT position FROM outbox WHERE position > ? AND kind <> 'verdict' ORDER BY position LIMIT 1", (after,)
        ).fetchone()
        return None if row is None else int(row[0])

    def ready(self, after: int) -> int:
        """Give the position of the latest scan record after a position that can be delivered; 0 where there is none."""
        (found,) = self._database.connection.execute(
            "SELECT max(position) FROM lane_scans WHERE position > ?1 AND position <"
            " coalesce((SELECT min(position) FROM lane_scans WHERE position > ?1 AND NOT ready), 1 << 62)",
            (after,),
        ).fetchone()
        return int(found or 0)

    def unready(self, after: int) -> int | None:
        """Give the position of the first scan record after a position that cannot be delivered yet, or None."""
        (found,) = self._database.connection.execute(
            "SELECT min(position) FROM lane_scans WHERE position > ? AND NOT ready", (after,)
        ).fetchone()
        return None if found is None else int(found)

    def states(self, after: int, through: int) -> list[State]:
        """Give the states of hosts as they are with the scans between two positions; the last one of each key."""
        return lane_states.due(self._database.connection, after, through)

    def letters(self, limit: int, most_bytes: int) -> list[Letter]:
        """Give what is to be sent on, in order."""
        found: list[Letter] = []
        size = 0
        for offset, key, value, headers, reason, detail in self._database.connection.execute(
            "SELECT offset, key, value, headers, reason, detail FROM lane_letters ORDER BY letter LIMIT ?", (limit,)
        ):
            named = tuple((name, text.encode("latin-1")) for name, text in orjson.loads(headers))
            found.append(Letter(offset, key, value, named, reason, detail))
            size += len(value or b"")
            if size >= most_bytes:
                break
        return found

    def needed(self, through: int) -> int | None:
        """Give the lowest offset that is needed once everything up to a position is delivered; None before any."""
        position = self.position()
        if position is None:
            return None
        (first,) = self._database.connection.execute(
            "SELECT min(first) FROM lane_scans WHERE position IS NULL OR position > ?", (through,)
        ).fetchone()
        of_parts = self._parts.parts_from(DOCUMENTS)
        return min((position.next, *(int(one) for one in (first, of_parts) if one is not None)))

    def delivered(self, sink: str, through: int, letters: int, mark: str) -> None:
        """Note that a transaction is committed: rows up to a position, letters up to an offset, and its mark."""
        with self._database.write() as connection:
            connection.execute("UPDATE sinks SET delivered = max(delivered, ?) WHERE name = ?", (through, sink))
            connection.execute("DELETE FROM lane_scans WHERE position <= ?", (through,))
            connection.execute("DELETE FROM lane_letters WHERE offset <= ?", (letters,))
            connection.execute(
                "DELETE FROM lane_told WHERE seq < (SELECT max(seq) FROM lane_told WHERE position <= ?)", (through,)
            )
            lane_states.forget(connection, through)
            # A ledger from a backup reads some records again, and must not send on again what it then refuses.
            _make_note(connection, "letters", str(letters))
            _make_note(connection, "mark", mark)

    # Being told by the ledger

    def done(self, connection: Connection, scan: int, position: int) -> None:
        """Note where the record of a scan is in the outbox."""
        connection.execute("UPDATE lane_scans SET position = ? WHERE scan = ?", (position, scan))

    def settled(self, connection: Connection, scan: int) -> bool:
        """Keep the next piece of the state of the scan's host; returns whether all of it is kept."""
        if not lane_states.keep(connection, scan):
            return False
        connection.execute("UPDATE lane_scans SET ready = 1 WHERE scan = ?", (scan,))
        return True

    # Within a transaction

    def _admission(self, connection: Connection) -> Admission:
        return Admission(connection, self._inputs, self._parts, self._source, self._through, self.position())

    def _source(self, connection: Connection, kind: str, key: bytes) -> Input:
        name = f"{self._name}/{os.fsdecode(key)}"
        source = self._sources.get((kind, name))
        if source is None:
            source = self._sources[kind, name] = add_input(connection, kind, name)
        return source

    def _store_position(self, connection: Connection, position: ReadPosition) -> None:
        said = {"next": position.next, "last": position.last, "digest": position.digest}
        if position.within:
            said["within"] = position.within
        text = orjson.dumps(said).decode()
        connection.execute("UPDATE inputs SET position = ? WHERE input_id = ?", (text, self._partition.input_id))

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Begin a transaction of records."""
        with self._inputs.mended():
            try:
                with self._database.write(more=_ADMITTED_BYTES) as connection:
                    yield connection
                    for scan_id, head in self._pins.items():
                        connection.execute(
                            "UPDATE scans SET verdicts = ?, verdicts_head = ? WHERE scan_id = ? AND state = 'closed'",
                            (head.seq, head.hash, scan_id),
                        )
            except BaseException:  # inputs that it added are not there
                self._sources = self._known()
                raise

    def _known(self) -> dict[tuple[str, str], Input]:
        return {(one.kind, one.name): one for kind in (LINES, DOCUMENTS) for one in self._inputs.known(kind)}


def _make_note(connection: Connection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO lane_notes (name, value) VALUES (?, ?)", (name, value))
