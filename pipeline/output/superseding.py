"""Makes the record of a verdict: what it changes in findings whose lines are out already."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.display import printable
from pipeline.finding import Classified, Level, Status
from pipeline.keys import digest
from pipeline.output.records import Corrected, EnrichedFinding, ReviewedSituation, SupersededFinding, VerdictRecord
from pipeline.review.chain import Head
from pipeline.review.standing import Standing
from pipeline.review.verdict import MAX_TEXT, Situation, Verdict
from pipeline.rules.policy import Policy
from pipeline.rules.review import level_with, rule, status_with

SCHEMA: Final = "sysscan.verdict/1"
MOST = 100  # findings that a record names


@dataclass(slots=True, frozen=True)
class OutAlready:
    """A finding as it came out last.

    Attributes:
        situation: as it was classified.
        keys: dedupe keys of its lines.
    """

    line: EnrichedFinding
    situation: Situation
    keys: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Counted:
    """What a finding is by the verdicts that count; `overruled` says why the one on it does not count in full."""

    status: Status
    level: Level
    overruled: str | None


@dataclass(slots=True, frozen=True)
class Reach:
    """How much that is kept a verdict is about."""

    findings: int
    lines: int
    hosts: int
    situations: tuple[str, ...] = ()


def verdict_record(
    verdict: Verdict,
    about: Verdict,
    head: Head,
    before: Standing,
    standing: Standing,
    out: Sequence[OutAlready],
    reach: Reach,
    policy: Policy,
    of: str = "",
) -> VerdictRecord:
    """Say what a verdict changes.

    Args:
        about: the verdict itself, or the one that it undoes: whose target it has.
        before, standing: what counted until this verdict, and what counts from it on.
        out: the worst findings that it is about.
        of: whose findings these are, where several tell of one verdict, each of its own findings.
    """
    target = about.target
    correction = verdict.correction if verdict.kind == "correct" else None
    situation = target.situation
    return VerdictRecord(
        schema=SCHEMA,
        dedupe_key=digest("verdict", verdict.seq, head.hash, *((of,) if of else ())),
        seq=verdict.seq,
        head=head.hash,
        verdict=verdict.kind,
        scope=target.scope,
        author=printable(verdict.author),
        at=verdict.at,
        reason=printable(verdict.reason, MAX_TEXT),
        host=target.host,
        fingerprint=target.fingerprint,
        situation=None
        if situation is None
        else ReviewedSituation(situation.class_id, situation.status, situation.features, situation.candidates),
        situations=tuple(sorted(reach.situations)[:MOST]),
        owner=None if verdict.owner is None else printable(verdict.owner),
        until=verdict.until,
        undoes=verdict.undoes,
        correction=None
        if correction is None
        else Corrected(
            level=correction.level,
            class_=correction.class_id,
            action=correction.action,
            controls=correction.controls,
            techniques=correction.techniques,
            assessment=None if correction.assessment is None else printable(correction.assessment, MAX_TEXT),
            impact=None if correction.impact is None else printable(correction.impact, MAX_TEXT),
        ),
        affected=reach.findings,
        lines=reach.lines,
        hosts=reach.hosts,
        findings=tuple(
            _superseded(
                one,
                as_it_counts(one, before, policy, verdict.at),
                as_it_counts(one, standing, policy, verdict.at),
            )
            for one in out[:MOST]
        ),
    )


def as_it_counts(out: OutAlready, standing: Standing, policy: Policy, at: str) -> Counted:
    """Say what one finding is by what counts at a time: what its next scan would say of the same report."""
    line, review = out.line, out.line.review
    status = line.status if review is None else review.status_without
    level = line.risk.level if review is None else review.level_without
    overruled = None
    verdict = standing.find(line.host, line.fingerprint, out.situation, at)
    if verdict is not None:
        named = _named(line, out.situation)
        allow, override = policy.suppression(line.host, named, at), policy.override(line.host, named)
        has_indicator = bool(line.threat_intel)
        ruling = rule(verdict, allow, override, has_indicator=has_indicator, status=status)
        overruled = ruling.overruled
        if ruling.settles is not None:
            status, level = ruling.settles, "info"
        elif ruling.level is not None:
            level, held = level_with(ruling, level, override, has_indicator=has_indicator)
            overruled = overruled or held
            status = status_with(ruling, out.situation.status if ruling.drops_allow else status)
    return Counted(status, level, overruled)


def _superseded(out: OutAlready, before: Counted, now: Counted) -> SupersededFinding:
    return SupersededFinding(
        fingerprint=out.line.fingerprint,
        host=out.line.host,
        dedupe_keys=out.keys,
        status=now.status,
        level=now.level,
        status_before=before.status,
        level_before=before.level,
        overruled=now.overruled,
    )


def _named(line: EnrichedFinding, situation: Situation) -> Classified:
    """Give a finding as the policy selects it."""
    return Classified(
        class_id=situation.class_id,
        candidates=situation.candidates,
        scanner=line.finding.scanner,
        slots=dict(line.slots),
        features=dict(situation.features),
        status=situation.status,
        status_basis=line.status_basis,
        title="",
        description="",
        metadata={},
        restored=(),
        fingerprint=line.fingerprint,
        content="",
        situation=line.analysis.situation,
    )
