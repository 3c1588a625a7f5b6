"""Chooses the sentences of a scan's story: what it comes to, for somebody who reads nothing else.

Every sentence is about facts of the scan record or its findings, and stands only where there is something to say. Which
ones these are is decided by rules; the words stand in `pipeline.output.sentences`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.classes.scan import ScanContext, ScanIndex
from pipeline.features.process import program_name
from pipeline.finding import LEVELS, Level, Member, Note
from pipeline.output.records import BaselineSection, Counts, FirstAction, HostFacts, Issue, ScanCorrelation
from pipeline.output.records.story import Sentence
from pipeline.output.sentences import sentence
from pipeline.rules.baseline import BaselineState
from pipeline.rules.correlate import Group
from pipeline.rules.judge import Judgement
from pipeline.rules.signs import is_attack
from pipeline.steps import PIECE, Steps, pieces

_NAMED = 4  # names of one sentence
_WORST = 3  # issues that are named
_PATTERNS = 3  # patterns that are named
_ACTIONS = 3
_LATER = 2
_LABEL = 80  # characters of what a host calls something
_TITLE = 160
_CHANGES: tuple[BaselineState, ...] = ("new", "changed", "regressed")
_URGENT: frozenset[Level] = frozenset({"high", "critical"})
_MINOR: frozenset[Level] = frozenset({"info", "low"})


class Findings(Protocol):
    """The findings of a scan, judged."""

    @property
    def index(self) -> ScanIndex: ...
    @property
    def judgements(self) -> Sequence[Judgement]: ...


@dataclass(slots=True)
class Host:
    """What the findings show of a host's kind, whatever their status; names in the order of the report.

    Attributes:
        units: systemd units of server programs.
        services: processes named like services of the list of tools.
        contained: processes in containers.
        reachable: sockets that wait for connections on all addresses.
    """

    units: dict[str, None] = field(default_factory=dict)
    services: dict[str, None] = field(default_factory=dict)
    contained: int = 0
    reachable: int = 0

    def add(self, member: Member) -> None:
        """Take a finding; exact twins count each."""
        finding = member.classified
        features = finding.features
        if finding.class_id.startswith("systemd_units.") and features.get("role") == "server":
            self.units.setdefault(finding.slots.get("unit", ""))
        elif finding.class_id == "processes.inventory":
            self.contained += features.get("container") == "true"
            if features.get("program") == "service":
                self.services.setdefault(program_name(finding.slots.get("command", "")))
        elif finding.class_id == "network.tcp_listen":
            self.reachable += features.get("exposure") == "wildcard"


@dataclass(slots=True, frozen=True)
class Facts:
    """What a story is made of.

    Attributes:
        shared: lines that are part of more than one pattern of an attack.
        ended: acceptances that no longer hold.
    """

    context: ScanContext
    counts: Counts
    issues: Sequence[Issue]
    correlations: Sequence[ScanCorrelation]
    baseline: BaselineSection | None
    notes: Iterable[Note]
    host: Host
    shared: int
    ended: int


def host_steps(findings: Findings) -> Steps[Host]:
    """Look at what the findings show of the host's kind, in steps."""
    host = Host()
    for piece in pieces(findings.index.members, 8 * PIECE):
        for member in piece:
            host.add(member)
        yield
    return host


def shared_steps(groups: Sequence[Group]) -> Steps[int]:
    """Count the lines that are part of more than one pattern of an attack, in steps."""
    rules: dict[int, set[str]] = {}
    for number, group in enumerate(groups):
        if is_attack(group.rule):
            for piece in pieces(group.members, 8 * PIECE):
                for seq in piece:
                    rules.setdefault(seq, set()).add(group.rule)
                if len(piece) > PIECE:
                    yield
        if not number % PIECE:
            yield
    return sum(len(names) > 1 for names in rules.values())


def story(facts: Facts) -> tuple[Sentence, ...]:
    """Choose the sentences, in the order in which they are read."""
    return (
        *_kind(facts.context, facts.host),
        *_matters(facts.counts, facts.issues),
        *_together(facts.correlations, facts.shared),
        *_changed(facts.baseline, facts.issues),
        *_todo(facts.issues, facts.correlations, facts.ended),
        *_unseen(facts),
    )


def first_steps(issues: Iterable[Issue], most: int) -> list[tuple[Level, FirstAction]]:
    """Take the worst issues that have something to be done, each action once, with the level of the issue."""
    steps: list[tuple[Level, FirstAction]] = []
    seen: set[str] = set()
    for issue in issues:
        action = issue.do_first
        if action is None or action.contraindicated is not None or action.kind == "accept" or action.id in seen:
            continue
        seen.add(action.id)
        steps.append((issue.level, action))
        if len(steps) == most:
            break
    return steps


def unseen(
    counts: Counts, notes: Iterable[Note], baseline: BaselineSection | None, *, complete: bool, least: str | None
) -> Iterator[Sentence]:
    """Say what a scan did not see, could not use, or does not know.

    Args:
        least: the severity below which the scanner left everything out, or None.
    """
    if not complete:
        yield sentence("unseen.incomplete")
    if counts.rejected:
        yield sentence("unseen.rejected", count=counts.rejected)
    if least is not None:
        yield sentence("unseen.min_severity", severity=least[:40])
    notes = sorted(set(notes))
    if "internal_error" in notes:
        yield sentence("unseen.not_analysed")
    odd = [note.replace("_", " ") for note in notes if note != "internal_error"]
    if odd:
        yield sentence("unseen.notes", notes=", ".join(odd))
    if counts.unknown_class:
        yield sentence("unseen.unknown_class", count=counts.unknown_class)
    if counts.ambiguous_class:
        yield sentence("unseen.ambiguous_class", count=counts.ambiguous_class)
    if baseline is not None and baseline.not_observed_count:
        yield sentence("unseen.not_observed", count=baseline.not_observed_count)


def _kind(context: ScanContext, host: Host) -> Iterator[Sentence]:
    facts = HostFacts.of(context.header)
    system = ", ".join(fact for fact in (facts.os, facts.kernel, facts.arch) if fact)
    if system and context.host_source != "unknown":
        yield sentence("host.system", host=context.host[:_LABEL], system=system)
    if host.contained:
        yield sentence("host.containers", count=host.contained)
    if host.units:
        yield sentence("host.servers", count=len(host.units), units=_names(host.units))
    if host.services:
        yield sentence("host.services", services=_names(host.services))
    if host.reachable:
        yield sentence("host.reachable", count=host.reachable)


def _matters(counts: Counts, issues: Sequence[Issue]) -> Iterator[Sentence]:
    if not issues:
        yield sentence("matters.nothing")
    else:
        levels = Counter(issue.level for issue in issues)
        said = ", ".join(f"{levels[level]:,} {level}" for level in reversed(LEVELS) if level in levels)
        yield sentence("matters.count", issues=len(issues), findings=sum(counts.level.values()), levels=said)
        worst = [issue for issue in issues if issue.level not in _MINOR][:_WORST]
        for number, issue in enumerate(worst):
            yield sentence(
                "matters.next" if number else "matters.worst",
                level=issue.level, title=issue.title[:_TITLE], about=_about(issue),
            )  # fmt: skip
        if not worst:
            yield sentence("matters.minor", level=max((issue.level for issue in issues), key=LEVELS.index))
    if counts.probable_artefacts:
        yield sentence("matters.mistakes", count=counts.probable_artefacts)
    settled = counts.status.get("accepted", 0) + counts.status.get("false_positive", 0)
    if settled:
        yield sentence("matters.settled", count=settled)


def _about(issue: Issue) -> str:
    labels = [label[:_LABEL] for label in issue.labels if label][:_NAMED]
    if not labels:
        return ""
    more = issue.distinct - len(labels)
    return f" ({', '.join(labels)}{f' and {more:,} more' if more > 0 else ''})"


def _together(correlations: Sequence[ScanCorrelation], shared: int) -> Iterator[Sentence]:
    by_level = sorted(correlations, key=lambda group: -LEVELS.index(group.level))
    told: dict[str, ScanCorrelation] = {}
    for group in by_level:
        told.setdefault(group.rule, group)
    for number, group in enumerate(list(told.values())[:_PATTERNS]):
        yield sentence("together.pattern", count=group.findings, title=group.title)
        if not number:
            yield sentence("together.why", why=group.why)
    if shared > 1:
        yield sentence("together.shared", count=shared)


def _changed(baseline: BaselineSection | None, issues: Sequence[Issue]) -> Iterator[Sentence]:
    if baseline is None:
        return
    states = {state: count for state in _CHANGES if (count := baseline.states.get(state, 0))}
    gone = len(baseline.resolved)
    if set(baseline.states) == {"new"} and not gone and not baseline.not_observed_count:
        yield sentence("changed.all_new")
        return
    if not states and not gone:
        # What was not looked at this time may have changed.
        if baseline.states and not baseline.not_observed_count and baseline.compared:
            yield sentence("changed.nothing")
        return
    said = [f"{count:,} {state}" for state, count in states.items()] + ([f"{gone:,} resolved"] if gone else [])
    yield sentence("changed.counts", states=", ".join(said))
    fresh = next((issue for issue in issues if "new" in issue.baseline), None)
    if fresh is not None:
        yield sentence("changed.where", level=fresh.level, title=fresh.title[:_TITLE])


def _todo(issues: Sequence[Issue], correlations: Sequence[ScanCorrelation], ended: int) -> Iterator[Sentence]:
    urgent = [issue for issue in issues if issue.level in _URGENT]
    pattern = next((group for group in correlations if group.level in _URGENT and is_attack(group.rule)), None)
    if pattern is not None and urgent:
        yield sentence("todo.first", first=pattern.first)
    acts = first_steps(urgent, _ACTIONS)
    for _, action in acts:
        yield sentence("todo.act", summary=_ended(action.summary))
    if issues and not urgent:
        yield sentence("todo.no_hurry")
        for _, action in first_steps(issues, _LATER):
            yield sentence("todo.later", summary=_ended(action.summary))
    if ended:
        yield sentence("todo.expired", count=ended)


def _unseen(facts: Facts) -> Iterator[Sentence]:
    header, counts, baseline = facts.context.header, facts.counts, facts.baseline
    if header.euid is not None and header.euid != "0":
        yield sentence("unseen.unprivileged")
    if errors := counts.status.get("error", 0):
        yield sentence("unseen.errors", count=errors)
    if undecided := counts.status.get("unknown", 0):
        yield sentence("unseen.undecided", count=undecided)
    yield from unseen(counts, facts.notes, baseline, complete=facts.context.complete, least=header.min_severity or None)
    if baseline is None:
        yield sentence("unseen.no_baseline")
    elif not baseline.compared:
        yield sentence("unseen.cannot_show")


def _names(names: Iterable[str]) -> str:
    shown = sorted(name[:_LABEL] for name in names if name)
    more = len(shown) - _NAMED
    return ", ".join(shown[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _ended(text: str) -> str:
    return text if text.endswith((".", "…", "!", "?")) else f"{text}."
