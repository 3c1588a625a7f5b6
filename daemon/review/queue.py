"""The queue of what nobody has reviewed, worst first, and what a verdict would be about."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from daemon.ledger.retained import Filter, Group, Retained
from daemon.review.kept import HasKept
from pipeline.errors import AgentError, LedgerError
from pipeline.finding import Level
from pipeline.output.case import case_of
from pipeline.output.read import read_finding
from pipeline.output.records import EnrichedFinding
from pipeline.review.log import VerdictLog
from pipeline.review.standing import NONE, Standing, is_of_line, situation_covered
from pipeline.review.verdict import Scope, Situation, Target, Verdict
from pipeline.rules.score import level_of

AT_STAKE = ("open", "unknown", "error")
SHORTEST = 6  # hex digits of a key; fewer match too much


class NotFound(AgentError):
    """Raised when nothing that is kept has the key that was asked for."""


class Ambiguous(AgentError):
    """Raised when what was asked for is not one thing; the message says how to be more precise."""


@dataclass(slots=True, frozen=True)
class Entry:
    """Findings of one situation that nobody has reviewed.

    Attributes:
        hosts: on which they are, in order.
        worst: row of the worst of them.
    """

    situation: str
    class_id: str
    scanner: str
    status: str
    score: int
    findings: int
    lines: int
    hosts: tuple[str, ...]
    worst: int

    @property
    def level(self) -> Level:
        """The level of the worst."""
        return level_of(self.score)


@dataclass(slots=True, frozen=True)
class Aim:
    """What one verdict would be about.

    Attributes:
        findings, lines, hosts: how much that is kept it reaches.
        worst: row of the worst finding that it is about, or None where none is kept.
    """

    target: Target
    findings: int
    lines: int
    hosts: frozenset[str]
    worst: int | None = None


@dataclass(slots=True)
class Wish:
    """What a person asked for.

    Attributes:
        keys: beginnings of fingerprints, dedupe keys or situations.
        among: only these situations, by digest; None is all that fit.
    """

    keys: Sequence[str] = ()
    wanted: Filter = field(default_factory=Filter)
    situation: bool = False
    everywhere: bool = False
    among: Collection[str] | None = None


class Queue:
    """What is kept for reviews beside the verdicts that were given.

    Attributes:
        verdicts: all of them, verdict N at N - 1.
        standing: which of them count.
        lacking: what the log lacks of what the ledger has seen, so that none counts; None where all is well.
    """

    def __init__(self, ledger: HasKept, log: VerdictLog | None, today: str) -> None:
        """Args: `today`: RFC 3339; an acceptance that has ended by then does not count."""
        self._store = ledger.reviews
        self._log = log
        self._today = today
        self.standing: Standing = NONE
        self.verdicts: list[Verdict] = []
        self.lacking: str | None = None
        self.refresh()

    def refresh(self, today: str | None = None) -> None:
        """Read the verdicts that were added, and situations that have come.

        Args:
            today: RFC 3339, as at the beginning; None is as before.

        Raises:
            LedgerError: when the log is not what it was.
        """
        self._situations: dict[str, Situation] = {}
        self._alone: list[tuple[str, str, str]] | None = None
        self._today = today or self._today
        if self._log is None:
            return
        head = self.standing.head
        for verdict, behind in self._log.verdicts(head):
            self.verdicts.append(verdict)
            head = behind
        lacking = self._log.lacking(self._store.anchors())
        if head != self.standing.head or lacking != self.lacking:
            self.lacking = lacking
            self.standing = Standing(self.verdicts if lacking is None else (), head)

    # What is to be reviewed

    def unreviewed(self, wanted: Filter) -> list[Entry]:
        """List the situations with findings that have no verdict, the worst first."""
        together: dict[str, list[Group]] = {}
        for group in self._groups(wanted):
            together.setdefault(group.situation, []).append(group)
        entries = [
            Entry(
                situation=name,
                class_id=groups[0].class_id,
                scanner=groups[0].scanner,
                status=groups[0].status,
                score=max(group.score for group in groups),
                findings=sum(group.findings for group in groups),
                lines=sum(group.lines for group in groups),
                hosts=tuple(sorted(group.host for group in groups)),
                worst=max(groups, key=lambda group: (group.score, -group.worst)).worst,
            )
            for name, groups in together.items()
        ]
        entries.sort(key=lambda entry: (-entry.score, -entry.lines, entry.class_id, entry.situation))
        return entries

    def at_stake(self) -> list[Group]:
        """Group what is to be reviewed, whether somebody has decided on it or not."""
        return self._store.groups(_AT_STAKE)

    def left(self, groups: Sequence[Group]) -> tuple[int, int]:
        """Count the situations and findings among those of `at_stake` that nobody has decided on."""
        decided = self._store.counted(_AT_STAKE, self._decided_alone())
        left: set[str] = set()
        findings = 0
        for group in groups:
            open_ = group.findings - decided.get((group.situation, group.host), 0)
            situation = self.situation(group.situation) if self.standing else None
            if open_ <= 0 or (
                situation is not None and self.standing.find(group.host, "", situation, self._today) is not None
            ):
                continue
            left.add(group.situation)
            findings += open_
        return len(left), findings

    def _decided_alone(self) -> list[tuple[str, str, str]]:
        """Give host, fingerprint and situation of the findings with a verdict of their own that counts.

        A look at the database for each such verdict, so what was found is kept until the next `refresh`.
        """
        if self._alone is None:
            self._alone = self._found_alone()
        return self._alone

    def _found_alone(self) -> list[tuple[str, str, str]]:
        found: set[tuple[str, str, str]] = set()
        for verdict in self.standing.counting:
            host, fingerprint = verdict.target.host, verdict.target.fingerprint
            if host is None or fingerprint is None:
                continue
            for row in self._store.exact(host, fingerprint):
                counts = self.verdict_on(row)
                if counts is not None and counts.target.fingerprint is not None:
                    found.add((host, fingerprint, row.situation))
        return sorted(found)

    def _groups(self, wanted: Filter, among: Collection[str] | None = None) -> Iterator[Group]:
        standing = self.standing
        groups = self._store.groups(wanted, self._decided_alone(), among)
        if not standing:
            yield from groups
            return
        for group in groups:
            situation = self.situation(group.situation)
            if situation is None or standing.find(group.host, "", situation, self._today) is None:
                yield group

    def situation(self, name: str) -> Situation | None:
        """Give a situation by its digest."""
        if not self._situations:
            self._situations = self._store.situations()
        return self._situations.get(name)

    def line(self, row: int) -> EnrichedFinding:
        """Read the line of a finding."""
        return read_finding(self._store.line(row))

    def verdict_on(self, finding: Retained) -> Verdict | None:
        """Give the verdict that counts for a finding."""
        situation = self.situation(finding.situation)
        if situation is None:
            return None
        return self.standing.find(finding.host, finding.fingerprint, situation, self._today)

    def verdicts_about(self, finding: Retained) -> list[Verdict]:
        """List the verdicts on a finding and on its situation, whether they count or not, in order."""
        situation = self.situation(finding.situation)
        return [
            one
            for one in self.verdicts
            if (one.target.fingerprint == finding.fingerprint and is_of_line(one, situation))
            or (situation is not None and situation_covered(one, finding.host, situation))
        ]

    def in_situations(self, host: str, fingerprint: str) -> list[Situation]:
        """Give the situations that lines of a finding are in; none where it is not kept."""
        rows = self._store.exact(host, fingerprint)
        return [found for row in rows if (found := self.situation(row.situation)) is not None]

    # What somebody means

    def finding(self, key: str) -> Retained | None:
        """Give the finding that a key names, the worst where a situation has several; None where there is none."""
        found = self._store.find(key)
        if not found:
            found = self._store.findings(Filter(), self._store.matching(key), 1)
        return found[0] if found else None

    def aims(self, wish: Wish) -> list[Aim]:
        """Say what verdicts would be about.

        Raises:
            NotFound: when a key names nothing that is kept.
            Ambiguous: when it names several things, or a scope is missing.
        """
        if not wish.keys:
            return self._filtered(wish)
        aims = [aim for key in wish.keys for aim in self._aimed(key.lower(), wish)]
        return list({_name(aim.target): aim for aim in aims}.values())

    def aim(self, row: Retained, scope: Scope) -> Aim:
        """Say what a verdict would be about that is given on a finding, or on its situation.

        Raises:
            Ambiguous: when there is no such scope, because nothing is known of the finding.
        """
        if scope == "finding":
            return self._on_finding(row)
        return self._of_situation(row.situation, row.host if scope == "host" else None, row.fingerprint[:12])

    def _filtered(self, wish: Wish) -> list[Aim]:
        aims: dict[tuple[object, ...], Aim] = {}
        wanted = wish.wanted
        if not wanted.statuses:
            wanted = Filter(wanted.class_, wanted.host, wanted.level, wanted.scanner, AT_STAKE)
        for group in self._groups(wanted, wish.among):
            situation = self.situation(group.situation)
            if situation is None:
                continue
            if not situation.is_known:  # of these, each is something of its own
                for row in self._store.findings(wanted, [group.situation]):
                    if row.host == group.host and self.verdict_on(row) is None:
                        aim = self._on_finding(row)
                        aims[_name(aim.target)] = aim
                continue
            aim = self._on_situation(situation, None if wish.everywhere else group.host)
            aims[_name(aim.target)] = aim
        return list(aims.values())

    def _aimed(self, key: str, wish: Wish) -> Iterator[Aim]:
        if len(key) < SHORTEST or not all(digit in "0123456789abcdef" for digit in key):
            raise Ambiguous(f"{key}: give at least {SHORTEST} hex digits of a fingerprint, a dedupe key or a situation")
        found = self._store.find(key)
        if found:
            rows = [row for row in found if wish.wanted.host in (None, row.host)]
            if wish.among is not None:
                rows = [row for row in rows if row.situation in wish.among]
            if len({(row.host, row.fingerprint) for row in rows}) > 1:
                raise Ambiguous(f"{key}: begins the keys of {len(rows)} findings; give more digits")
            if len(rows) > 1 and not wish.situation and not wish.everywhere:
                keys = ", ".join(row.keys[0][:12] for row in rows if row.keys)
                raise Ambiguous(f"{key}: lines of it differ ({len(rows)} situations); give the key of a line: {keys}")
            if not rows:
                raise NotFound(f"no finding {key} on {wish.wanted.host}")
            if not wish.situation and not wish.everywhere:
                yield self._on_finding(rows[0])
                return
            yield self._of_situation(rows[0].situation, None if wish.everywhere else rows[0].host, key)
            return
        names = self._store.matching(key)
        if not names:
            raise NotFound(f"no finding and no situation {key} is kept; `review list` shows those to be reviewed")
        if len(names) > 1:
            raise Ambiguous(f"{key}: begins the names of {len(names)} situations; give more digits")
        if wish.everywhere:
            yield self._of_situation(names[0], None, key)
            return
        _, _, there, _ = self._store.reach(names, wish.wanted.host)
        hosts = sorted(there)
        if not hosts:
            raise NotFound(f"no finding in situation {key} is there any more")
        if len(hosts) > 1:
            raise Ambiguous(f"{key}: is on {len(hosts)} hosts; give --host NAME, or --everywhere")
        yield self._of_situation(names[0], hosts[0], key)

    def _of_situation(self, name: str, host: str | None, key: str) -> Aim:
        situation = self.situation(name)
        if situation is None:
            raise NotFound(f"no situation {key} is kept")
        if not situation.is_known:
            raise Ambiguous(f"{key}: nothing is known of findings of {situation.class_id}; decide on each by itself")
        return self._on_situation(situation, host)

    def _on_situation(self, situation: Situation, host: str | None) -> Aim:
        covered = [name for name, one in self._store.situations(situation.class_id).items() if situation.covers(one)]
        findings, lines, hosts, worst = self._store.reach(covered, host)
        return Aim(Target(host, None, situation), findings, lines, hosts, worst)

    def _on_finding(self, row: Retained) -> Aim:
        target = Target(row.host, row.fingerprint, self.situation(row.situation))
        return Aim(target, 1, row.lines, frozenset((row.host,)), row.row)

    def counting(self, aim: Aim) -> Verdict | None:
        """Give the verdict that counts for what an aim is about, in its own scope or a wider one."""
        if aim.worst is None:
            return None
        line = self.line(aim.worst)
        situation = self.situation(line.analysis.situation)
        if situation is None:
            return None
        return self.standing.find(line.host, aim.target.fingerprint or "", situation, self._today)

    def case(self, aim: Aim) -> dict[str, object]:
        """Give what a verdict keeps of the worst finding that it is about."""
        if aim.worst is None:
            return {}
        line = self.line(aim.worst)
        situation = self.situation(line.analysis.situation)
        if situation is None:
            raise LedgerError(f"the situation of finding {line.fingerprint} is not kept any more")
        return case_of(line, situation)


_AT_STAKE = Filter(statuses=AT_STAKE)


def _name(target: Target) -> tuple[object, ...]:
    said = target.situation
    if said is None:
        return (target.host, target.fingerprint)
    return (target.host, said.class_id, said.status, said.candidates, *sorted(said.features.items()))
