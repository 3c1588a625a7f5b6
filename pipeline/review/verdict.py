"""A verdict: what a person decided about a finding or a situation, and its one form in bytes.

It is kept under what it is about: the fingerprint of a finding, or a situation spelt out as class, status and features.
Never under the key of an analysis, nor under the digest of a situation: those change with model and knowledge, and what
somebody decided must not be lost with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import orjson

from pipeline.errors import LedgerError
from pipeline.finding import LEVELS, Level, Status
from pipeline.keys import canonical

Kind = Literal["approve", "correct", "accept", "false_positive", "undo"]
Scope = Literal["finding", "host", "everywhere"]

SCOPES: tuple[Scope, ...] = get_args(Scope)  # the narrowest first
MAX_TEXT = 4000  # characters of a reason or a text


@dataclass(slots=True, frozen=True)
class Situation:
    """A situation as a reviewer saw it: class, status, and the words that tell it from others of the class.

    Attributes:
        status: the report's, before anybody's decision.
    """

    class_id: str
    status: Status
    features: Mapping[str, str] = field(default_factory=dict)
    candidates: tuple[str, ...] = ()

    def covers(self, other: "Situation") -> bool:
        """Say whether a finding in the `other` situation is in this one.

        Newer knowledge may tell findings apart by more words than the reviewer saw; those do not matter. What the
        reviewer did see has to be there: without it the verdict would reach further than it was meant.
        """
        return (
            self.class_id == other.class_id
            and self.status == other.status
            and self.candidates == other.candidates
            and self.features.items() <= other.features.items()
        )

    @property
    def is_known(self) -> bool:
        """Say whether it tells one kind of finding from another: of what is of no known class, nothing is known."""
        return not self.class_id.startswith("unknown.")


@dataclass(slots=True, frozen=True)
class Target:
    """What a verdict is about: one finding of a host, a situation on a host, or a situation wherever it is."""

    host: str | None = None
    fingerprint: str | None = None
    situation: Situation | None = None

    @property
    def scope(self) -> Scope:
        """How far it reaches."""
        if self.fingerprint is not None:
            return "finding"
        return "everywhere" if self.host is None else "host"


@dataclass(slots=True, frozen=True)
class Correction:
    """What a reviewer says instead; None leaves what was said. Controls are ``framework:id``."""

    level: Level | None = None
    class_id: str | None = None
    action: str | None = None
    controls: tuple[str, ...] | None = None
    techniques: tuple[str, ...] | None = None
    assessment: str | None = None
    impact: str | None = None

    @property
    def is_empty(self) -> bool:
        """Say whether it corrects nothing."""
        return all(getattr(self, one.name) is None for one in fields(self))


@dataclass(slots=True, frozen=True)
class Draft:
    """A verdict before the log has taken it.

    Attributes:
        reason: of the reviewer; free text, which is shown and never reaches a prompt.
        owner, until: of an acceptance: who answers for it, and its last day (``YYYY-MM-DD``, UTC).
        undoes: of an undo: the number of the verdict that is not to count.
        case: what was asked and said when it was given, in words of closed lists only: what a model can learn from.
    """

    kind: Kind
    reason: str
    target: Target = Target()
    correction: Correction | None = None
    owner: str | None = None
    until: str | None = None
    undoes: int | None = None
    case: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Verdict(Draft):
    """A verdict in the log.

    Attributes:
        seq: its number, from 1, without gaps.
        at: when it was given, RFC 3339 in UTC.
        author: who gave it.
        corrected_by: of an approval that was looked up for a finding: the correction that holds under it. Not stored.
    """

    seq: int = 0
    at: str = ""
    author: str = ""
    corrected_by: "Verdict | None" = None


def encode(verdict: Verdict) -> bytes:
    """Write a verdict in its one form, which is hashed; what is not there is left out."""
    target, correction = verdict.target, verdict.correction
    said: dict[str, Any] = {
        "seq": verdict.seq,
        "at": verdict.at,
        "author": verdict.author,
        "kind": verdict.kind,
        "reason": verdict.reason,
        "host": target.host,
        "fingerprint": target.fingerprint,
        "situation": None if target.situation is None else encode_situation(target.situation),
        "owner": verdict.owner,
        "until": verdict.until,
        "undoes": verdict.undoes,
        "case": dict(verdict.case) or None,
    }
    if correction is not None:
        changed = {one.name.rstrip("_"): getattr(correction, one.name) for one in fields(correction)}
        said["correction"] = {name: value for name, value in changed.items() if value is not None}
    return canonical({name: value for name, value in said.items() if value is not None})


def encode_situation(situation: Situation) -> dict[str, Any]:
    """Give a situation as plain JSON."""
    return {
        "class": situation.class_id,
        "status": situation.status,
        "features": dict(situation.features),
        "candidates": list(situation.candidates),
    }


def decode(body: bytes) -> Verdict:
    """Read a verdict.

    Raises:
        LedgerError: if it is none.
    """
    try:
        said = orjson.loads(body)
        correction = said.get("correction")
        situation = said.get("situation")
        verdict = Verdict(
            kind=said["kind"],
            reason=said["reason"],
            target=Target(
                said.get("host"), said.get("fingerprint"), None if situation is None else decode_situation(situation)
            ),
            correction=None if correction is None else _correction(correction),
            owner=said.get("owner"),
            until=said.get("until"),
            undoes=said.get("undoes"),
            case=said.get("case", {}),
            seq=said["seq"],
            at=said["at"],
            author=said["author"],
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LedgerError(f"not a verdict: {error}") from error
    if verdict.kind not in get_args(Kind) or not isinstance(verdict.seq, int):
        raise LedgerError(f"not a verdict: {verdict.kind!r}; did a newer version write it?")
    return verdict


def decode_situation(said: Mapping[str, Any]) -> Situation:
    """Read what `encode_situation` gave."""
    return Situation(said["class"], said["status"], dict(said["features"]), tuple(said["candidates"]))


def _correction(said: Mapping[str, Any]) -> Correction:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
    correction = Correction(**values)
    if correction.level is not None and correction.level not in LEVELS:
        raise ValueError(f"no such level: {correction.level!r}")
    return correction
