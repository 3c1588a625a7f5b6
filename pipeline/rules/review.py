"""What a verdict does to a judgement, and who wins where verdict and policy disagree: the stricter."""

from dataclasses import dataclass
from typing import Annotated

from pipeline.contract import Doc, Positive, Time
from pipeline.display import printable
from pipeline.finding import LEVELS, Level, Status
from pipeline.review.verdict import Correction, Kind, Scope, Verdict
from pipeline.rules.policy import Allow, Override
from pipeline.rules.score import Factor, Risk, points_of

SETTLES: dict[Kind, Status] = {"accept": "accepted", "false_positive": "false_positive"}
_NO_WEAKNESS: frozenset[Status] = frozenset({"passed", "info"})


@dataclass(slots=True, frozen=True)
class Review:
    """The verdict that counts for a finding; what it says of risk stands in `risk.factors`, too."""

    seq: Annotated[Positive, Doc("Its number in the log of verdicts.")]
    verdict: Annotated[Kind, Doc("What was decided.")]
    scope: Annotated[
        Scope, Doc("Whether it is about this finding, its situation on this host, or its situation everywhere.")
    ]
    author: Annotated[str, Doc("Who decided.")]
    at: Annotated[Time, Doc("When.")]
    reason: Annotated[str, Doc("Why, in the reviewer's words.")]
    status_without: Annotated[Status, Doc("The status without it.")]
    level_without: Annotated[Level, Doc("The rules' level without it.")]
    overruled: Annotated[
        str | None, Doc("Why it does not count in full, where something stricter does. Left out where it counts.")
    ] = None


@dataclass(slots=True, frozen=True)
class Acceptance:
    """What a verdict settles a finding with, in the place of an entry of the allow-list; `until`: its last day."""

    owner: str
    reason: str
    until: str | None


@dataclass(slots=True, frozen=True)
class Ruling:
    """What is left of a verdict beside policy and indicators.

    Attributes:
        settles: the status that it gives, or None.
        level: that it sets, or None.
        drops_allow: it is stricter than the entry of the allow-list, which then does not count.
        overruled: why it does not count in full.
        no_effect: nothing of it counts.
    """

    verdict: Verdict
    settles: Status | None = None
    level: Level | None = None
    drops_allow: bool = False
    overruled: str | None = None
    no_effect: bool = False

    @property
    def correction(self) -> Correction | None:
        """What it says instead, beside the level."""
        return self.verdict.correction

    @property
    def acceptance(self) -> Acceptance | None:
        """Who answers for it, where it settles the finding."""
        verdict = self.verdict
        if self.settles is None:
            return None
        return Acceptance(verdict.owner or verdict.author, verdict.reason, verdict.until)

    @property
    def is_about_risk(self) -> bool:
        """Say whether it settles the finding or sets its level."""
        return self.settles is not None or self.level is not None

    def why(self) -> str:
        """Say in words what it does, as a factor of the score."""
        verdict = self.verdict
        if self.settles == "accepted":
            until = f" until {verdict.until}" if verdict.until is not None else ""
            return (
                f"accepted by review{until}, {verdict.owner or verdict.author} answers for it (verdict {verdict.seq})"
            )
        if self.settles == "false_positive":
            return f"judged a false positive by {printable(verdict.author)} (verdict {verdict.seq})"
        by = verdict.corrected_by or verdict
        return f"set by {printable(by.author)} (verdict {by.seq})"


def rule(
    verdict: Verdict, allow: Allow | None, override: Override | None, *, has_indicator: bool, status: Status
) -> Ruling:
    """Say what a verdict does.

    Args:
        allow, override: the entries of the policy that apply.
        has_indicator: a local indicator matches, which no situation tells of.
        status: without any of these.
    """
    wants = SETTLES.get(verdict.kind)
    level = verdict.correction.level if verdict.correction is not None else None
    if wants is not None:
        if has_indicator and verdict.target.scope != "finding":
            return Ruling(
                verdict, overruled="a local indicator matches, which only a verdict on the finding settles",
                no_effect=True,
            )  # fmt: skip
        if override is not None:
            return Ruling(
                verdict, overruled=f"the policy sets its severity to {override.severity}, which is stricter",
                no_effect=True,
            )  # fmt: skip
        if allow is not None and allow.status != wants:
            stricter: Status = "accepted"
            overruled = f"the allow-list says {allow.status}" if wants == "false_positive" else None
            return Ruling(verdict, settles=stricter, overruled=overruled)
        return Ruling(verdict, settles=wants)
    if level is None:
        return Ruling(verdict)
    if allow is not None:
        return Ruling(verdict, level=level, drops_allow=level != "info")
    return Ruling(verdict, level=level)


def status_with(ruling: Ruling, status: Status) -> Status:
    """Give the status that a corrected level leaves: what a reviewer holds for bad is a weakness."""
    if ruling.level is not None and ruling.level != "info" and status in _NO_WEAKNESS:
        return "open"
    return status


def level_with(
    ruling: Ruling, level: Level, override: Override | None, *, has_indicator: bool
) -> tuple[Level, str | None]:
    """Give the level that a verdict leaves of one, and why it is not the verdict's where something stricter stands."""
    wanted = ruling.level
    if wanted is None:
        return level, None
    if LEVELS.index(wanted) < LEVELS.index(level):
        if override is not None:
            return level, f"the policy sets its severity to {override.severity}, which is stricter"
        if has_indicator and ruling.verdict.target.scope != "finding":
            return level, "a local indicator matches, which only a verdict on the finding lowers"
    return wanted, None


def risk_with(ruling: Ruling, risk: Risk, override: Override | None, *, has_indicator: bool) -> tuple[Risk, str | None]:
    """Set a corrected level, as `level_with` does, by a factor that says who did.

    The floor stays: it shows what the rules say.
    """
    level, held = level_with(ruling, risk.level, override, has_indicator=has_indicator)
    if ruling.level is None or held is not None:
        return risk, held
    score = risk.score if level == risk.level else points_of(level)
    factor = Factor("review", score - risk.score, ruling.why())
    return Risk(score, level, risk.floor, (*risk.factors, factor)), None
