"""Makes the scan record: what is wrong with the host and what to do first."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeGuard, TypeVar

from pipeline.classes.scan import ScanContext, ScanIndex, scan_scope
from pipeline.classes.version import is_newer
from pipeline.display import printable
from pipeline.finding import LEVELS, Level, Note, RawFinding, Status
from pipeline.keys import digest
from pipeline.knowledge.schema import Knowledge
from pipeline.output.records import (
    ActionCount,
    AtStake,
    BaselineSection,
    Counts,
    ExpiredEntry,
    FirstAction,
    GoneFinding,
    HostFacts,
    Issue,
    IssueArtefact,
    PolicySection,
    Provenance,
    ScanCorrelation,
    ScanRecord,
    Sentence,
)
from pipeline.output.story import Facts, host_steps, pattern_steps, story
from pipeline.output.unknown import issue_likely, reported
from pipeline.retrieval.likely import Likely
from pipeline.review.standing import NONE, Standing
from pipeline.review.verdict import MAX_TEXT, Verdict
from pipeline.rules.baseline import BaselineState, Comparison, Missing, Seen, identity_slots, label_of
from pipeline.rules.compliance import FrameworkGap, GapAnalysis, coverage
from pipeline.rules.correlate import Group
from pipeline.rules.judge import Judgement
from pipeline.rules.policy import Policy
from pipeline.rules.remediate import Action
from pipeline.rules.score import raised_to
from pipeline.steps import PIECE, Steps, pieces, sort_in_steps

SCHEMA: Final = "sysscan.scan/1"
_EXAMPLES = 5  # findings that an issue names
_MEMBERS = 10  # findings that a correlation names
_FIRST_RELEASE = "2024-01-01"  # no report of this scanner is older
_TOP = 10
_UNSEEN = 200  # findings that were not observed, the last seen first; they stay so until seen again or forgotten
_AT_STAKE = frozenset({"open", "unknown", "error"})

# Paths, names in quotes, and words or parts of an id with a digit.
_VALUE: Final = re.compile(r"""/[^\s"']*|"[^"]*"|'[^']*'|[^\s:=,()/]*\d[^\s:=,()/]*""")

Word = TypeVar("Word", bound=str)


@dataclass(slots=True, frozen=True)
class Judged:
    """The findings of a scan, as their lines have them.

    Attributes:
        judgements, levels: by position in the report; the levels in effect.
        say: gives assessment and impact of the finding at a position.
        likely: says what it looks like, where its kind is not known.
    """

    index: ScanIndex
    judgements: Sequence[Judgement]
    levels: Sequence[Level]
    say: Callable[[int], tuple[str, str]]
    likely: Callable[[int], Likely | None]


def record_steps(
    judged: Judged,
    groups: Sequence[Group],
    comparison: Comparison | None,
    knowledge: Knowledge,
    policy: Policy,
    provenance: Provenance,
    standing: Standing = NONE,
) -> Steps[ScanRecord]:
    """Summarise a scan, in steps; every list is ordered by what to look at first, then by name."""
    context = judged.index.context
    issues = yield from _issues(judged, comparison, knowledge)
    gaps = GapAnalysis()
    for piece in pieces(judged.index.members, 4 * PIECE):
        for member in piece:
            judgement = judged.judgements[member.seq]
            gaps.add(judgement.controls_key, judgement.controls, member.dedupe_key, member.classified.fingerprint)
        yield
    counts, mistakes = yield from _counts(judged, len(issues))
    correlations: list[ScanCorrelation] = []
    for group in groups:
        correlations.append(_correlation(group, judged))
        if len(group.members) > PIECE or not len(correlations) % PIECE:
            yield
    baseline = None
    if comparison is not None:
        baseline = yield from _baseline(comparison, knowledge)
    notes = _notes(context)
    expired = tuple(
        ExpiredEntry(entry.owner, entry.reason, entry.expires.isoformat(), entry.class_, entry.fingerprint)
        for entry in policy.expired(context.latest)
    ) + tuple(_ended(verdict) for verdict in standing.expired(context.latest, context.host))
    host = yield from host_steps(judged)
    patterns = yield from pattern_steps(groups, judged.index.members)
    facts = Facts(
        context,
        counts,
        issues,
        correlations,
        baseline,
        all_notes(context, notes),
        host,
        mistakes,
        patterns,
        len(expired),
    )
    return record_of(
        context,
        notes=notes,
        counts=counts,
        issues=issues,
        correlations=tuple(correlations),
        baseline=baseline,
        compliance=gaps.report(knowledge.frameworks, coverage(knowledge)),
        policy=PolicySection(profile=policy.profile, expired=expired),
        provenance=provenance,
        story=story(facts),
    )


def _ended(verdict: Verdict) -> ExpiredEntry:
    situation = verdict.target.situation
    return ExpiredEntry(
        owner=printable(verdict.owner or verdict.author),
        reason=printable(verdict.reason, MAX_TEXT),
        expires=verdict.until or "",
        class_=situation.class_id if situation is not None else None,
        fingerprint=verdict.target.fingerprint,
        verdict=verdict.seq,
    )


def _notes(context: ScanContext) -> tuple[Note, ...]:
    notes = context.header.notes
    return (*notes, "implausible_time") if context.as_of[:10] < _FIRST_RELEASE else notes


def record_of(
    context: ScanContext,
    *,
    notes: Iterable[Note],
    counts: Counts,
    issues: tuple[Issue, ...],
    correlations: tuple[ScanCorrelation, ...],
    baseline: BaselineSection | None,
    compliance: tuple[FrameworkGap, ...],
    policy: PolicySection,
    provenance: Provenance,
    story: tuple[Sentence, ...] = (),
) -> ScanRecord:
    """Put what was found in a scan under what the report says of the scan itself."""
    header = context.header
    return ScanRecord(
        schema=SCHEMA,
        scan_id=context.scan_id,
        host=context.host,
        host_source=context.host_source,
        host_facts=HostFacts.of(header),
        profile=scan_scope(header),
        source_format=header.source_format,
        started_at=header.started_at,
        finished_at=header.finished_at,
        as_of=context.as_of,
        complete=context.complete,
        min_severity=printable(header.min_severity) if header.min_severity is not None else None,
        notes=all_notes(context, notes),
        counts=counts,
        issues=issues,
        top=tuple(issue.id for issue in issues[:_TOP]),
        correlations=correlations,
        baseline=baseline,
        compliance=compliance,
        policy=policy,
        provenance=provenance,
        story=story,
    )


def all_notes(context: ScanContext, notes: Iterable[Note]) -> tuple[Note, ...]:
    """Give what was odd about a report, and about the scanner that wrote it."""
    newer: tuple[Note, ...] = ("newer_scanner",) if is_newer(context.header.tool_version) else ()
    return tuple(sorted({*notes, *newer}))


def _counts(judged: Judged, issues: int) -> Steps[tuple[Counts, int]]:
    """Count, and beside that the different findings at stake that are probably mistakes of the scanner."""
    first_of: dict[str, int] = {}  # people count findings; twins are one
    statuses: Counter[Status] = Counter()
    at_stake: Counter[Level] = Counter()
    unknown = ambiguous = artefacts = stay_open = mistakes = 0
    for piece in pieces(judged.index.members, 8 * PIECE):
        for member in piece:
            finding, judgement = member.classified, judged.judgements[member.seq]
            unknown += finding.class_id.startswith("unknown.")
            ambiguous += bool(finding.candidates)
            is_mistake = judgement.artefact is not None and judgement.artefact.degree != "cannot_tell"
            artefacts += is_mistake
            if first_of.setdefault(finding.content, member.seq) == member.seq:
                statuses[judgement.status] += 1
                if _at_stake(judgement.status):
                    at_stake[judged.levels[member.seq]] += 1
                    mistakes += is_mistake
                    stay_open += any(action.acceptance is not None for action in judgement.remediation)
        yield
    counts = Counts(
        lines=len(judged.index.members),
        distinct=len(first_of),
        rejected=judged.index.context.rejected,
        status=dict(sorted(statuses.items())),
        level=dict(sorted(at_stake.items())),
        issues=issues,
        unknown_class=unknown,
        ambiguous_class=ambiguous,
        probable_artefacts=artefacts,
        stay_open=stay_open,
    )
    return counts, mistakes


def _at_stake(status: Status) -> TypeGuard[AtStake]:
    return status in _AT_STAKE


def _issues(judged: Judged, comparison: Comparison | None, knowledge: Knowledge) -> Steps[tuple[Issue, ...]]:
    """Group what is at stake by class and by the features that split it; worst first.

    What is of no known class is split by its title without its values, or by its id where it has none.
    """
    alike: dict[tuple[str, AtStake, tuple[str, ...]], list[int]] = {}
    for piece in pieces(judged.index.members, 4 * PIECE):
        for member in piece:
            status = judged.judgements[member.seq].status
            if not _at_stake(status):
                continue
            finding, class_id = member.classified, judged.judgements[member.seq].class_id
            spec = knowledge.classes.get(class_id)
            if spec is not None:
                split = [finding.features.get(name, "") for name in spec.issue_by]
            else:
                # What nobody knows is not all one thing.
                split = [] if finding.candidates else [_kind(judged.index.findings[member.seq])]
            candidates = finding.candidates if class_id == finding.class_id else ()
            alike.setdefault((class_id, status, (*candidates, *split)), []).append(member.seq)
        yield
    issues: list[Issue] = []
    for (class_id, status, parts), seqs in alike.items():
        name = digest("issue", judged.index.context.host, class_id, status, *parts)
        issue = yield from _issue(name, status, seqs, judged, comparison, knowledge)
        issues.append(issue)
    issues.sort(
        key=lambda issue: (
            -issue.score,
            issue.do_first is not None and issue.do_first.kind == "accept",  # nothing to do: after the rest
            -issue.distinct,
            issue.class_,
            issue.id,
        )
    )
    return tuple(issues)


def _kind(raw: RawFinding) -> str:
    """Name the kind of a finding that nobody knows: its title, or else its id, without what looks like a value."""
    return _VALUE.sub("*", raw.title if raw.title else raw.id)


def _issue(
    name: str,
    status: AtStake,
    seqs: Sequence[int],
    judged: Judged,
    comparison: Comparison | None,
    knowledge: Knowledge,
) -> Steps[Issue]:
    index, judgements, levels = judged.index, judged.judgements, judged.levels
    worst, worst_risk = seqs[0], raised_to(judgements[seqs[0]].risk, levels[seqs[0]])
    first = _DoFirst()
    identity = identity_slots(knowledge, index.members[worst].classified.class_id)
    prints: set[str] = set()
    labels: list[str] = []
    examples: list[str] = []
    states: Counter[BaselineState] = Counter()
    actions: Counter[tuple[str, bool]] = Counter()
    for piece in pieces(seqs, 4 * PIECE):
        for seq in piece:
            judgement, finding = judgements[seq], index.members[seq].classified
            risk = raised_to(judgement.risk, levels[seq])
            if risk.score > worst_risk.score:
                worst, worst_risk = seq, risk
            first.consider(judgement)
            for action in judgement.remediation:
                actions[action.id, action.contraindicated is not None] += 1
            if finding.fingerprint not in prints:
                prints.add(finding.fingerprint)
                if len(labels) < _EXAMPLES:
                    labels.append(label_of(finding, identity, index.findings[seq].id))
                    examples.append(index.members[seq].dedupe_key)
                if comparison is not None:
                    states[comparison.seen[finding.fingerprint].state] += 1
        yield
    assessment, impact = judged.say(worst)
    judgement, finding = judgements[worst], index.members[worst].classified
    class_id = judgement.class_id
    candidates = finding.candidates if class_id == finding.class_id else ()
    spec = knowledge.classes.get(class_id)
    split = spec.issue_by if spec is not None else ()
    return Issue(
        id=name,
        class_=class_id,
        candidates=candidates,
        title=spec.title if spec is not None else _untold_title(candidates, finding.title, knowledge),
        split={feature: finding.features[feature] for feature in split if feature in finding.features},
        scanner=finding.scanner,
        status=status,
        level=levels[worst],
        score=worst_risk.score,
        assessment=assessment,
        impact=impact,
        lines=len(seqs),
        distinct=len(prints),
        baseline=dict(sorted(states.items())),
        labels=tuple(labels),
        examples=tuple(examples),
        artefact=_issue_artefact(judgement),
        do_first=_first_action(first.action, knowledge),
        actions=tuple(ActionCount(action, barred, count) for (action, barred), count in sorted(actions.items())),
        reported=reported(finding, judgement),
        likely=issue_likely(judged.likely(worst)),
    )


def _issue_artefact(judgement: Judgement) -> IssueArtefact | None:
    known = judgement.artefact
    return None if known is None else IssueArtefact(known.id, known.degree, known.why, known.check)


def _first_action(action: Action | None, knowledge: Knowledge) -> FirstAction | None:
    if action is None:
        return None
    kind = knowledge.remediations[action.id].kind
    return FirstAction(kind, action.id, action.summary, action.command, action.check, action.contraindicated)


class _DoFirst:
    """Chooses an action for the worst finding that has one which does no harm; else what must not be done."""

    def __init__(self) -> None:
        self.action: Action | None = None
        self._rank = (False, -1)

    def consider(self, judgement: Judgement) -> None:
        """Take the action of a finding where it is a better choice; of equal ones the first stays."""
        for action in judgement.remediation:
            rank = action.contraindicated is None, judgement.risk.score
            if rank > self._rank:
                self.action, self._rank = action, rank


def _untold_title(candidates: Sequence[str], title: str, knowledge: Knowledge) -> str:
    if candidates:
        titles = "; ".join(knowledge.classes[name].title for name in candidates)
        return ("One of: " if len(candidates) > 1 else "Perhaps: ") + titles
    return printable(title) or "Unknown kind of finding"


def _correlation(group: Group, judged: Judged) -> ScanCorrelation:
    return ScanCorrelation(
        rule=group.rule,
        group=group.group,
        title=group.title,
        why=group.why,
        about=printable(group.about) or None,
        first=group.first,
        level=max((judged.levels[seq] for seq in group.members), key=LEVELS.index),
        techniques=group.techniques,
        findings=len(group.members),
        members=tuple(judged.index.members[seq].dedupe_key for seq in group.members[:_MEMBERS]),
    )


def _baseline(comparison: Comparison, knowledge: Knowledge) -> Steps[BaselineSection]:
    resolved: list[GoneFinding] = []
    for missing in pieces(comparison.resolved, 4 * PIECE):
        resolved += [_gone(one, knowledge, "gone") for one in missing]
        yield
    passed = yield from sort_in_steps(name for name, one in comparison.seen.items() if one.state == "resolved")
    for names in pieces(passed, 4 * PIECE):
        resolved += [_gone(comparison.seen[name], knowledge, "passed") for name in names]
        yield
    return BaselineSection(
        compared=comparison.compared,
        states=count_words(seen.state for seen in comparison.seen.values()),
        resolved=tuple(resolved),
        not_observed=tuple(_gone(one, knowledge, "gone") for one in comparison.not_observed[:_UNSEEN]),
        not_observed_count=len(comparison.not_observed),
    )


def _gone(one: Missing | Seen, knowledge: Knowledge, how: Literal["gone", "passed"]) -> GoneFinding:
    spec = knowledge.classes.get(one.class_id)
    title = spec.title if spec is not None else one.class_id
    return GoneFinding(one.fingerprint, one.class_id, title, one.label, one.first_seen_at, how)


def count_words(words: Iterable[Word]) -> dict[Word, int]:
    """Count how often each word occurs; words that do not are left out."""
    return dict(sorted(Counter(words).items()))
