"""The scan record: what is wrong with the host and what to do first, in one object."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.classes.scan import ScanIndex, host_facts, scan_scope
from pipeline.display import printable
from pipeline.finding import LEVELS, Level
from pipeline.keys import digest
from pipeline.knowledge.schema import Knowledge
from pipeline.output.enriched import Provenance
from pipeline.rules.baseline import Comparison, Missing, Seen, identity_slots, label_of
from pipeline.rules.compliance import GapAnalysis, coverage
from pipeline.rules.correlate import Group
from pipeline.rules.judge import Json, Judgement
from pipeline.rules.policy import Policy
from pipeline.steps import PIECE, Steps, pieces, sort_in_steps

SCHEMA = "sysscan.scan/1"
_EXAMPLES = 5  # findings that an issue names
_TOP = 10
_UNSEEN = 200  # findings that were not observed, the last seen first; they stay so until seen again or forgotten
_AT_STAKE = frozenset({"open", "unknown", "error"})


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


def scan_record_steps(
    judged: Judged,
    groups: Sequence[Group],
    comparison: Comparison | None,
    knowledge: Knowledge,
    policy: Policy,
    provenance: Provenance,
) -> Steps[Json]:
    """Summarise a scan, in steps; every list is ordered by what to look at first, then by name."""
    index, judgements, levels = judged.index, judged.judgements, judged.levels
    context, header = index.context, index.context.header
    members = index.members
    # People count findings; twins are one.
    first_of: dict[str, int] = {}
    statuses: Counter[str] = Counter()
    at_stake: Counter[str] = Counter()
    unknown = ambiguous = artefacts = 0
    gaps = GapAnalysis()
    for piece in pieces(members, 4 * PIECE):
        for m in piece:
            judgement = judgements[m.seq]
            gaps.add(judgement.controls_key, judgement.controls, m.dedupe_key, m.classified.fingerprint)
            unknown += m.classified.class_id.startswith("unknown.")
            ambiguous += bool(m.classified.candidates)
            artefacts += judgement.artefact is not None and judgement.artefact["degree"] != "cannot_tell"
            if first_of.setdefault(m.classified.content, m.seq) == m.seq:
                statuses[judgement.status] += 1
                if judgement.status in _AT_STAKE:
                    at_stake[levels[m.seq]] += 1
        yield
    issues = yield from _issues(judged, comparison, knowledge)
    correlations: list[Json] = []
    for group in groups:
        correlations.append(_correlation(group, judged))
        if len(group.members) > PIECE or not len(correlations) % PIECE:
            yield
    against = None
    if comparison is not None:
        against = yield from _baseline(comparison, knowledge)
    return {
        "schema": SCHEMA,
        "scan_id": context.scan_id,
        "host": context.host,
        "host_source": context.host_source,
        "host_facts": host_facts(header),
        "profile": scan_scope(header),
        "source_format": header.source_format,
        "started_at": header.started_at,
        "finished_at": header.finished_at,
        "as_of": context.as_of,
        "complete": context.complete,
        "min_severity": printable(header.min_severity) if header.min_severity is not None else None,
        "notes": sorted(header.notes),
        "counts": {
            "lines": len(members),
            "distinct": len(first_of),
            "rejected": context.rejected,
            "status": dict(sorted(statuses.items())),
            "level": dict(sorted(at_stake.items())),
            "issues": len(issues),
            "unknown_class": unknown,
            "ambiguous_class": ambiguous,
            "probable_artefacts": artefacts,
        },
        "issues": issues,
        "top": [issue["id"] for issue in issues[:_TOP]],
        "correlations": correlations,
        "baseline": against,
        "compliance": gaps.report(knowledge.frameworks, coverage(knowledge)),
        "policy": {
            "profile": policy.profile,
            "expired": [
                {"owner": entry.owner, "reason": entry.reason, "expires": entry.expires.isoformat(),
                 "class": entry.class_, "fingerprint": entry.fingerprint}
                for entry in policy.expired(context.as_of)
            ],
        },
        "provenance": provenance.as_json(),
    }  # fmt: skip


def _issues(judged: Judged, comparison: Comparison | None, knowledge: Knowledge) -> Steps[list[Json]]:
    """Group what is at stake by class and by the features that split it; worst first."""
    buckets: dict[tuple[str, ...], list[int]] = {}
    for piece in pieces(judged.index.members, 4 * PIECE):
        for member in piece:
            status = judged.judgements[member.seq].status
            if status not in _AT_STAKE:
                continue
            finding = member.classified
            spec = knowledge.classes.get(finding.class_id)
            split = [finding.features.get(name, "") for name in spec.issue_by] if spec is not None else []
            buckets.setdefault((finding.class_id, status, *finding.candidates, *split), []).append(member.seq)
        yield
    issues: list[Json] = []
    for key in sorted(buckets):
        issue = yield from _issue(key, buckets[key], judged, comparison, knowledge)
        issues.append(issue)
        yield
    issues.sort(
        key=lambda issue: (
            -LEVELS.index(issue["level"]),  # a model may have raised it
            -issue["score"],
            issue["do_first"] is not None and issue["do_first"]["kind"] == "accept",  # nothing to do: after the rest
            -issue["distinct"],
            issue["class"],
            issue["id"],
        )
    )
    return issues


def _issue(
    key: tuple[str, ...], seqs: Sequence[int], judged: Judged, comparison: Comparison | None, knowledge: Knowledge
) -> Steps[Json]:
    index, judgements, levels = judged.index, judged.judgements, judged.levels
    identity = identity_slots(knowledge, index.members[seqs[0]].classified.class_id)
    worst = seqs[0]
    worst_rank: tuple[int, int] = (-1, 0)
    labels: list[str] = []
    examples: list[str] = []
    prints: set[str] = set()
    states: Counter[str] = Counter()
    actions: Counter[tuple[str, bool]] = Counter()
    for piece in pieces(seqs, 4 * PIECE):
        for seq in piece:
            one, other = judgements[seq], index.members[seq].classified
            rank = LEVELS.index(levels[seq]), one.risk.score
            if rank > worst_rank:
                worst, worst_rank = seq, rank
            actions.update((action["id"], action["contraindicated"] is not None) for action in one.remediation)
            if other.fingerprint in prints:
                continue
            prints.add(other.fingerprint)
            if len(labels) < _EXAMPLES:
                labels.append(label_of(other, identity, index.findings[seq].id))
                examples.append(index.members[seq].dedupe_key)
            if comparison is not None:
                states[comparison.seen[other.fingerprint].state] += 1
        yield
    assessment, impact = judged.say(worst)
    judgement, finding = judgements[worst], index.members[worst].classified
    spec = knowledge.classes.get(finding.class_id)
    first = _do_first([judgements[seq] for seq in seqs])
    return {
        "id": digest("issue", index.context.host, *key),
        "class": finding.class_id,
        "candidates": finding.candidates,
        "title": spec.title if spec is not None else _untold_title(finding.candidates, finding.title, knowledge),
        "split": {
            name: finding.features[name]
            for name in (spec.issue_by if spec is not None else ())
            if name in finding.features
        },
        "scanner": finding.scanner,
        "status": judgement.status,
        "level": levels[worst],
        "score": judgement.risk.score,
        "assessment": assessment,
        "impact": impact,
        "lines": len(seqs),
        "distinct": len(prints),
        "baseline": dict(sorted(states.items())),
        "labels": labels,
        "examples": examples,
        "artefact": None
        if judgement.artefact is None
        else {name: judgement.artefact[name] for name in ("id", "degree", "why", "check")},
        "do_first": None
        if first is None
        else {
            "kind": knowledge.remediations[first["id"]].kind,
            **{name: first[name] for name in ("id", "summary", "command", "check", "contraindicated")},
        },
        "actions": [
            {"id": name, "contraindicated": barred, "findings": count}
            for (name, barred), count in sorted(actions.items())
        ],
    }


def _do_first(judgements: Sequence[Judgement]) -> Json | None:
    """Choose an action for the worst finding that has one which does no harm; else say what must not be done."""
    best: tuple[bool, int] | None = None
    chosen: Json | None = None
    for judgement in judgements:
        for action in judgement.remediation:
            harmless = action["contraindicated"] is None
            rank = harmless, judgement.risk.score
            if best is None or rank > best:
                best, chosen = rank, action
            if harmless:
                break
    return chosen


def _untold_title(candidates: Sequence[str], title: str, knowledge: Knowledge) -> str:
    if candidates:
        return "One of: " + "; ".join(knowledge.classes[name].title for name in candidates)
    return printable(title) or "Unknown kind of finding"


def _correlation(group: Group, judged: Judged) -> Json:
    level = max((judged.levels[seq] for seq in group.members), key=LEVELS.index)
    return {
        "rule": group.rule,
        "group": group.group,
        "title": group.title,
        "why": group.why,
        "about": printable(group.about) or None,
        "first": group.first,
        "level": level,
        "techniques": group.techniques,
        "findings": len(group.members),
        "members": [judged.index.members[seq].dedupe_key for seq in group.members[:10]],
    }


def _baseline(comparison: Comparison, knowledge: Knowledge) -> Steps[Json]:
    resolved: list[Json] = []
    for piece in pieces(comparison.resolved):
        resolved += [_gone(one, knowledge, "gone") for one in piece]
        yield
    passed = yield from sort_in_steps(
        fingerprint for fingerprint, one in comparison.seen.items() if one.state == "resolved"
    )
    for names in pieces(passed):
        resolved += [_gone(comparison.seen[name], knowledge, "passed") for name in names]
        yield
    return {
        "compared": comparison.compared,
        "states": dict(sorted(Counter(seen.state for seen in comparison.seen.values()).items())),
        "resolved": resolved,
        "not_observed": [_gone(one, knowledge, "gone") for one in comparison.not_observed[:_UNSEEN]],
        "not_observed_count": len(comparison.not_observed),
    }


def _gone(one: Missing | Seen, knowledge: Knowledge, how: str) -> Json:
    spec = knowledge.classes.get(one.class_id)
    return {
        "fingerprint": one.fingerprint,
        "class": one.class_id,
        "title": spec.title if spec is not None else one.class_id,
        "label": one.label,
        "first_seen_at": one.first_seen_at,
        "how": how,
    }
