"""Deciding, as every way in which people review does it: what a verdict needs, giving it, and taking it back."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date

from daemon.review.queue import Aim, Ambiguous, NotFound, Queue
from daemon.review.words import decided
from pipeline.display import printable
from pipeline.errors import AgentError
from pipeline.knowledge.schema import Knowledge
from pipeline.review.log import LogMoved, VerdictLog
from pipeline.review.standing import is_of_line, situation_covered, undone_by
from pipeline.review.verdict import MAX_TEXT, Correction, Draft, Kind, Verdict
from pipeline.rules.review import SETTLES

_LISTED = {
    "to-class": "`sysscan-agent list classes` has all",
    "action": "`sysscan-agent list remediations` has all",
    "control": "give FRAMEWORK:ID as `sysscan-agent list controls` has them",
    "technique": "give the id of an ATT&CK technique that findings are mapped to, such as T1068",
}


class Unfit(AgentError):
    """Raised when what a person gave makes no verdict.

    Attributes:
        field: what is wrong, named as the options of the commands are.
        why: what is wrong with it, and what to do.
        given: what was given, fit to be shown, or empty.
    """

    def __init__(self, field: str, why: str, given: str = "") -> None:
        self.field, self.why, self.given = field, why, printable(given)
        super().__init__(f"{self.given}: {why}" if given else why)

    def of_option(self) -> str:
        """Say it to somebody who gave options."""
        return f"--{self.field} {self.given}".rstrip() + f": {self.why}"


class Overtaken(AgentError):
    """Raised when somebody else has decided meanwhile; nothing was stored.

    Attributes:
        verdicts: what was decided, in order.
    """

    def __init__(self, verdicts: Sequence[Verdict]) -> None:
        super().__init__("somebody has decided on this meanwhile")
        self.verdicts = verdicts


@dataclass(slots=True, frozen=True)
class Decision:
    """What a person decides, before it is known about how much."""

    kind: Kind
    reason: str = ""
    correction: Correction | None = None
    owner: str | None = None
    until: str | None = None

    def checked(self, today: str) -> "Decision":
        """Give it as it is stored.

        Args:
            today: RFC 3339.

        Raises:
            Unfit: when something is missing, or cannot be.
        """
        reason = text(self.reason, "reason")
        if self.kind != "approve" and not reason:
            raise Unfit("reason", "say why in a few words; it stays with the verdict")
        if self.kind == "correct" and (self.correction is None or self.correction.is_empty):
            raise Unfit("to-level", "nothing to correct; give the level, class, action or whatever else is right")
        if self.kind == "accept" and not self.until:
            raise Unfit("until", "say until when the risk is accepted, such as 2027-01-31")
        until = None if self.until is None else _day(self.until, today)
        owner = None if self.owner is None else text(self.owner, "owner") or None
        return replace(self, reason=reason, until=until, owner=owner)


def text(given: str, field: str) -> str:
    """Give a text of a person as it is stored: on one line.

    Raises:
        Unfit: when it is too long, or no text.
    """
    given = " ".join(given.split())
    if len(given) > MAX_TEXT:
        raise Unfit(field, f"at most {MAX_TEXT:,} characters")
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise Unfit(field, "holds bytes that are not UTF-8") from error
    return given


def _day(given: str, today: str) -> str:
    try:
        day = date.fromisoformat(given).isoformat()
    except ValueError as error:
        raise Unfit("until", "not a day; give one such as 2027-01-31", given) from error
    if day < today[:10]:
        raise Unfit("until", "that day is over; give today or a later one", day)
    return day


def check(correction: Correction, knowledge: Knowledge) -> None:
    """See that what a reviewer names is there to be named.

    Raises:
        Unfit: when it is not.
    """
    controls = {f"{one.framework}:{one.control}" for topic in knowledge.topics.values() for one in topic.controls}
    known: tuple[tuple[str, Sequence[str], Collection[str]], ...] = (
        ("to-class", [correction.class_id] if correction.class_id else [], knowledge.classes),
        ("action", [correction.action] if correction.action else [], knowledge.remediations),
        ("control", correction.controls or (), controls),
        ("technique", correction.techniques or (), knowledge.techniques),
    )
    for field, values, names in known:
        for value in values:
            if value not in names:
                raise Unfit(field, f"the knowledge has no such thing; {_LISTED[field]}", value)


def give(
    queue: Queue,
    log: VerdictLog,
    decision: Decision,
    aims: Sequence[Aim],
    *,
    at: str,
    author: str,
    since: int | None = None,
) -> list[Verdict]:
    """Put verdicts into the log, one for each aim, all of them or none.

    Args:
        since: the last verdict that the person has seen; None does not mind later ones.

    Raises:
        Overtaken: when a later one is about the same.
        Ambiguous: when an approval would open what is settled.
    """

    def draft(aim: Aim) -> Draft:
        before = queue.counting(aim) if decision.kind == "approve" else None
        if before is not None and before.kind in SETTLES:  # to approve it would open it again
            raise Ambiguous(f"verdict {before.seq} has settled it ({decided(before)}); undo that first")
        return Draft(
            decision.kind, decision.reason, aim.target, decision.correction, decision.owner, decision.until,
            case=queue.case(aim),
        )  # fmt: skip

    return _append(
        queue, log, lambda: [draft(aim) for aim in aims], at, author,
        lambda: [] if since is None else decided_since(queue, aims, since),
    )  # fmt: skip


def decided_since(queue: Queue, aims: Sequence[Aim], seq: int) -> list[Verdict]:
    """List the verdicts after a number that are about something that the aims reach, as far as the queue has read."""
    touches = _meant(queue, aims)
    return [one for one in queue.verdicts[seq:] if touches(one)]


def undo(
    queue: Queue, log: VerdictLog, seqs: Sequence[int], *, reason: str, at: str, author: str, since: int | None = None
) -> list[Verdict]:
    """Have verdicts not count any more, all of them or none.

    Args:
        since: as in `give`.

    Raises:
        NotFound: when there is no such verdict.
        Ambiguous: when one is undone already.
        Overtaken: when one of them was undone later than `since`.
        Unfit: when the reason is no text.
    """
    reason = text(reason, "reason")

    def drafts() -> list[Draft]:
        missing = next((seq for seq in seqs if not 0 < seq <= len(queue.verdicts)), None)
        if missing is not None:
            raise NotFound(f"there is no verdict {missing}; `review history` shows them")
        undone = undone_by(queue.verdicts)
        already = next((seq for seq in seqs if seq in undone), None)
        if already is not None:
            raise Ambiguous(
                f"verdict {already} is undone already, by verdict {undone[already]}; undo that to have it count again"
            )
        found = [queue.verdicts[seq - 1] for seq in seqs]
        return [Draft("undo", reason, one.target, undoes=one.seq) for one in found]

    def overtaken() -> list[Verdict]:
        return [] if since is None else [one for one in queue.verdicts[since:] if one.undoes in seqs]

    return _append(queue, log, drafts, at, author, overtaken)


def _append(
    queue: Queue,
    log: VerdictLog,
    drafts: Callable[[], list[Draft]],
    at: str,
    author: str,
    overtaken: Callable[[], list[Verdict]],
) -> list[Verdict]:
    """Look at what others have decided, and append only where nobody has appended in between."""
    while True:
        queue.refresh()
        if verdicts := overtaken():
            raise Overtaken(verdicts)
        try:
            given = log.append(drafts(), at=at, author=author, behind=queue.standing.head)
        except LogMoved:
            continue
        queue.refresh()
        return given


def _meant(queue: Queue, aims: Sequence[Aim]) -> Callable[[Verdict], bool]:
    """Give what says whether a verdict reaches something that the aims reach."""
    targets = [aim.target for aim in aims]

    def touches(verdict: Verdict) -> bool:
        if verdict.undoes is not None:
            return touches(queue.verdicts[verdict.undoes - 1])
        theirs = verdict.target
        for ours in targets:
            if theirs.fingerprint is not None and ours.fingerprint is not None:
                same = (theirs.host, theirs.fingerprint) == (ours.host, ours.fingerprint)
                same = same and (ours.situation is None or is_of_line(verdict, ours.situation))
            elif theirs.fingerprint is not None:
                found = queue.in_situations(theirs.host or "", theirs.fingerprint)
                same = ours.situation is not None and any(ours.situation.covers(one) for one in found)
                same = same and ours.host in (None, theirs.host)
            elif ours.fingerprint is not None:
                found = queue.in_situations(ours.host or "", ours.fingerprint)
                same = any(situation_covered(verdict, ours.host or "", one) for one in found)
            else:
                one, other = theirs.situation, ours.situation
                same = one is not None and other is not None and (one.covers(other) or other.covers(one))
                same = same and (None in (theirs.host, ours.host) or theirs.host == ours.host)
            if same:
                return True
        return False

    return touches
