"""What is kept of one host, and how a scan changes it: the same whatever the order in which scans come, and how often.

Nothing here asks what time it is. Every part is a maximum or a union, cut by what is newest in it, so that doubles,
replays and scans that come late change nothing that the newest have said.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nlargest

from daemon.fleet.scan import Issue, Scan
from pipeline.finding import LEVELS, Level

DAY_MS = 24 * 3600 * 1000
NEWS_MS = 7 * DAY_MS  # before the newest scan of the host
MAX_NEWS = 64  # of one host; the newest stay
MAX_SCOPES = 8  # of one host; a scanner's configuration, options and version make a scope


@dataclass(slots=True, frozen=True)
class News:
    """A critical issue that a scan found and the one before it had not.

    Attributes:
        id, situation: those of the issue.
        at: when the scan ended, in milliseconds since 1970.
    """

    at: int
    scan_id: str
    id: str
    situation: str
    title: str
    label: str
    score: int

    @property
    def key(self) -> tuple[str, str]:
        """Give what makes it the same piece of news."""
        return self.scan_id, self.id


@dataclass(slots=True, frozen=True)
class Row:
    """One host.

    Attributes:
        scans: the newest of each scope, the newest first; never empty.
        news: the newest first.
    """

    host: str
    scans: tuple[Scan, ...]
    news: tuple[News, ...]

    @property
    def newest(self) -> Scan:
        """Give the newest scan."""
        return self.scans[0]


def merge(row: Row | None, scan: Scan) -> Row:
    """Add a scan to what is known of its host; returns `row` itself where it says nothing that was not known."""
    alone = Row(scan.host, (scan,), _recent(news_of(scan), scan.at))
    if row is None:
        return alone
    both = join(row, alone)
    return row if both == row else both


def join(one: Row, other: Row) -> Row:
    """Put together what two rows know of a host."""
    known = {scan.scope: scan for scan in one.scans}
    for scan in other.scans:
        before = known.get(scan.scope)
        known[scan.scope] = scan if before is None else newer(before, scan)
    scans = tuple(nlargest(MAX_SCOPES, known.values(), key=lambda one: (one.order, one.scope)))
    return Row(one.host, scans, _recent((*one.news, *other.news), scans[0].at))


def newer(one: Scan, other: Scan) -> Scan:
    """Give the newer of two scans of one scope. Of one that came twice it is the one that was written first."""
    if one.order != other.order:
        return max(one, other, key=lambda scan: scan.order)
    return min(one, other, key=lambda scan: (scan.place.written, scan.place.partition, scan.place.offset))


def news_of(scan: Scan) -> tuple[News, ...]:
    """List the critical issues that are new with a scan. Without a baseline nothing is known to be new."""
    return tuple(
        News(scan.at, scan.scan_id, one.id, one.situation, one.title, one.label, one.score)
        for one in scan.issues
        if one.fresh and one.level == "critical" and one.status == "open"
    )


def _recent(news: Iterable[News], newest: int) -> tuple[News, ...]:
    unique: dict[tuple[str, str], News] = {}
    for one in news:
        known = unique.get(one.key)
        if known is None or one.at > known.at:  # a maximum, so that it does not matter which came first
            unique[one.key] = one
    young = (one for one in unique.values() if one.at > newest - NEWS_MS)
    return tuple(nlargest(MAX_NEWS, young, key=lambda one: (one.at, one.key)))


@dataclass(slots=True, frozen=True)
class Posture:
    """How a host stands.

    Attributes:
        at, written: of the newest scan: when it ended, and when it was written to the topic.
        counts: by level, every level. Of a host with several scopes: the largest number that one of them has.
        complete: all scans that count here are.
        worst: the open issue to look at first.
    """

    host: str
    at: int
    written: int
    scan_id: str
    scopes: int
    complete: bool
    counts: tuple[int, ...]
    worst: Issue | None

    @property
    def score(self) -> int:
        """Give the score of the worst open issue."""
        return self.worst.score if self.worst is not None else 0

    def count(self, level: Level) -> int:
        """Give the number of findings at stake with this level."""
        return self.counts[LEVELS.index(level)]

    @property
    def worst_first(self) -> tuple[object, ...]:
        """Give what hosts are ordered by."""
        worst = next((rank for rank in range(len(LEVELS) - 1, -1, -1) if self.counts[rank]), -1)
        return (-worst, *(-one for one in reversed(self.counts)), -self.score, self.host)


def current(row: Row, scope_ms: int) -> tuple[Scan, ...]:
    """List the scans that say how a host stands: the newest, and those of other scopes that are not much older."""
    return tuple(one for one in row.scans if one is row.newest or one.at > row.newest.at - scope_ms)


def posture(row: Row, scope_ms: int) -> Posture:
    """Sum a host up."""
    scans = current(row, scope_ms)
    return Posture(
        host=row.host,
        at=row.newest.at,
        written=row.newest.place.written,
        scan_id=row.newest.scan_id,
        scopes=len(scans),
        complete=all(one.complete for one in scans),
        counts=tuple(max(one.counts.get(level, 0) for one in scans) for level in LEVELS),
        worst=max(
            (issue for one in scans for issue in one.issues if issue.status == "open"),
            key=lambda issue: (LEVELS.index(issue.level), issue.score),
            default=None,
        ),
    )
