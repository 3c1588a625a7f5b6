"""The scan record: what is wrong with the host and what to do first, in one object."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


def scan_record(
    judged: Judged,
    groups: Sequence[Group],
    comparison: Comparison | None,
    knowledge: Knowledge,
    policy: Policy,
    provenance: Provenance,
) -> Json:
    """Summarise a scan; every list is ordered by what to look at first, then by name."""
    index, judgements, levels = judged.index, judged.judgements, judged.levels
    context, header = index.context, index.context.header
    members = index.members
    # People count findings; twins are one.
    first_of = {(m.classified.fingerprint, m.classified.content): m.seq for m in reversed(members)}
    different = [judgements[seq] for seq in first_of.values()]
    issues = _issues(judged, comparison, knowledge)
    gaps = GapAnalysis()
    for member, judgement in zip(members, judgements, strict=True):
        gaps.add(judgement.controls, member.dedupe_key, member.classified.fingerprint)
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
            "distinct": len(different),
            "rejected": context.rejected,
            "status": _count(judgement.status for judgement in different),
            "level": _count(levels[seq] for seq in first_of.values() if judgements[seq].status in _AT_STAKE),
            "issues": len(issues),
            "unknown_class": sum(m.classified.class_id.startswith("unknown.") for m in members),
            "ambiguous_class": sum(bool(m.classified.candidates) for m in members),
            "probable_artefacts": sum(
                1 for j in judgements if j.artefact is not None and j.artefact["degree"] != "cannot_tell"
            ),
        },
        "issues": issues,
        "top": [issue["id"] for issue in issues[:_TOP]],
        "correlations": [_correlation(group, judged) for group in groups],
        "baseline": None if comparison is None else _baseline(comparison, knowledge),
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


def _issues(judged: Judged, comparison: Comparison | None, knowledge: Knowledge) -> list[Json]:
    """Group what is at stake by class and by the features that split it; worst first."""
    buckets: dict[tuple[str, ...], list[int]] = {}
    for member, judgement in zip(judged.index.members, judged.judgements, strict=True):
        if judgement.status not in _AT_STAKE:
            continue
        finding = member.classified
        spec = knowledge.classes.get(finding.class_id)
        split = [finding.features.get(name, "") for name in spec.issue_by] if spec is not None else []
        buckets.setdefault((finding.class_id, judgement.status, *finding.candidates, *split), []).append(member.seq)
    issues = [_issue(key, seqs, judged, comparison, knowledge) for key, seqs in sorted(buckets.items())]
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
) -> Json:
    index, judgements, levels = judged.index, judged.judgements, judged.levels
    worst = max(seqs, key=lambda seq: (LEVELS.index(levels[seq]), judgements[seq].risk.score, -seq))
    assessment, impact = judged.say(worst)
    judgement, member = judgements[worst], index.members[worst]
    finding = member.classified
    spec = knowledge.classes.get(finding.class_id)
    identity = identity_slots(knowledge, finding.class_id)
    labels: dict[str, str] = {}
    examples: list[str] = []
    for seq in seqs:
        other = index.members[seq].classified
        if other.fingerprint not in labels:
            labels[other.fingerprint] = label_of(other, identity, index.findings[seq].id)
            examples.append(index.members[seq].dedupe_key)
    states: Counter[str] = Counter()
    if comparison is not None:
        states.update(comparison.seen[fingerprint].state for fingerprint in labels)
    actions = Counter(
        (action["id"], action["contraindicated"] is not None) for seq in seqs for action in judgements[seq].remediation
    )
    first = _do_first([judgements[seq] for seq in sorted(seqs, key=lambda seq: (-judgements[seq].risk.score, seq))])
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
        "distinct": len(labels),
        "baseline": dict(sorted(states.items())),
        "labels": list(labels.values())[:_EXAMPLES],
        "examples": examples[:_EXAMPLES],
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
    for judgement in judgements:
        for action in judgement.remediation:
            if action["contraindicated"] is None:
                return action
    return next((judgement.remediation[0] for judgement in judgements if judgement.remediation), None)


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


def _baseline(comparison: Comparison, knowledge: Knowledge) -> Json:
    return {
        "compared": comparison.compared,
        "states": _count(seen.state for seen in comparison.seen.values()),
        "resolved": [_gone(one, knowledge, "gone") for one in comparison.resolved]
        + [
            _gone(one, knowledge, "passed")
            for one in sorted(comparison.seen.values(), key=lambda one: one.fingerprint)
            if one.state == "resolved"
        ],
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


def _count(values: Any) -> Mapping[str, int]:
    return dict(sorted(Counter(values).items()))
