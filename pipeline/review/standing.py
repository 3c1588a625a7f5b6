"""Which verdicts count: those of a prefix of the log, compiled to be asked about each finding of a scan.

- Of verdicts on the same thing the latest counts; it replaces those before it for good, so that an acceptance that has
  ended does not bring an older one back.
- A verdict on a finding holds as long as the finding is in the situation that was decided on: a program that has a
  harmless name today and a miner's tomorrow has the same fingerprint. Older verdicts do not say which that was.
- A verdict on the finding comes before one on its situation on this host, and that before one on the situation
  everywhere. Of two on different situations that both cover a finding, the later counts.
- An approval says that what is shown is right, and fixes nothing: a correction that held when it was given goes on
  holding under it, as long as it is not undone. A correction that is stored with an approval has no effect.
- A verdict that is undone is as if it had not been given; then those before it count again. An undo can be undone.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property

from pipeline.finding import Classified
from pipeline.review.chain import Head
from pipeline.review.verdict import Situation, Target, Verdict


def situation_of(finding: Classified) -> Situation:
    """Give the situation that a finding is in."""
    return Situation(finding.class_id, finding.status, finding.features, finding.candidates)


class Standing:
    """The verdicts up to a number, as they count.

    Attributes:
        head: up to where, with the hash there.
        approved: corrections that approvals of the same thing uphold, by the number of the latest of these.
    """

    def __init__(self, verdicts: Sequence[Verdict] = (), head: Head | None = None) -> None:
        self.head = head or Head()
        # Replaced ones, too: an approval is about what held when it was given.
        self._of_finding: dict[str, list[Verdict]] = {}
        self._of_class: dict[tuple[str | None, str], list[tuple[Situation, Verdict]]] = {}
        given = _not_undone(verdicts)
        self._counting, self.approved = _counting(given)
        for verdict in given:
            target = verdict.target
            if target.fingerprint is not None:
                self._of_finding.setdefault(target.fingerprint, []).append(verdict)
            elif target.situation is not None:
                place = (target.host, target.situation.class_id)
                self._of_class.setdefault(place, []).append((target.situation, verdict))

    def __bool__(self) -> bool:
        return bool(self._counting)

    @property
    def counting(self) -> Sequence[Verdict]:
        """The verdicts that are neither undone nor replaced, the latest first; expired acceptances among them."""
        return self._counting

    def find(self, host: str, fingerprint: str, situation: Situation, latest: str = "") -> Verdict | None:
        """Give the verdict that counts for a finding.

        Args:
            latest: RFC 3339; acceptances that ended before that day do not count. Empty: none has ended.

        Returns:
            An approval with the correction that holds under it, and with nobody's where none does.
        """
        found = under = self._find(host, fingerprint, situation, latest)
        if found is None or found.kind != "approve":
            return found
        while under is not None and under.kind == "approve":
            under = self._find(host, fingerprint, situation, latest, under.seq)
        if under is None or under.kind != "correct":
            return found if found.correction is None else replace(found, correction=None)
        return replace(found, correction=under.correction, corrected_by=under)

    def _find(
        self, host: str, fingerprint: str, situation: Situation, latest: str, before: float = math.inf
    ) -> Verdict | None:
        """Give the one that counts of those before a number."""
        for verdict in self._of_finding.get(fingerprint, ()):
            if verdict.seq < before and is_of_line(verdict, situation):
                if not has_ended(verdict, latest):
                    return verdict
                break  # it has replaced the earlier ones of this reach
        for place in (host, None):
            for covering, verdict in self._of_class.get((place, situation.class_id), ()):
                if verdict.seq < before and covering.covers(situation):
                    if not has_ended(verdict, latest):
                        return verdict
                    break
        return None

    def expired(self, latest: str, host: str) -> list[Verdict]:
        """List the acceptances that have ended and concern a host, in the order in which they were given."""
        return [
            verdict
            for verdict in reversed(self._counting)
            if has_ended(verdict, latest) and verdict.target.host in (None, host)
        ]

    @cached_property
    def targets(self) -> frozenset[str]:
        """The fingerprints that have a verdict of their own."""
        return frozenset(self._of_finding)


def has_ended(verdict: Verdict, latest: str) -> bool:
    """Say whether a verdict is an acceptance whose last day is over."""
    return verdict.kind == "accept" and verdict.until is not None and verdict.until < latest[:10]


def undone_by(verdicts: Iterable[Verdict]) -> dict[int, int]:
    """Say which verdicts are undone, each with the number of the latest that does so."""
    struck: dict[int, int] = {}
    for verdict in sorted(verdicts, key=lambda one: -one.seq):
        if verdict.undoes is not None and verdict.seq not in struck:
            struck.setdefault(verdict.undoes, verdict.seq)
    return struck


def _not_undone(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """List the verdicts on findings and situations that are not undone, the latest first."""
    struck = undone_by(verdicts)
    return [one for one in reversed(verdicts) if one.undoes is None and one.seq not in struck]


def _counting(given: Sequence[Verdict]) -> tuple[list[Verdict], dict[int, Verdict]]:
    """Give the latest on each thing, and the corrections under those of them that are approvals."""
    counting: dict[tuple[object, ...], Verdict] = {}
    approvals: dict[tuple[object, ...], int] = {}  # on what, so far, nothing but approvals was found
    approved: dict[int, Verdict] = {}
    for verdict in given:
        name = _name(verdict.target)
        if name not in counting:
            counting[name] = verdict
            if verdict.kind == "approve":
                approvals[name] = verdict.seq
        elif name in approvals and verdict.kind != "approve":
            latest = approvals.pop(name)
            if verdict.kind == "correct":
                approved[latest] = verdict
    return list(counting.values()), approved


def _name(target: Target) -> tuple[object, ...]:
    said = target.situation
    if said is None:
        return ("finding", target.fingerprint)
    return (
        target.host,
        target.fingerprint,
        said.class_id,
        said.status,
        said.candidates,
        tuple(sorted(said.features.items())),
    )


def is_of_line(verdict: Verdict, situation: Situation | None) -> bool:
    """Say whether a verdict on a finding is about those lines of it that are in a situation."""
    decided = verdict.target.situation
    return decided is None or situation is None or decided.covers(situation)


def situation_covered(verdict: Verdict, host: str, situation: Situation) -> bool:
    """Say whether a verdict is about a situation on a host."""
    target = verdict.target
    return (
        target.fingerprint is None
        and target.situation is not None
        and target.host in (None, host)
        and target.situation.covers(situation)
    )


NONE = Standing()
