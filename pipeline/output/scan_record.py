"""Makes the scan record: what is wrong with the host and what to do first."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeGuard, TypeVar

from pipeline.classes.scan import ScanContext, ScanIndex, scan_scope
from pipeline.display import printable
from pipeline.finding import LEVELS, Level, Note, Status
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
)
from pipeline.rules.baseline import BaselineState, Comparison, Missing, Seen, identity_slots, label_of
from pipeline.rules.compliance import FrameworkGap, GapAnalysis, coverage
from pipeline.rules.correlate import Group
from pipeline.rules.judge import Judgement
from pipeline.rules.policy import Policy
from pipeline.rules.remediate import Action

SCHEMA: Final = "sysscan.scan/1"
_EXAMPLES = 5  # findings that an issue names
_MEMBERS = 10  # findings that a correlation names
_TOP = 10
_UNSEEN = 200  # findings that were not observed, the last seen first; they stay so until seen again or forgotten
_AT_STAKE = frozenset({"open", "unknown", "error"})

Word = TypeVar("Word", bound=str)


@dataclass(slots=True, frozen=True)
class Judged:
    """The findings of a scan, as their lines have them.

    Attributes:
        judgements, levels: by position in the report; the levels in effect.
        say: gives assessment and impact of the finding at a position.
    """

    index: ScanIndex
    judgements: Sequence[Judgement]
    levels: Sequence[Level]
    say: Callable[[int], tuple[str, str]]


def scan_record(
    judged: Judged,
    groups: Sequence[Group],
    comparison: Comparison | None,
    knowledge: Knowledge,
    policy: Policy,
    provenance: Provenance,
) -> ScanRecord:
    """Summarise a scan; every list is ordered by what to look at first, then by name."""
    context = judged.index.context
    issues = _issues(judged, comparison, knowledge)
    gaps = GapAnalysis()
    for member, judgement in zip(judged.index.members, judged.judgements, strict=True):
        gaps.add(judgement.controls, member.dedupe_key, member.classified.fingerprint)
    return record_of(
        context,
        notes=context.header.notes,
        counts=_counts(judged, len(issues)),
        issues=issues,
        correlations=tuple(_correlation(group, judged) for group in groups),
        baseline=None if comparison is None else _baseline(comparison, knowledge),
        compliance=gaps.report(knowledge.frameworks, coverage(knowledge)),
        policy=PolicySection(
            profile=policy.profile,
            expired=tuple(
                ExpiredEntry(entry.owner, entry.reason, entry.expires.isoformat(), entry.class_, entry.fingerprint)
                for entry in policy.expired(context.as_of)
            ),
        ),
        provenance=provenance,
    )


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
        notes=tuple(sorted(notes)),
        counts=counts,
        issues=issues,
        top=tuple(issue.id for issue in issues[:_TOP]),
        correlations=correlations,
        baseline=baseline,
        compliance=compliance,
        policy=policy,
        provenance=provenance,
    )


def _counts(judged: Judged, issues: int) -> Counts:
    members, judgements, levels = judged.index.members, judged.judgements, judged.levels
    # People count findings; twins are one.
    different = {(m.classified.fingerprint, m.classified.content): m.seq for m in reversed(members)}.values()
    return Counts(
        lines=len(members),
        distinct=len(different),
        rejected=judged.index.context.rejected,
        status=count_words(judgements[seq].status for seq in different),
        level=count_words(levels[seq] for seq in different if _at_stake(judgements[seq].status)),
        issues=issues,
        unknown_class=sum(m.classified.class_id.startswith("unknown.") for m in members),
        ambiguous_class=sum(bool(m.classified.candidates) for m in members),
        probable_artefacts=sum(j.artefact is not None and j.artefact.degree != "cannot_tell" for j in judgements),
        stay_open=sum(
            _at_stake(judgements[seq].status)
            and any(action.acceptance is not None for action in judgements[seq].remediation)
            for seq in different
        ),
    )


def _at_stake(status: Status) -> TypeGuard[AtStake]:
    return status in _AT_STAKE


def _issues(judged: Judged, comparison: Comparison | None, knowledge: Knowledge) -> tuple[Issue, ...]:
    """Group what is at stake by class and by the features that split it; worst first."""
    alike: dict[tuple[str, AtStake, tuple[str, ...]], list[int]] = {}
    for member, judgement in zip(judged.index.members, judged.judgements, strict=True):
        status = judgement.status
        if not _at_stake(status):
            continue
        finding = member.classified
        spec = knowledge.classes.get(finding.class_id)
        split = [finding.features.get(name, "") for name in spec.issue_by] if spec is not None else []
        alike.setdefault((finding.class_id, status, (*finding.candidates, *split)), []).append(member.seq)
    issues = [
        _issue(digest("issue", judged.index.context.host, class_id, status, *split), status, seqs, judged, comparison,
               knowledge)
        for (class_id, status, split), seqs in alike.items()
    ]  # fmt: skip
    issues.sort(
        key=lambda issue: (
            -LEVELS.index(issue.level),  # a model may have raised it
            -issue.score,
            issue.do_first is not None and issue.do_first.kind == "accept",  # nothing to do: after the rest
            -issue.distinct,
            issue.class_,
            issue.id,
        )
    )
    return tuple(issues)


def _issue(
    name: str,
    status: AtStake,
    seqs: Sequence[int],
    judged: Judged,
    comparison: Comparison | None,
    knowledge: Knowledge,
) -> Issue:
    index, judgements, levels = judged.index, judged.judgements, judged.levels
    worst = max(seqs, key=lambda seq: (LEVELS.index(levels[seq]), judgements[seq].risk.score, -seq))
    assessment, impact = judged.say(worst)
    judgement, finding = judgements[worst], index.members[worst].classified
    spec = knowledge.classes.get(finding.class_id)
    identity = identity_slots(knowledge, finding.class_id)
    labels: dict[str, str] = {}
    examples: list[str] = []
    for seq in seqs:
        other = index.members[seq].classified
        if other.fingerprint not in labels:
            labels[other.fingerprint] = label_of(other, identity, index.findings[seq].id)
            examples.append(index.members[seq].dedupe_key)
    states: Mapping[BaselineState, int] = {}
    if comparison is not None:
        states = count_words(comparison.seen[fingerprint].state for fingerprint in labels)
    actions = Counter(
        (action.id, action.contraindicated is not None) for seq in seqs for action in judgements[seq].remediation
    )
    first = _do_first([judgements[seq] for seq in sorted(seqs, key=lambda seq: (-judgements[seq].risk.score, seq))])
    split = spec.issue_by if spec is not None else ()
    return Issue(
        id=name,
        class_=finding.class_id,
        candidates=finding.candidates,
        title=spec.title if spec is not None else _untold_title(finding.candidates, finding.title, knowledge),
        split={feature: finding.features[feature] for feature in split if feature in finding.features},
        scanner=finding.scanner,
        status=status,
        level=levels[worst],
        score=judgement.risk.score,
        assessment=assessment,
        impact=impact,
        lines=len(seqs),
        distinct=len(labels),
        baseline=states,
        labels=tuple(labels.values())[:_EXAMPLES],
        examples=tuple(examples[:_EXAMPLES]),
        artefact=_issue_artefact(judgement),
        do_first=_first_action(first, knowledge),
        actions=tuple(ActionCount(action, barred, count) for (action, barred), count in sorted(actions.items())),
    )


def _issue_artefact(judgement: Judgement) -> IssueArtefact | None:
    known = judgement.artefact
    return None if known is None else IssueArtefact(known.id, known.degree, known.why, known.check)


def _first_action(action: Action | None, knowledge: Knowledge) -> FirstAction | None:
    if action is None:
        return None
    kind = knowledge.remediations[action.id].kind
    return FirstAction(kind, action.id, action.summary, action.command, action.check, action.contraindicated)


def _do_first(judgements: Sequence[Judgement]) -> Action | None:
    """Choose an action for the worst finding that has one which does no harm; else say what must not be done."""
    for judgement in judgements:
        for action in judgement.remediation:
            if action.contraindicated is None:
                return action
    return next((judgement.remediation[0] for judgement in judgements if judgement.remediation), None)


def _untold_title(candidates: Sequence[str], title: str, knowledge: Knowledge) -> str:
    if candidates:
        return "One of: " + "; ".join(knowledge.classes[name].title for name in candidates)
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


def _baseline(comparison: Comparison, knowledge: Knowledge) -> BaselineSection:
    passed = sorted((one for one in comparison.seen.values() if one.state == "resolved"), key=_fingerprint)
    return BaselineSection(
        compared=comparison.compared,
        states=count_words(seen.state for seen in comparison.seen.values()),
        resolved=(
            *(_gone(one, knowledge, "gone") for one in comparison.resolved),
            *(_gone(one, knowledge, "passed") for one in passed),
        ),
        not_observed=tuple(_gone(one, knowledge, "gone") for one in comparison.not_observed[:_UNSEEN]),
        not_observed_count=len(comparison.not_observed),
    )


def _fingerprint(seen: Seen) -> str:
    return seen.fingerprint


def _gone(one: Missing | Seen, knowledge: Knowledge, how: Literal["gone", "passed"]) -> GoneFinding:
    spec = knowledge.classes.get(one.class_id)
    title = spec.title if spec is not None else one.class_id
    return GoneFinding(one.fingerprint, one.class_id, title, one.label, one.first_seen_at, how)


def count_words(words: Iterable[Word]) -> dict[Word, int]:
    """Count how often each word occurs; words that do not are left out."""
    return dict(sorted(Counter(words).items()))
