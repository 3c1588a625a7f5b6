"""Which verdicts count: those of a prefix of the log, compiled to be asked about each finding of a scan.

- Of verdicts on the same thing the latest counts; it replaces those before it for good, so that an acceptance that has
  ended does not bring an older one back.
- A verdict on the finding comes before one on its situation on this host, and that before one on the situation
  everywhere. Of two on different situations that both cover a finding, the later counts.
- A verdict that is undone is as if it had not been given; then those before it count again. An undo can be undone.
"""

from collections.abc import Sequence
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
    """

    def __init__(self, verdicts: Sequence[Verdict] = (), head: Head | None = None) -> None:
        self.head = head or Head()
        self._of_finding: dict[str, Verdict] = {}
        self._of_class: dict[tuple[str | None, str], list[tuple[Situation, Verdict]]] = {}
        self._counting = _counting(verdicts)
        for verdict in self._counting:
            target = verdict.target
            if target.fingerprint is not None:
                self._of_finding[target.fingerprint] = verdict
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
        """
        found = self._of_finding.get(fingerprint)
        if found is not None and not has_ended(found, latest):
            return found
        for place in (host, None):
            for covering, verdict in self._of_class.get((place, situation.class_id), ()):
                if covering.covers(situation):
                    if not has_ended(verdict, latest):
                        return verdict
                    break  # it has replaced the earlier ones of this reach
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


def _counting(verdicts: Sequence[Verdict]) -> list[Verdict]:
    struck: set[int] = set()
    seen: set[tuple[object, ...]] = set()
    counting: list[Verdict] = []
    for verdict in reversed(verdicts):
        if verdict.seq in struck:
            continue
        if verdict.undoes is not None:
            struck.add(verdict.undoes)
            continue
        name = _name(verdict.target)
        if name not in seen:
            seen.add(name)
            counting.append(verdict)
    return counting


def _name(target: Target) -> tuple[object, ...]:
    if target.fingerprint is not None or target.situation is None:
        return ("finding", target.fingerprint)
    said = target.situation
    return (target.host, said.class_id, said.status, said.candidates, tuple(sorted(said.features.items())))


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
