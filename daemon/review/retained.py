"""What is kept of the findings of a batch, so that somebody can review them later."""

from collections.abc import Sequence

from daemon.ports.work import Reviewable
from pipeline.classes.scan import scan_scope
from pipeline.finding import Level, Status
from pipeline.graph.session import ScanSession
from pipeline.keys import canonical
from pipeline.output.enriched import Line
from pipeline.review.standing import situation_of
from pipeline.review.verdict import encode_situation
from pipeline.rules.judge import Judgement
from pipeline.rules.score import points_of, raised_to


def reviewables(session: ScanSession, first: int, lines: Sequence[Line]) -> list[Reviewable]:
    """Give one for each fingerprint and situation among the lines that begin at the position `first`: its worst line.

    Lines of one thing may be in several situations, such as three processes of one program: somebody who decides about
    one of them has not seen the others.
    """
    profile = scan_scope(session.index.context.header) or ""
    members = session.index.members
    worst: dict[tuple[str, str], tuple[int, int]] = {}
    judge = session.judge
    keys: dict[tuple[str, str], list[str]] = {}
    for seq, line in enumerate(lines, first):
        classified = members[seq].classified
        name = classified.fingerprint, classified.situation
        score = _without(judge.judge(seq), line.level)[2]
        if name not in worst or score > worst[name][0]:
            worst[name] = score, seq
        keys.setdefault(name, []).append(line.key)
    found: list[Reviewable] = []
    spelt: dict[str, bytes] = {}
    for name, (score, seq) in sorted(worst.items(), key=lambda item: item[1][1]):
        finding, line = members[seq].classified, lines[seq - first]
        status, level, _ = _without(judge.judge(seq), line.level)
        said = spelt.get(finding.situation)
        if said is None:
            said = spelt[finding.situation] = canonical(encode_situation(situation_of(finding)))
        found.append(
            Reviewable(
                fingerprint=name[0],
                situation=finding.situation,
                said=said,
                class_id=finding.class_id,
                scanner=finding.scanner,
                status=status,
                level=level,
                score=score,
                profile=profile,
                keys=tuple(keys[name]),
                line=line.line,
            )
        )
    return found


def _without(judgement: Judgement, level: Level) -> tuple[Status, Level, int]:
    """Give status, level and score as they are without a verdict: what the queue is ordered by, also after an undo."""
    review = judgement.review
    if review is None:
        return judgement.status, level, raised_to(judgement.risk, level).score
    return review.status_without, review.level_without, points_of(review.level_without)
