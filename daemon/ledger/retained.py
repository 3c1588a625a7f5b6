"""Findings that are kept for reviews: which of them are meant, one by one and grouped."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from sqlite3 import Connection
from typing import Any

# What a later scan that looked does not have is no longer there to be reviewed.
THERE = "NOT EXISTS (SELECT 1 FROM covered c WHERE c.host = r.host AND c.profile = r.profile AND c.scan_no > r.scan_no)"


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
        return " AND ".join([THERE, *parts]), values

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
COLUMNS = (
    "r.row, r.host, r.fingerprint, r.situation, r.class_id, r.scanner, r.status, r.level, r.score, r.lines, r.scan_no,"
    " r.at, r.keys"
)


def fill_left_out(connection: Connection, findings: Collection[tuple[str, str, str]]) -> None:
    connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS left_out (host TEXT, fingerprint TEXT, situation TEXT,"
        " PRIMARY KEY (host, fingerprint, situation))"
        " WITHOUT ROWID"
    )
    connection.execute("DELETE FROM temp.left_out")
    connection.executemany("INSERT OR IGNORE INTO temp.left_out VALUES (?, ?, ?)", findings)


def grouped(connection: Connection, wanted: Filter, situations: Sequence[str] | None = None) -> list[Group]:
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
