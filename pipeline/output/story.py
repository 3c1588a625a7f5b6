"""Chooses the sentences of a scan's story: what it comes to, for somebody who reads nothing else.

Every sentence is about facts of the scan record or its findings, and stands only where there is something to say. Which
ones these are is decided by rules; the words stand in `pipeline.output.sentences`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.classes.scan import ScanContext, ScanIndex
from pipeline.display import quoted
from pipeline.features.process import program_name
from pipeline.finding import LEVELS, Level, Member, Note
from pipeline.knowledge.schema import Degree
from pipeline.output.records import BaselineSection, Counts, HostFacts, Issue, ScanCorrelation
from pipeline.output.records.story import Sentence
from pipeline.output.sentences import sentence
from pipeline.output.todo import LABEL, about, called, first_steps, labels
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
_SCANNERS = 20
_SYSTEM = 240  # characters of what a host says of its system
_CHANGES: tuple[BaselineState, ...] = ("new", "changed", "regressed")
_URGENT: frozenset[Level] = frozenset({"high", "critical"})
_MINOR: frozenset[Level] = frozenset({"info", "low"})
# Units of daemons that ask others, or serve this host alone: hosts of every kind have them.
_ASK = frozenset(
    {
        "avahi-daemon", "chrony", "chrony-dnssrv", "chrony-wait", "chronyd", "cups-browsed",
        "dbus-org.freedesktop.resolve1", "dbus-org.freedesktop.timesync1", "haveged", "nfs-idmapd", "nfsdcld", "nscd",
        "nslcd", "ntp", "ntpd", "ntpsec", "nullmailer", "openntpd", "ptp4l", "realmd", "rpc-gssd", "rpc-statd",
        "rpc-statd-notify", "sssd", "sssd-kcm", "systemd-resolved", "systemd-timesyncd", "winbind",
    }
)  # fmt: skip
# Processes that hosts of every kind have; what tells more of a host is named before them.
_EVERYWHERE = frozenset(
    {
        "(sd-pam)", "accounts-daemon", "acpid", "agetty", "anacron", "atd", "auditd", "chronyd", "cron", "crond",
        "dbus-broker", "dbus-broker-launch", "dbus-daemon", "getty", "haveged", "init", "irqbalance", "ntpd", "polkitd",
        "rngd", "rsyslogd", "sd-pam", "ssh-agent", "syslog-ng", "udevadm", "udisksd",
    }
)  # fmt: skip
# Classes whose titles name a setting or a report and not what is wrong with it; the assessment says that.
_STATELESS = (
    "integrity.summary", "kernel_hardening.ima_policy", "kernel_hardening.sysctl_", "kernel_params.", "mac.apparmor",
    "mac.dual", "mac.selinux", "modules.summary",
)  # fmt: skip
_ASSESSMENT = 280
_UNTOLD = ", if it is so, which this report cannot tell"
_DOUBTS: dict[Degree, str] = {
    "certain": ", which is a mistake of the scanner",
    "likely": ", which is probably a mistake of the scanner",
    "cannot_tell": ", if the scanner is right",
}


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
        units: systemd units of programs that serve others.
        services: processes named like services of the list of tools.
        contained: processes in containers.
        reachable: sockets that wait for connections on all addresses.
        scanners: parts of the scanner that reported something.
    """

    units: dict[str, None] = field(default_factory=dict)
    services: dict[str, None] = field(default_factory=dict)
    contained: int = 0
    reachable: int = 0
    scanners: dict[str, None] = field(default_factory=dict)

    def add(self, member: Member) -> None:
        """Take a finding; exact twins count each."""
        finding = member.classified
        features = finding.features
        self.scanners.setdefault(finding.scanner)
        if finding.class_id.startswith("systemd_units.") and features.get("role") == "server":
            unit = finding.slots.get("unit", "")
            if unit.removesuffix(".service").partition("@")[0] not in _ASK:
                self.units.setdefault(unit)
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
        mistakes: different findings at stake that are certainly or likely mistakes of the scanner.
        patterns: what belongs together, counted.
        ended: acceptances that no longer hold.
    """

    context: ScanContext
    counts: Counts
    issues: Sequence[Issue]
    correlations: Sequence[ScanCorrelation]
    baseline: BaselineSection | None
    notes: Iterable[Note]
    host: Host
    mistakes: int
    patterns: "Patterns"
    ended: int


def host_steps(findings: Findings) -> Steps[Host]:
    """Look at what the findings show of the host's kind, in steps."""
    host = Host()
    for piece in pieces(findings.index.members, 8 * PIECE):
        for member in piece:
            host.add(member)
        yield
    return host


@dataclass(slots=True, frozen=True)
class Patterns:
    """Different findings of the patterns; exact twins count once.

    Attributes:
        findings: by name of the group.
        shared: those that are part of more than one pattern of an attack.
    """

    findings: Mapping[str, int]
    shared: int


def pattern_steps(groups: Sequence[Group], members: Sequence[Member]) -> Steps[Patterns]:
    """Count the findings of the patterns, in steps."""
    counts: dict[str, int] = {}
    rules: dict[str, set[str]] = {}
    for number, group in enumerate(groups):
        contents: set[str] = set()
        for piece in pieces(group.members, 8 * PIECE):
            contents.update(members[seq].classified.content for seq in piece)
            if len(piece) > PIECE:
                yield
        counts[group.group] = len(contents)
        if is_attack(group.rule):
            for content in contents:
                rules.setdefault(content, set()).add(group.rule)
        if not number % PIECE:
            yield
    return Patterns(counts, sum(len(names) > 1 for names in rules.values()))


def story(facts: Facts) -> tuple[Sentence, ...]:
    """Choose the sentences, in the order in which they are read."""
    return (
        *_kind(facts.context, facts.host),
        *_matters(facts.counts, facts.issues, facts.mistakes, _scanners(facts)),
        *_together(facts.correlations, facts.patterns),
        *_changed(facts.baseline, facts.issues),
        *_todo(facts),
        *_unseen(facts),
    )


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
        yield sentence("unseen.min_severity", severity=least if least in LEVELS else quoted(least, LABEL))
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
        yield sentence("host.system", host=quoted(context.host, LABEL), system=quoted(system, _SYSTEM))
    if host.contained:
        yield sentence("host.containers", count=host.contained)
    if host.units:
        yield sentence("host.servers", count=len(host.units), units=_names(host.units))
    if host.services:
        yield sentence("host.services", services=_names(host.services, _is_everywhere))
    if host.reachable:
        yield sentence("host.reachable", count=host.reachable)


def _matters(counts: Counts, issues: Sequence[Issue], mistakes: int, scanners: Sequence[str]) -> Iterator[Sentence]:
    if not issues:
        ran = ", ".join(quoted(name, LABEL) for name in scanners[:_SCANNERS])
        more = f" and {len(scanners) - _SCANNERS:,} more" if len(scanners) > _SCANNERS else ""
        # A scanner that was left out, or failed before it wrote anything, saw nothing either.
        yield sentence("matters.nothing", looked=f"{ran}{more}" if ran else "none that the report names")
    else:
        levels = Counter(issue.level for issue in issues)
        said = ", ".join(f"{levels[level]:,} {level}" for level in reversed(LEVELS) if level in levels)
        yield sentence("matters.count", issues=len(issues), findings=sum(counts.level.values()), levels=said)
        worst = [issue for issue in issues if issue.level not in _MINOR][:_WORST]
        for number, issue in enumerate(worst):
            yield sentence(
                "matters.next" if number else "matters.worst",
                level=issue.level, title=called(issue), about=_about(issue), doubt=_doubt(issue),
            )  # fmt: skip
        if not worst:
            yield sentence("matters.minor", level=max((issue.level for issue in issues), key=LEVELS.index))
    if mistakes:
        yield sentence("matters.mistakes", count=mistakes)
    settled = counts.status.get("accepted", 0) + counts.status.get("false_positive", 0)
    if settled:
        yield sentence("matters.settled", count=settled)


def _scanners(facts: Facts) -> list[str]:
    """List which parts of the scanner the report has: those it names, or else those that reported something."""
    return list(facts.context.header.scanners) or sorted(facts.host.scanners)


def _about(issue: Issue) -> str:
    things = labels(issue)
    return _state(issue) or (f" ({things})" if things else "")


def _state(issue: Issue) -> str:
    """Give the first sentence of the assessment where the title says no state; it may be a model's or hold values."""
    if not issue.class_.startswith(_STATELESS) or not issue.assessment:
        return ""
    return f": {quoted(issue.assessment.partition('. ')[0].removesuffix('.'), _ASSESSMENT)}"


def _doubt(issue: Issue) -> str:
    if issue.status == "unknown":
        return "" if _state(issue) else _UNTOLD
    return _DOUBTS[issue.artefact.degree] if issue.artefact is not None else ""


def _together(correlations: Sequence[ScanCorrelation], patterns: Patterns) -> Iterator[Sentence]:
    by_level = sorted(correlations, key=lambda group: -LEVELS.index(group.level))
    kinds: dict[str, ScanCorrelation] = {}
    for group in by_level:
        kinds.setdefault(group.rule, group)
    told = list(kinds.values())[:_PATTERNS]
    for number, group in enumerate(told):
        yield sentence("together.pattern", count=patterns.findings[group.group], title=group.title)
        if not number:
            yield sentence("together.why", why=group.why)
    if more := len(correlations) - len(told):
        yield sentence("together.more", count=more)
    if patterns.shared > 1:
        yield sentence("together.shared", count=patterns.shared)


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
        yield sentence(
            "changed.where", level=fresh.level, title=called(fresh), about=_state(fresh), doubt=_doubt(fresh)
        )


def _todo(facts: Facts) -> Iterator[Sentence]:
    issues = facts.issues
    urgent = [issue for issue in issues if issue.level in _URGENT]
    if urgent:
        worst = max((issue.level for issue in urgent), key=LEVELS.index)
        # Before all else only what is about the worst.
        attacks = (group for group in facts.correlations if is_attack(group.rule) and group.level == worst)
        pattern = next(attacks, None)
        if pattern is not None:
            yield sentence("todo.first", first=about(pattern.first, _things(pattern, issues)))
        for step in first_steps(urgent, _ACTIONS):
            yield sentence("todo.now" if step.level == "critical" else "todo.act", summary=step.summary)
    elif issues:
        if _is_whole(facts):
            yield sentence("todo.no_hurry")
        for step in first_steps(issues, _LATER):
            yield sentence("todo.later", summary=step.summary)
    if facts.ended:
        yield sentence("todo.expired", count=facts.ended)


def _things(pattern: ScanCorrelation, issues: Sequence[Issue]) -> str:
    """Name what a pattern is about: what its members share, else those of them that an issue names."""
    names = {key: label for issue in issues for key, label in zip(issue.examples, issue.labels, strict=True)}
    members = [names[key] for key in pattern.members if names.get(key)]
    return _names([pattern.about] if pattern.about else dict.fromkeys(members))


def _is_whole(facts: Facts) -> bool:
    """Say whether the scan saw what it was made to see; else what is urgent may be what it did not see."""
    return facts.context.complete and not facts.counts.status.get("error") and facts.context.header.euid in (None, "0")


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


def _names(names: Iterable[str], last: Callable[[str], bool] = lambda _: False) -> str:
    """List names by alphabet, those that are to come last after the others."""
    shown = [quoted(name, LABEL) for name in sorted(filter(None, names), key=lambda name: (last(name), name))]
    more = len(shown) - _NAMED
    return ", ".join(shown[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _is_everywhere(name: str) -> bool:
    return name in _EVERYWHERE or name.startswith("systemd")
