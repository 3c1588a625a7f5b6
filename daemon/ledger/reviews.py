"""The findings that are kept for reviews, as lists and commands ask for them, and what was told of verdicts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from sqlite3 import Connection
from typing import Any, Literal, Protocol

import orjson

from daemon.ledger import reviewing, words
from daemon.ledger.database import Database
from daemon.ledger.given_up import STANDS, GivenUp, given_up
from daemon.ledger.retained import COLUMNS, THERE, Filter, Group, Retained, fill_left_out, grouped
from daemon.ledger.store import Clock, Store
from pipeline.errors import LedgerError
from pipeline.review.chain import Anchor, Head
from pipeline.review.verdict import Situation, decode_situation

_VARIABLES = 500
_WORDS_BYTES = 4096  # at most, nearly always, of the words of a line


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

    def hosts(self) -> list[str]:
        """List the hosts of which a scan or a finding is kept, in order."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT host FROM retained UNION SELECT host FROM scans ORDER BY 1").fetchall()
        return [row[0] for row in rows]

    def counted(self, wanted: Filter, findings: Collection[tuple[str, str, str]]) -> dict[tuple[str, str], int]:
        """Say how many of some findings, by (host, fingerprint), are in each situation of each host."""
        where, values = wanted.where()
        with self._database.read() as connection:
            fill_left_out(connection, findings)
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
                fill_left_out(connection, without)
                names = sorted(among)
                chunks = [names[start : start + _VARIABLES] for start in range(0, len(names), _VARIABLES)]
                return [group for chunk in chunks for group in grouped(connection, wanted, chunk)]
            if not without:
                return grouped(connection, wanted)
            fill_left_out(connection, without)
            # Only the situations that some of them are in have to be counted row by row.
            some = [
                row[0]
                for row in connection.execute(
                    "SELECT DISTINCT r.situation FROM temp.left_out o CROSS JOIN retained r"
                    " ON r.host = o.host AND r.fingerprint = o.fingerprint AND r.situation = o.situation"
                )
            ]
            touched = set(some)
            found = [group for group in grouped(connection, wanted) if group.situation not in touched]
            for start in range(0, len(some), _VARIABLES):
                found += grouped(connection, wanted, some[start : start + _VARIABLES])
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
                f"SELECT {COLUMNS} FROM retained r WHERE r.scan_no = ? AND r.row > ? ORDER BY r.row LIMIT ?",  # noqa: S608
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
                    f" WHERE r.situation IN ({marks}) AND (? IS NULL OR r.host = ?) AND {THERE} GROUP BY r.host",
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

    def take_words(self, limit: int) -> int:
        """Make at most `limit` findings quick to search; returns how many it were. None on a disk that is nearly full:
        they are found all the same."""
        with self._database.read() as connection:
            if not words.lacking(connection) or not self._database.has_room(limit * _WORDS_BYTES):
                return 0
        with self._database.write() as connection:
            return words.take(connection, limit)

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
            reviewing.forget(connection, rows)
            if last:
                reviewing.forget_situations(connection)

    def _rows(self, where: str, values: Sequence[Any], limit: int = -1) -> list[Retained]:
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM retained r WHERE {where}"  # noqa: S608 - of our own
                " ORDER BY r.score DESC, r.row LIMIT ?",
                (*values, limit),
            )
            return [Retained(*(*row[:-1], tuple(row[-1].split()))) for row in rows]
