"""Reports that come in several messages, kept until they are whole.

A set is named by what the parts say they are, put together: so parts of two reports cannot be mixed up, the order in
which they come does not matter, and what was put together is either that report or refused. The last part is not
stored: the report is admitted with the transaction that moves the position behind it, and the parts go with that one.

Whoever may write under a host's key can hinder that host's reports, as they could forge them. What this takes from
others is bounded: the bytes of one set, those of all sets, and for how long one waits. Where all of them together take
too much, the host that takes the most gives up its oldest.
"""

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from sqlite3 import Connection

from daemon.ledger import codec
from daemon.ledger.database import Database
from daemon.ledger.quarantine import store_reject
from daemon.ledger.store import Clock, Store
from daemon.ports.inputs import Input
from daemon.ports.parts import Expired, PartTaken, ReportPart
from pipeline.errors import LedgerError, QuarantineReason
from pipeline.finding import EXCERPT_BYTES, Reject

MAX_BYTES = 32 << 20  # of one report, where nobody says otherwise
SETS_OF_FULL_SIZE = 4  # may be kept at a time
MAX_SETS = 10_000
_EXPIRE_ROWS = 100


class PartStore(Store):
    """Implements `daemon.ports.parts.Parts`."""

    def __init__(self, database: Database, clock: Clock, max_bytes: int | None = None) -> None:
        """Args: `max_bytes`: of one report as it is sent."""
        super().__init__(database, clock)
        self._max_bytes = MAX_BYTES if max_bytes is None else max_bytes

    def admit_part(self, source: Input, part: ReportPart) -> PartTaken:
        """Keep a part until the others are there."""
        with self._database.write(more=len(part.data)) as connection:
            if connection.execute("SELECT 1 FROM inputs WHERE input_id = ?", (source.input_id,)).fetchone() is None:
                raise LedgerError(f"{source.name}: input {source.input_id} is not in the ledger; add it first")
            taken = self.take(connection, source, part, self._now())
            if taken.whole is None:
                connection.execute(
                    "UPDATE inputs SET position = ? WHERE input_id = ?", (source.position, source.input_id)
                )
        return taken

    def parts_from(self, kind: str) -> int | None:
        """Say from where on the parts that are kept came."""
        with self._database.read() as connection:
            first: int | None = connection.execute(
                "SELECT min(s.first) FROM part_sets s JOIN inputs i ON i.input_id = s.input_id"
                " WHERE s.state = 'open' AND i.kind = ?",
                (kind,),
            ).fetchone()[0]
        return first

    def expire_parts(self, kind: str, after_s: float) -> list[Expired]:
        """Give up reports to which no part was added for long."""
        before = datetime.fromtimestamp(self._clock() - after_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with self._database.write() as connection:
            rows = connection.execute(
                "SELECT s.part_set FROM part_sets s JOIN inputs i ON i.input_id = s.input_id"
                " WHERE s.last_at < ? AND i.kind = ? ORDER BY s.part_set LIMIT ?",
                (before, kind, _EXPIRE_ROWS),
            ).fetchall()
            found = [_give_up(connection, number, self._now(), "came in time") for (number,) in rows]
        return [expired for expired in found if expired is not None]

    def take(self, connection: Connection, source: Input, part: ReportPart, now: str) -> PartTaken:
        """Keep a part inside a transaction of the caller; `now` is when it came in."""
        number, size, state = _set_of(connection, source, part, now)
        if state == "refused":  # as a whole, before
            return PartTaken(missing=part.count)
        stored: dict[int, int] = dict(
            connection.execute("SELECT number, length(data) FROM parts WHERE part_set = ?", (number,)).fetchall()
        )
        if part.number in stored:
            (data,) = connection.execute(
                "SELECT data FROM parts WHERE part_set = ? AND number = ?", (number, part.number)
            ).fetchone()
            if data == part.data:
                return PartTaken(missing=part.count - len(stored))
            detail = f"{_name(part.report)}: part {part.number} of {part.count} came before, and was not the same"
            reject = _refuse(connection, source, part, now, "bad_part", detail)
            return PartTaken(missing=part.count - len(stored), reject=reject)
        if size + len(part.data) > self._max_bytes:
            _empty(connection, number, "refused")
            detail = (
                f"{_name(part.report)}: more than {self._max_bytes} bytes; split the report or raise limits.max_bytes"
            )
            return PartTaken(reject=_refuse(connection, source, part, now, "too_large", detail))
        if len(stored) + 1 == part.count:
            return self._join(connection, source, part, number, now)
        connection.execute(
            "INSERT INTO parts (part_set, number, data) VALUES (?, ?, ?)", (number, part.number, part.data)
        )
        connection.execute(
            "UPDATE part_sets SET bytes = bytes + ?, last_at = ? WHERE part_set = ?", (len(part.data), now, number)
        )
        self._make_room(connection, number, now)
        return PartTaken(missing=part.count - len(stored) - 1)

    def _join(self, connection: Connection, source: Input, last: ReportPart, number: int, now: str) -> PartTaken:
        pieces: list[tuple[int, bytes]] = connection.execute(
            "SELECT number, data FROM parts WHERE part_set = ?", (number,)
        ).fetchall()
        whole = b"".join(data for _, data in sorted([*pieces, (last.number, last.data)]))
        found = hashlib.sha256(whole).hexdigest()
        if found == last.report:
            return PartTaken(whole=whole, part_set=number)
        connection.execute("DELETE FROM part_sets WHERE part_set = ?", (number,))  # sent again, it may be whole
        detail = f"{_name(last.report)}: its {last.count} parts, put together, are {_name(found)}; publish it again"
        return PartTaken(reject=_refuse(connection, source, last, now, "bad_part", detail))

    def _make_room(self, connection: Connection, but: int, now: str) -> None:
        while True:
            count, size = connection.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM part_sets").fetchone()
            if size > SETS_OF_FULL_SIZE * self._max_bytes:
                who = (
                    "SELECT input_id, host FROM part_sets WHERE part_set <> ?1 GROUP BY input_id, host"
                    " ORDER BY sum(bytes) DESC, min(part_set) LIMIT 1"
                )
                query = f"SELECT part_set FROM part_sets WHERE (input_id, host) = ({who}) AND bytes > 0"  # noqa: S608
            elif count > MAX_SETS:
                query = "SELECT part_set FROM part_sets WHERE true"
            else:
                return
            (oldest,) = connection.execute(
                f"{query} AND part_set <> ?1 ORDER BY state = 'open', last_at, part_set LIMIT 1", (but,)
            ).fetchone()
            _give_up(connection, oldest, now, "came before too many others")


def taken(connection: Connection, part_set: int) -> None:
    """Note, inside the transaction of an admission, that what a set made was admitted."""
    row = connection.execute("SELECT input_id, host, report FROM part_sets WHERE part_set = ?", (part_set,)).fetchone()
    if row is None:
        return
    # Cut in another way, the same report may have come in part, too.
    query = "SELECT part_set FROM part_sets WHERE (input_id, host, report) = (?, ?, ?) AND state = 'open'"
    for (number,) in connection.execute(query, row).fetchall():
        _empty(connection, number, "taken")


def abandon(connection: Connection, input_id: int, now: str) -> None:
    """Give up all sets of an input that is dropped."""
    for (number,) in connection.execute("SELECT part_set FROM part_sets WHERE input_id = ?", (input_id,)).fetchall():
        _give_up(connection, number, now, "came before their input was given up")


def _set_of(connection: Connection, source: Input, part: ReportPart, now: str) -> tuple[int, int, str]:
    """Give number, bytes and state of the set that a part belongs to; where there is none, or it is over, it begins."""
    host = codec.text(part.host or "")
    of = (source.input_id, host, part.report)
    row = connection.execute(
        "SELECT part_set, bytes, state FROM part_sets WHERE (input_id, host, report) = (?, ?, ?) AND count = ?",
        (*of, part.count),
    ).fetchone()
    if row is not None and row[2] != "taken":
        number, size, state = row
        return number, size, state
    if row is not None:  # a part that came twice, or the report is sent once more
        connection.execute(
            "UPDATE part_sets SET state = 'open', again = 1, first = ?, last_at = ? WHERE part_set = ?",
            (part.at, now, row[0]),
        )
        return row[0], 0, "open"
    known = "SELECT 1 FROM part_sets WHERE (input_id, host, report) = (?, ?, ?) AND (again OR state = 'taken')"
    again = connection.execute(known, of).fetchone() is not None
    number = connection.execute(
        "INSERT INTO part_sets (input_id, host, report, count, first, again, last_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*of, part.count, part.at, again, now),
    ).lastrowid
    assert number is not None
    return number, 0, "open"


def _give_up(connection: Connection, number: int, now: str, how: str) -> Expired | None:
    """Delete a set; what was whole before loses nothing, anything else is named in the quarantine."""
    row = connection.execute(
        "SELECT i.input_id, i.kind, i.name, i.position, s.host, s.report, s.count, s.first,"
        " s.state = 'open' AND NOT s.again FROM part_sets s JOIN inputs i ON i.input_id = s.input_id"
        " WHERE s.part_set = ?",
        (number,),
    ).fetchone()
    input_id, kind, name, position, host, report, count, first, lost = row
    source = Input(input_id, kind, os.fsdecode(name), position)
    there = connection.execute(
        "SELECT number, substr(data, 1, ?) FROM parts WHERE part_set = ? ORDER BY number", (EXCERPT_BYTES, number)
    ).fetchall()
    connection.execute("DELETE FROM part_sets WHERE part_set = ?", (number,))
    if not lost or not there:
        return None
    numbers = _ranges([one for one, _ in there])
    of = f" of {host}" if host else ""
    detail = f"{_name(report)}{of}: of {count} parts only {numbers} {how}; publish it again"
    reject = Reject("parts_missing", detail, first, excerpt=there[0][1])
    store_reject(connection, source, reject, digest=report, scan=None, now=now)
    return Expired(source, host or None, report, reject)


def _refuse(
    connection: Connection, source: Input, part: ReportPart, now: str, reason: QuarantineReason, detail: str
) -> Reject:
    reject = Reject(reason, detail, part.at, excerpt=part.data[:EXCERPT_BYTES])
    store_reject(connection, source, reject, digest=part.report, scan=None, now=now)
    return reject


def _empty(connection: Connection, number: int, state: str) -> None:
    connection.execute("DELETE FROM parts WHERE part_set = ?", (number,))
    connection.execute("UPDATE part_sets SET state = ?, bytes = 0 WHERE part_set = ?", (state, number))


def _name(report: str) -> str:
    return f"report {report[:12]}"


def _ranges(numbers: Sequence[int]) -> str:
    """Write sorted numbers as people do: ``1-3, 5``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:20]]
    return ", ".join(shown) + (", …" if len(runs) > 20 else "")
