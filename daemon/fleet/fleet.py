"""All hosts, and what follows from them: the tables of the view. Whoever asks says what time it is."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from daemon.fleet.resume import Resume
from daemon.fleet.row import News, Posture, Row, current, join, merge, posture
from daemon.fleet.scan import Issue, Scan
from pipeline.finding import LEVELS, Level

HOUR_MS = 3600 * 1000
_EXAMPLES = 5  # hosts that a situation names


@dataclass(slots=True, frozen=True)
class Spans:
    """How long things count, in milliseconds.

    Attributes:
        silent: a host that has written nothing new for this long is silent.
        forget: then it is no longer shown.
        scope: scans of other scopes count while they are not this much older than the newest.
        window: that new criticals are counted in.
    """

    silent: int
    forget: int
    scope: int
    window: int


@dataclass(slots=True, frozen=True)
class Situation:
    """What is alike on several hosts.

    Attributes:
        level, score: the worst among them.
        hosts: on how many; `examples` names some, the worst first.
        things: findings on all of them.
    """

    id: str
    class_: str
    title: str
    split: str
    level: Level
    score: int
    hosts: int
    things: int
    examples: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Fresh:
    """A critical issue that is new, and where."""

    host: str
    news: News


@dataclass(slots=True, frozen=True)
class View:
    """The fleet at one moment.

    Attributes:
        at: that moment, in milliseconds since 1970.
        hosts: the worst first.
        silent: those that were not heard of, the longest silent first.
        situations: of open issues, the most widespread first.
        fresh: critical issues that are new in the window, the newest first.
        hours: how many of those in each hour, the oldest first; the last one is not over.
        partial: this program has not all partitions, so there are hosts that it does not know.
    """

    at: int
    hosts: tuple[Posture, ...]
    silent: tuple[Posture, ...]
    situations: tuple[Situation, ...]
    fresh: tuple[Fresh, ...]
    hours: tuple[tuple[int, int], ...]
    partial: bool = False


class Fleet:
    """The rows, by host."""

    def __init__(self, spans: Spans) -> None:
        """Begin without hosts."""
        self.rows: dict[str, Row] = {}
        self.spans = spans
        self.version = 0  # changes whenever a row does

    def restore(self, rows: Iterable[Row], partitions: Set[int]) -> None:
        """Add rows that were published, and drop what other partitions than these have."""
        for row in rows:
            known = self.rows.get(row.host)
            self.rows[row.host] = row if known is None else join(known, row)
        self.rows = {host: row for host, row in self.rows.items() if row.newest.place.partition in partitions}
        self.version += 1

    def apply(self, scan: Scan) -> tuple[Row | None, tuple[News, ...]]:
        """Add a scan; returns the row if it has changed, and the news in it that were not known."""
        before = self.rows.get(scan.host)
        after = merge(before, scan)
        if after is before:
            return None, ()
        self.rows[scan.host] = after
        self.version += 1
        known = {one.key for one in before.news} if before is not None else set()
        return after, tuple(one for one in after.news if one.key not in known)

    def forget(self, now: int) -> tuple[Row, ...]:
        """Drop hosts that nothing was heard of for so long that they are no longer shown."""
        gone = tuple(row for row in self.rows.values() if row.newest.place.written <= now - self.spans.forget)
        for row in gone:
            del self.rows[row.host]
            self.version += 1
        return gone

    def resume(self) -> Mapping[int, Resume]:
        """Say for each partition how far its rows reach."""
        reached: dict[int, Resume] = {}
        for row in self.rows.values():
            for scan in row.scans:
                known = reached.get(scan.place.partition, Resume(scan.place.written, scan.place.offset))
                reached[scan.place.partition] = Resume(
                    max(known.written, scan.place.written), max(known.offset, scan.place.offset)
                )
        return reached

    def silent(self, now: int) -> tuple[Posture, ...]:
        """List the hosts that have written nothing new for too long, the longest silent first."""
        late, gone = now - self.spans.silent, now - self.spans.forget
        found = [
            posture(row, self.spans.scope)
            for row in self.rows.values()
            if gone < row.newest.place.written <= late
        ]  # fmt: skip
        return tuple(sorted(found, key=lambda one: (one.written, one.host)))

    def view(self, now: int, *, partial: bool = False) -> View:
        """Put everything together, as of a moment."""
        rows = [row for row in self.rows.values() if row.newest.place.written > now - self.spans.forget]
        hosts = sorted((posture(row, self.spans.scope) for row in rows), key=lambda one: one.worst_first)
        ranks = {one.host: rank for rank, one in enumerate(hosts)}
        rows.sort(key=lambda row: ranks[row.host])
        fresh = sorted(
            (Fresh(row.host, news) for row in rows for news in row.news if news.at > now - self.spans.window),
            key=lambda one: (-one.news.at, one.host, one.news.key),
        )
        return View(
            at=now,
            hosts=tuple(hosts),
            silent=self.silent(now),
            situations=situations(rows, self.spans.scope),
            fresh=tuple(fresh),
            hours=_hours(fresh, now, self.spans.window),
            partial=partial,
        )


def situations(rows: Iterable[Row], scope_ms: int) -> tuple[Situation, ...]:
    """Say on how many hosts each situation is open; the hosts come worst first."""
    hosts: dict[str, list[str]] = defaultdict(list)
    worst: dict[str, tuple[int, int]] = {}
    things: dict[str, int] = defaultdict(int)
    shown: dict[str, Issue] = {}  # the words of one of them, the same whoever came first
    for row in rows:
        issues = {  # of one that several scopes have, the newest scan decides
            issue.id: issue
            for scan in reversed(current(row, scope_ms))
            for issue in scan.issues
            if issue.status == "open"
        }
        here = set()
        for issue in issues.values():
            here.add(issue.situation)
            things[issue.situation] += issue.things
            rank = LEVELS.index(issue.level), issue.score
            if issue.situation not in worst or rank > worst[issue.situation]:
                worst[issue.situation] = rank
            known = shown.get(issue.situation)
            shown[issue.situation] = issue if known is None else min(known, issue, key=_words)
        for situation in here:
            hosts[situation].append(row.host)
    found = [
        Situation(
            one, shown[one].class_, shown[one].title, shown[one].split, LEVELS[worst[one][0]], worst[one][1],
            len(names), things[one], tuple(names[:_EXAMPLES]),
        )
        for one, names in hosts.items()
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (-one.hosts, -LEVELS.index(one.level), -one.score, one.id)))


def _words(issue: Issue) -> tuple[str, str]:
    return issue.title, issue.split


def _hours(fresh: Iterable[Fresh], now: int, window: int) -> tuple[tuple[int, int], ...]:
    counts: dict[int, int] = defaultdict(int)
    for one in fresh:
        counts[min(one.news.at, now) // HOUR_MS * HOUR_MS] += 1  # a host's clock may be some minutes ahead
    first = (now - window) // HOUR_MS * HOUR_MS + HOUR_MS
    return tuple((hour, counts[hour]) for hour in range(first, now + 1, HOUR_MS))
