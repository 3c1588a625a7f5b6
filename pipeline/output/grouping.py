"""Makes the issues of a scan: what is at stake, findings of one kind as one, the worst first."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeGuard

from pipeline.display import printable
from pipeline.finding import RawFinding, Status
from pipeline.keys import digest
from pipeline.knowledge.schema import Knowledge
from pipeline.output.judged import Judged
from pipeline.output.records import ActionCount, AtStake, FirstAction, Issue, IssueArtefact
from pipeline.output.unknown import issue_likely, reported
from pipeline.output.values import without_values
from pipeline.rules.baseline import BaselineState, Comparison, identity_slots, label_of
from pipeline.rules.judge import Judgement
from pipeline.rules.remediate import Action
from pipeline.rules.score import raised_to
from pipeline.steps import PIECE, Steps, pieces

_EXAMPLES = 5  # findings that an issue names
_AT_STAKE = frozenset({"open", "unknown", "error"})


def is_at_stake(status: Status) -> TypeGuard[AtStake]:
    """Say whether a finding of this status is to be done something about."""
    return status in _AT_STAKE


def issue_steps(judged: Judged, comparison: Comparison | None, knowledge: Knowledge) -> Steps[tuple[Issue, ...]]:
    """Group what is at stake by class and by the features that split it; worst first.

    What is of no known class is split by its title without its values, or by its id where it has none.
    """
    alike: dict[tuple[str, AtStake, tuple[str, ...]], list[int]] = {}
    for piece in pieces(judged.index.members, 4 * PIECE):
        for member in piece:
            status = judged.judgements[member.seq].status
            if not is_at_stake(status):
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
    return without_values(raw.title if raw.title else raw.id)


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
