"""How bad it is: named factors that add up to a score from 0 to 100, and a level."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pipeline.contract import Doc, Items, Percent
from pipeline.finding import LEVELS, Level, Severity, Status
from pipeline.rules.signs import SignName, Subject, strongest

FactorName = Literal[
    "base_severity", "core_controls", "regressed", "knowledge", "correlation", "threat_intel", "scanner_artefact",
    "analysis", "scanner_error", "status_passed", "status_info", "status_accepted", "status_false_positive", "review",
    SignName,
]  # fmt: skip

# Middle of each level's band of twenty; a factor of 20 moves a finding by one level.
_POINTS: dict[Severity, int] = {"info": 10, "low": 30, "medium": 50, "high": 70, "critical": 90, "error": 70}
_BAND = 20
_SCANNER_ERROR = 50
_CORE_CONTROLS = 4
_REGRESSED = 3
_MISTAKEN = frozenset({"certain", "likely"})  # degrees of an artefact
# Findings that are in order, or that somebody takes responsibility for: which factor stands for that, and why.
_SETTLED: dict[Status, tuple[FactorName, str]] = {
    "passed": ("status_passed", "the check found what it wants"),
    "accepted": ("status_accepted", "the operator accepted this finding"),
    "false_positive": ("status_false_positive", "the operator judged this finding a false positive"),
}


@dataclass(slots=True, frozen=True)
class Factor:
    """One reason for the score."""

    name: Annotated[FactorName, Doc("Which reason.")]
    points: Annotated[int, Doc("What it adds; negative where it lowers.")]
    why: Annotated[str, Doc("The reason in words.")]


@dataclass(slots=True, frozen=True)
class Risk:
    """How bad it is, and why."""

    score: Annotated[Percent, Doc("The sum of the factors, kept within 0 and 100.")]
    level: Annotated[
        Level,
        Doc(
            "The band of twenty that the score lies in. A model may raise it above `floor`, never lower it; the factor "
            "`analysis` then says so. Only a person's word lowers it; then a factor says whose (`review`, "
            "`status_accepted`, `status_false_positive`)."
        ),
    ]
    floor: Annotated[Level, Doc("The rules' level, whatever a person decided.")]
    factors: Annotated[tuple[Factor, ...], Items(1), Doc("What adds up to the score.")]


@dataclass(slots=True, frozen=True)
class Evidence:
    """What the score of one finding depends on.

    Attributes:
        severity: in effect, after the class's own level and the operator's override.
        severity_why: where it comes from.
        artefact: (degree, reason) when the scanner is probably wrong.
        keep_medium: the reason for the artefact can be forged, so an indicator of compromise stays medium.
        known: (reason, least level) where the knowledge holds the severity for too low.
        raised_by: (rule, least level) of correlations.
        intel: names of matching threat indicators.
        signs: what signs that it is worse are read off; None where somebody set the severity.
        status_why: where a status that settles the finding comes from, when not from where it usually does.
        status_undecided: the status without anybody's decision, where there was one.
        core_controls: how many controls at least two independent sources state for an open finding.
    """

    status: Status
    severity: Severity
    severity_why: str
    artefact: tuple[str, str] | None = None
    keep_medium: bool = False
    known: Sequence[tuple[str, Level]] = ()
    raised_by: Sequence[tuple[str, Level]] = ()
    intel: Sequence[str] = ()
    core_controls: int = 0
    regressed: bool = False
    status_why: str | None = None
    status_undecided: Status | None = None
    signs: Subject | None = None


def level_of(score: int) -> Level:
    """Name the band that a score from 0 to 100 lies in."""
    return LEVELS[min(score // _BAND, len(LEVELS) - 1)]


def points_of(level: Level) -> int:
    """Give the score in the middle of a level's band."""
    return LEVELS.index(level) * _BAND + _BAND // 2


def score(evidence: Evidence) -> Risk:
    """Add up the factors; deterministic, and every point has a name and a reason."""
    status = evidence.status
    if status == "info":
        inventory = Factor("status_info", _POINTS["info"], "an inventory entry, not a weakness")
        return _with_signs([inventory], evidence)
    if status in _SETTLED:
        name, why = _SETTLED[status]
        why = evidence.status_why or why
        points = _POINTS["info"] if status == "accepted" else 0
        undecided = evidence.status_undecided
        floor = "info" if undecided is None else score(replace(evidence, status=undecided, status_undecided=None)).floor
        return Risk(points, "info", floor, (Factor(name, points, why),))
    if status == "error":
        why = "a scanner failed, so part of the host was not looked at"
        return Risk(_SCANNER_ERROR, "medium", "medium", (Factor("scanner_error", _SCANNER_ERROR, why),))
    factors = [Factor("base_severity", _POINTS[evidence.severity], evidence.severity_why)]
    if evidence.core_controls:
        count = evidence.core_controls
        noun = "control" if count == 1 else "controls"
        why = f"{count} {noun} named for this by two or more independent sources"
        factors.append(Factor("core_controls", _CORE_CONTROLS, why))
    if evidence.regressed:
        factors.append(Factor("regressed", _REGRESSED, "an earlier scan had found this in order"))
    total = sum(factor.points for factor in factors)
    for why, least in _highest(evidence.known):
        total = _raise(factors, total, least, "knowledge", why)
    for rule, least in _highest(evidence.raised_by):
        total = _raise(factors, total, least, "correlation", f"part of a pattern: {rule}")
    for indicator in evidence.intel:
        total = _raise(factors, total, "high", "threat_intel", f"matches a local indicator: {indicator}")
    if evidence.artefact is not None:
        _lower(factors, total, evidence)
    return _with_signs(factors, evidence)


def raised_to(risk: Risk, level: Level) -> Risk:
    """Give the risk with a level that an analysis asks for; the score follows, so that the two never disagree."""
    if LEVELS.index(level) <= LEVELS.index(risk.level):
        return risk
    factors = list(risk.factors)
    total = _raise(factors, risk.score, level, "analysis", "its analysis holds it for worse than its parts: see there")
    return Risk(total, level, risk.floor, tuple(factors))


def _with_signs(factors: list[Factor], evidence: Evidence) -> Risk:
    """Add the sign that says most, if any does, and name the level; a probable mistake of the scanner has no signs."""
    total = max(0, min(sum(factor.points for factor in factors), 100))
    is_mistaken = evidence.artefact is not None and evidence.artefact[0] in _MISTAKEN
    sign = None if evidence.signs is None or is_mistaken else strongest(evidence.signs, level_of(total))
    if sign is not None:
        name, least, why = sign
        total = _raise(factors, total, least, name, why)
    level = level_of(total)
    return Risk(total, level, level, tuple(factors))


def _highest(reasons: Sequence[tuple[str, Level]]) -> Iterable[tuple[str, Level]]:
    """Give the reason that asks for the highest level, the first of equals: the others would add nothing."""
    return [max(reasons, key=lambda reason: LEVELS.index(reason[1]))] if reasons else []


def _raise(factors: list[Factor], total: int, least: Level, name: FactorName, why: str) -> int:
    wanted = points_of(least)
    points = max(wanted - total, 0)
    # A matching indicator is a reason by itself: it also forbids that an artefact lowers the finding.
    if points or name == "threat_intel":
        factors.append(Factor(name, points, why))
    return total + points


def _lower(factors: list[Factor], total: int, evidence: Evidence) -> None:
    degree, why = evidence.artefact or ("", "")
    points = 0
    if degree in _MISTAKEN and not evidence.intel:
        points = -min(_BAND, total)
        least = LEVELS.index("medium") * _BAND
        if evidence.keep_medium and total + points < least:
            points = min(0, least - total)
    factors.append(Factor("scanner_artefact", points, why))
