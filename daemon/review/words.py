"""Findings and verdicts in a few words, for every way in which people review: terminal and page."""

from collections.abc import Iterable

from daemon.review.queue import Aim
from pipeline.display import printable
from pipeline.output.records import EnrichedFinding
from pipeline.review.standing import Standing, has_ended, undone_by
from pipeline.review.verdict import Verdict

_WORDS = {
    "approve": "approved", "correct": "corrected", "accept": "accepted", "false_positive": "false positive",
    "undo": "undone",
}  # fmt: skip


def label_of(line: EnrichedFinding) -> str:
    """Name a finding for people: by its slots, or else by its id."""
    values = [value for value in line.slots.values() if value]
    return printable(" ".join(values[:2]) or line.finding.id, 80)


def title_of(line: EnrichedFinding) -> str:
    """Say what kind of finding it is."""
    return printable(line.finding.title or line.class_, 100)


def states(
    verdicts: Iterable[Verdict], standing: Standing, today: str, *, without_effect: bool = False
) -> dict[int, str]:
    """Say of each verdict whether it counts: ``counts``, ``ended``, ``replaced`` or ``undone``.

    Args:
        without_effect: the log is not what was seen of it, so that none counts: then ``no effect``.
    """
    verdicts = list(verdicts)
    counting = {verdict.seq for verdict in (*standing.counting, *standing.approved.values())}
    struck = undone_by(verdicts)
    found: dict[int, str] = {}
    for verdict in verdicts:
        if verdict.seq in struck:
            found[verdict.seq] = "undone"
        elif verdict.undoes is not None:
            found[verdict.seq] = "counts"
        elif verdict.seq in counting:
            found[verdict.seq] = "ended" if has_ended(verdict, today) else "counts"
        else:
            found[verdict.seq] = "replaced"
    if without_effect:
        return {seq: said if said == "undone" else "no effect" for seq, said in found.items()}
    return found


def about(verdict: Verdict) -> str:
    """Say in words what a verdict is about."""
    target = verdict.target
    if verdict.undoes is not None:
        return f"verdict {verdict.undoes}"
    host = printable(target.host or "", 60)
    if target.fingerprint is not None:
        return f"finding {target.fingerprint[:12]} on {host}"
    kind = printable(target.situation.class_id) if target.situation is not None else ""
    where = f"on {host}" if target.host is not None else "everywhere"
    return f"{kind} {where}"


def decided(verdict: Verdict) -> str:
    """Say in a few words what was decided."""
    said = _WORDS[verdict.kind]
    if verdict.kind == "accept":
        said += f" by {printable(verdict.owner or verdict.author, 40)}"
        said += f" until {verdict.until}" if verdict.until is not None else ""
    if verdict.kind == "correct" and verdict.correction is not None and verdict.correction.level is not None:
        said += f" to {verdict.correction.level}"
    return said


def affected(aims: Iterable[Aim]) -> str:
    """Say how much verdicts are about: ``15 lines on 1 host``."""
    aims = list(aims)
    lines = sum(aim.lines for aim in aims)
    hosts = len({host for aim in aims for host in aim.hosts})
    what = f"{lines:,} {'line' if lines == 1 else 'lines'} on {hosts:,} {'host' if hosts == 1 else 'hosts'}"
    return what if len(aims) == 1 else f"{what}, by {len(aims):,} verdicts"


def numbered(verdicts: Iterable[Verdict]) -> str:
    """Name verdicts by their numbers: ``verdict 7``, ``verdicts 7 to 12``."""
    numbers = [verdict.seq for verdict in verdicts]
    return f"verdict {numbers[0]}" if len(numbers) == 1 else f"verdicts {numbers[0]} to {numbers[-1]}"
