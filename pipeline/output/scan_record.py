"""Makes the scan record: what is wrong with the host and what to do first."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeVar

from pipeline.classes.scan import ScanContext, scan_scope
from pipeline.classes.version import is_newer
from pipeline.display import printable
from pipeline.finding import LEVELS, Level, Note, Status
from pipeline.knowledge.schema import Knowledge
from pipeline.output.grouping import is_at_stake, issue_steps
from pipeline.output.judged import Judged
from pipeline.output.records import (
    BaselineSection,
    Counts,
    ExpiredEntry,
    GoneFinding,
    HostFacts,
    Issue,
    PolicySection,
    Provenance,
    ScanCorrelation,
    ScanRecord,
    Sentence,
)
from pipeline.output.story import Facts, host_steps, pattern_steps, story
from pipeline.review.standing import NONE, Standing
from pipeline.review.verdict import MAX_TEXT, Verdict
from pipeline.rules.baseline import Comparison, Missing, Seen
from pipeline.rules.compliance import FrameworkGap, GapAnalysis, coverage
from pipeline.rules.correlate import Group
from pipeline.rules.policy import Policy
from pipeline.steps import PIECE, Steps, pieces, sort_in_steps

SCHEMA: Final = "sysscan.scan/1"
_MEMBERS = 10  # findings that a correlation names
_FIRST_RELEASE = "2024-01-01"  # no report of this scanner is older
_TOP = 10
_UNSEEN = 200  # findings that were not observed, the last seen first; they stay so until seen again or forgotten

Word = TypeVar("Word", bound=str)


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
    issues = yield from issue_steps(judged, comparison, knowledge)
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
                if is_at_stake(judgement.status):
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
