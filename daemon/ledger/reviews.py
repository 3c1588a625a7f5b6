"""The findings that are kept for reviews, as lists and commands ask for them, and what was told of verdicts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from sqlite3 import Connection
from typing import Any, Literal, Protocol

import orjson

from daemon.ledger.database import Database
from daemon.ledger.given_up import STANDS, GivenUp, given_up
from daemon.ledger.store import Clock, Store
from pipeline.errors import LedgerError
from pipeline.review.chain import Anchor, Head
from pipeline.review.verdict import Situation, decode_situation

_VARIABLES = 500

# What a later scan that looked does not have is no longer there to be reviewed.
_THERE = (
    "NOT EXISTS (SELECT 1 FROM covered c WHERE c.host = r.host AND c.profile = r.profile AND c.scan_no > r.scan_no)"
)


@dataclass(slots=True, frozen=True)
class Retained:
    """One finding that is kept, without its line."""

    row: int
    host: str
    fingerprint: str
    situation: str
    class_id: str
    scanner: str
    status: str
    level: str
    score: int
    lines: int
    scan_no: int
    at: str
    keys: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Group:
    """Findings that are kept of one situation on one host.

    Attributes:
        worst: row of the worst of them.
    """

    situation: str
    host: str
    class_id: str
    scanner: str
    status: str
    score: int
    findings: int
    lines: int
    worst: int


@dataclass(slots=True, frozen=True)
class Filter:
    """Which findings are meant; None is no condition. Patterns of `class_` may hold ``*`` and ``?``."""

    class_: str | None = None
    host: str | None = None
    level: str | None = None  # at least
    scanner: str | None = None
    statuses: tuple[str, ...] = ()

    def where(self) -> tuple[str, list[Any]]:
        """Give it as a condition on `retained r`, with its values: on what is still there."""
        parts, values = self.conditions()
        return " AND ".join([_THERE, *parts]), values

    def conditions(self) -> tuple[list[str], list[Any]]:
        """Give it as conditions on `retained r`, with their values, whether a finding is still there or not."""
        parts: list[str] = []
        values: list[Any] = []
        if self.class_ is not None:
            pattern = self.class_.replace("[", "[[]")
            parts.append("r.class_id GLOB ?")
            values.append(pattern)
        if self.host is not None:
            parts.append("r.host = ?")
            values.append(self.host)
        if self.scanner is not None:
            parts.append("r.scanner = ?")
            values.append(self.scanner)
        if self.level is not None:
            levels = _LEVELS[_LEVELS.index(self.level) :]
            parts.append(f"r.level IN ({','.join('?' * len(levels))})")
            values += levels
        if self.statuses:
            parts.append(f"r.status IN ({','.join('?' * len(self.statuses))})")
            values += self.statuses
        return parts, values


_LEVELS = ["info", "low", "medium", "high", "critical"]
_COLUMNS = (
    "r.row, r.host, r.fingerprint, r.situation, r.class_id, r.scanner, r.status, r.level, r.score, r.lines, r.scan_no,"
    " r.at, r.keys"
)


class Teller(Protocol):
    """Wants to know what was told, inside the transaction in which it was."""

    def told(self, connection: Connection, head: Head, position: int) -> None:
        """Be told that all up to `head` is told, and stands in the outbox up to a position."""


class ReviewStore(Store):
    """What is kept for reviews.

    Attributes:
        teller: who wants to know what was told, or None.
    """

    teller: Teller | None = None

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock)
        self._days = 90
        self._bytes = 256 << 20

    def keep(self, days: int, most_bytes: int) -> None:
        """Set the bounds; the oldest go first."""
        self._days, self._bytes = days, most_bytes

    # What is told

    def told(self) -> Head:
        """Say up to which verdict everything is told."""
        with self._database.read() as connection:
            seq, head = connection.execute("SELECT seq, head FROM told").fetchone()
        return Head(seq, head) if seq else Head()

    def tell(self, before: Head, head: Head, records: Sequence[tuple[str, bytes]]) -> bool:
        """Put (key, line) of verdict records into the outbox and note that all up to `head` is told, in one
        transaction; returns False where something else was told meanwhile."""
        with self._database.write() as connection:
            if self.told().seq != before.seq:
                return False
            connection.executemany(
                "INSERT INTO outbox (kind, key, level, changed, line) VALUES ('verdict', ?, 'info', 1, ?)", records
            )
            connection.execute("UPDATE told SET seq = ?, head = ?", (head.seq, head.hash))
            if self.teller is not None:
                (position,) = connection.execute(
                    "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0)"
                ).fetchone()
                self.teller.told(connection, head, position)
        return True

    def anchors(self) -> list[Anchor]:
        """List what the ledger has seen of the log: where it was told, and each scan that was judged with it.

        Without what was given up.
        """
        with self._database.read() as connection:
            scans = connection.execute(
                f"SELECT verdicts, verdicts_head, min(scan_no) FROM scans WHERE verdicts > 0 AND {STANDS}"  # noqa: S608
                " GROUP BY verdicts, verdicts_head ORDER BY verdicts"
            ).fetchall()
        told = self.told()
        found = [Anchor(Head(seq, head), f"scan {scan_no}") for seq, head, scan_no in scans]
        return [*found, Anchor(told, "the ledger")] if told.seq else found

    def given_up(self) -> list[GivenUp]:
        """List the verdicts that somebody said to go on without, in order of time."""
        with self._database.read() as connection:
            return given_up(connection)

    # What is kept

    def changes(self) -> int:
        """Give a number that is another one once somebody else has written to the ledger; nearly free."""
        with self._database.read() as connection:
            number: int = connection.execute("PRAGMA data_version").fetchone()[0]
        return number

    def names(self, column: Literal["class_id", "host", "scanner"]) -> list[str]:
        """List what stands in a column, in order."""
        with self._database.read() as connection:
            rows = connection.execute(f"SELECT DISTINCT {column} FROM retained ORDER BY 1").fetchall()  # noqa: S608
        return [row[0] for row in rows]

    def counted(self, wanted: Filter, findings: Collection[tuple[str, str, str]]) -> dict[tuple[str, str], int]:
        """Say how many of some findings, by (host, fingerprint), are in each situation of each host."""
        where, values = wanted.where()
        with self._database.read() as connection:
            _fill_left_out(connection, findings)
            rows = connection.execute(
                "SELECT r.situation, r.host, count(*) FROM temp.left_out o CROSS JOIN retained r"  # noqa: S608
                f" ON r.host = o.host AND r.fingerprint = o.fingerprint AND r.situation = o.situation"
                f" WHERE {where} GROUP BY 1, 2",
                values,
            ).fetchall()
        return {(situation, host): count for situation, host, count in rows}

    def groups(
        self, wanted: Filter, without: Collection[tuple[str, str, str]] = (), among: Collection[str] | None = None
    ) -> list[Group]:
        """Group what is kept by situation and host.

        Args:
            without: (host, fingerprint) of findings that are to be left out.
            among: only these situations, by digest; None is all.
        """
        with self._database.read() as connection:
            if among is not None:
                _fill_left_out(connection, without)
                names = sorted(among)
                chunks = [names[start : start + _VARIABLES] for start in range(0, len(names), _VARIABLES)]
                return [group for chunk in chunks for group in _grouped(connection, wanted, chunk)]
            if not without:
                return _grouped(connection, wanted)
            _fill_left_out(connection, without)
            # Only the situations that some of them are in have to be counted row by row.
            some = [
                row[0]
                for row in connection.execute(
                    "SELECT DISTINCT r.situation FROM temp.left_out o CROSS JOIN retained r"
                    " ON r.host = o.host AND r.fingerprint = o.fingerprint AND r.situation = o.situation"
                )
            ]
            touched = set(some)
            found = [group for group in _grouped(connection, wanted) if group.situation not in touched]
            for start in range(0, len(some), _VARIABLES):
                found += _grouped(connection, wanted, some[start : start + _VARIABLES])
        return found

    def situations(self, class_id: str | None = None) -> dict[str, Situation]:
        """Give the situations that are known, by digest: all, or those of a class."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT situation, said FROM situations WHERE ?1 IS NULL OR class_id = ?1", (class_id,)
            ).fetchall()
        return {name: decode_situation(orjson.loads(said)) for name, said in rows}

    def situation(self, name: str) -> Situation | None:
        """Give a situation by its digest."""
        with self._database.read() as connection:
            row = connection.execute("SELECT said FROM situations WHERE situation = ?", (name,)).fetchone()
        return None if row is None else decode_situation(orjson.loads(row[0]))

    def matching(self, prefix: str) -> list[str]:
        """Give the situations whose digest begins so."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT situation FROM situations WHERE situation >= ? AND situation < ? ORDER BY situation",
                (prefix, prefix + "g"),
            ).fetchall()
        return [row[0] for row in rows]

    def find(self, prefix: str) -> list[Retained]:
        """Give findings whose fingerprint, or the dedupe key of one of whose lines, begins so."""
        return self._rows("r.fingerprint >= ? AND r.fingerprint < ?", [prefix, prefix + "g"]) or self._rows(
            "instr(' ' || r.keys, ?) > 0", [f" {prefix}"]
        )

    def exact(self, host: str, fingerprint: str) -> list[Retained]:
        """Give the finding of a host, if it is kept."""
        return self._rows("r.host = ? AND r.fingerprint = ?", [host, fingerprint])

    def findings(self, wanted: Filter, situations: Collection[str] | None = None, limit: int = -1) -> list[Retained]:
        """Give findings, the worst first; of all situations or of some."""
        where, values = wanted.where()
        if situations is None:
            return self._rows(where, values, limit)
        found: list[Retained] = []
        names = sorted(situations)
        for start in range(0, len(names), _VARIABLES):
            chunk = names[start : start + _VARIABLES]
            marks = ",".join("?" * len(chunk))
            found += self._rows(f"{where} AND r.situation IN ({marks})", [*values, *chunk], limit)
        found.sort(key=lambda one: (-one.score, one.row))
        return found if limit < 0 else found[:limit]

    def of_scan(self, scan_no: int, after: int, limit: int) -> list[Retained]:
        """Give the next findings that a scan was the last to see, in the order of their rows, after one of these."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM retained r WHERE r.scan_no = ? AND r.row > ? ORDER BY r.row LIMIT ?",  # noqa: S608
                (scan_no, after, limit),
            )
            return [Retained(*(*row[:-1], tuple(row[-1].split()))) for row in rows]

    def kept_of(self, scan_no: int) -> tuple[int, int]:
        """Say how many findings are kept that a scan was the last to see, and for how many lines they stand."""
        with self._database.read() as connection:
            findings, lines = connection.execute(
                "SELECT count(*), coalesce(sum(lines), 0) FROM retained WHERE scan_no = ?", (scan_no,)
            ).fetchone()
        return findings, lines

    def reach(self, situations: Collection[str], host: str | None) -> tuple[int, int, frozenset[str], int | None]:
        """Say how many findings and lines are in some situations, on a host or everywhere, on which hosts, and which
        row is the worst."""
        findings = lines = 0
        hosts: set[str] = set()
        worst: tuple[int, int] | None = None
        names = sorted(situations)
        with self._database.read() as connection:
            for start in range(0, len(names), _VARIABLES):
                chunk = names[start : start + _VARIABLES]
                marks = ",".join("?" * len(chunk))
                for one, more, name, score, row in connection.execute(
                    "SELECT count(*), sum(r.lines), r.host, max(r.score), r.row FROM retained r"  # noqa: S608
                    f" WHERE r.situation IN ({marks}) AND (? IS NULL OR r.host = ?) AND {_THERE} GROUP BY r.host",
                    (*chunk, host, host),
                ):
                    findings, lines = findings + one, lines + more
                    hosts.add(name)
                    if worst is None or (score, -row) > worst:
                        worst = score, -row
        return findings, lines, frozenset(hosts), None if worst is None else -worst[1]

    def lines(self, rows: Sequence[int]) -> Mapping[int, bytes]:
        """Give the lines of findings, by row."""
        found: dict[int, bytes] = {}
        with self._database.read() as connection:
            for start in range(0, len(rows), _VARIABLES):
                chunk = rows[start : start + _VARIABLES]
                marks = ",".join("?" * len(chunk))
                query = f"SELECT row, line FROM retained_lines WHERE row IN ({marks})"  # noqa: S608
                found.update(connection.execute(query, list(chunk)).fetchall())
        return found

    def line(self, row: int) -> bytes:
        """Give the line of a finding.

        Raises:
            LedgerError: if it is not there.
        """
        found = self.lines([row]).get(row)
        if found is None:
            raise LedgerError(f"the line of finding {row} is not kept any more")
        return found

    def prune(self, limit: int) -> int:
        """Delete at most `limit` findings that are too old or too many; returns how many."""
        before = datetime.fromtimestamp(self._clock(), UTC) - timedelta(days=self._days)
        with self._database.read() as connection:
            total, oldest = connection.execute("SELECT coalesce(sum(bytes), 0), min(at) FROM retained").fetchone()
            cutoff = before.strftime("%Y-%m-%dT%H:%M:%SZ")
            if oldest is None or (total <= self._bytes and oldest >= cutoff):
                return 0
            rows = connection.execute(
                "SELECT row, at, bytes FROM retained ORDER BY at, row LIMIT ?", (limit,)
            ).fetchall()
        gone: list[tuple[int]] = []
        for row, at, size in rows:
            if at >= cutoff and total <= self._bytes:
                break
            gone.append((row,))
            total -= size
        self._delete(gone, last=not rows[limit - 1 :])
        return len(gone)

    def drop_oldest(self, limit: int) -> int:
        """Delete the `limit` oldest findings whatever their age; returns how many there were."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT row FROM retained ORDER BY at, row LIMIT ?", (limit,)).fetchall()
        if rows:
            self._delete(rows, last=False)
        return len(rows)

    def _delete(self, rows: Sequence[tuple[int]], *, last: bool) -> None:
        with self._database.write() as connection:
            connection.executemany("DELETE FROM retained_lines WHERE row = ?", rows)
            connection.executemany("DELETE FROM retained WHERE row = ?", rows)
            if last:
                connection.execute("DELETE FROM situations WHERE situation NOT IN (SELECT situation FROM retained)")

    def _rows(self, where: str, values: Sequence[Any], limit: int = -1) -> list[Retained]:
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM retained r WHERE {where}"  # noqa: S608 - of our own
                " ORDER BY r.score DESC, r.row LIMIT ?",
                (*values, limit),
            )
            return [Retained(*(*row[:-1], tuple(row[-1].split()))) for row in rows]


def _fill_left_out(connection: Connection, findings: Collection[tuple[str, str, str]]) -> None:
    connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS left_out (host TEXT, fingerprint TEXT, situation TEXT,"
        " PRIMARY KEY (host, fingerprint, situation))"
        " WITHOUT ROWID"
    )
    connection.execute("DELETE FROM temp.left_out")
    connection.executemany("INSERT OR IGNORE INTO temp.left_out VALUES (?, ?, ?)", findings)


def _grouped(connection: Connection, wanted: Filter, situations: Sequence[str] | None = None) -> list[Group]:
    """Group findings of all situations, or, without those that are left out, of some."""
    where, values = wanted.conditions()
    if situations is not None:
        where.append(f"r.situation IN ({','.join('?' * len(situations))})")
        values += situations
        where.append(
            "NOT EXISTS (SELECT 1 FROM temp.left_out o WHERE o.host = r.host AND o.fingerprint = r.fingerprint"
            " AND o.situation = r.situation)"
        )
    covered = {
        (host, profile): scan_no
        for host, profile, scan_no in connection.execute("SELECT host, profile, scan_no FROM covered")
    }
    found: dict[tuple[str, str], Group] = {}
    # By scan, too: whether findings are still there depends on nothing else of theirs.
    for situation, host, profile, scan_no, class_id, scanner, status, score, findings, lines, row in connection.execute(
        "SELECT r.situation, r.host, r.profile, r.scan_no, r.class_id, r.scanner, r.status, max(r.score), count(*),"  # noqa: S608
        f" sum(r.lines), r.row FROM retained r WHERE {' AND '.join(where) or '1'}"
        " GROUP BY r.situation, r.host, r.profile, r.scan_no",
        values,
    ):
        if covered.get((host, profile), 0) > scan_no:
            continue
        group = Group(situation, host, class_id, scanner, status, score, findings, lines, row)
        other = found.get((situation, host))
        found[situation, host] = group if other is None else _together(group, other)
    return list(found.values())


def _together(one: Group, other: Group) -> Group:
    worse = max(one, other, key=lambda group: (group.score, -group.worst))
    return replace(worse, findings=one.findings + other.findings, lines=one.lines + other.lines)
