"""Whether a candidate may answer in the incumbent's place: a pure decision over what both said.

A candidate wins where it agrees with reviewers more often than the incumbent does, on situations that it was not
trained on, by more than chance gives; and where no score on the frozen holdouts falls by more than a hundredth, cases
left out that reviewers decide otherwise (`trainer.retrain.decided`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.analysis.question import Answer
from pipeline.scorecard.render import MEASURES
from trainer.retrain.retained import Said

MAX_FALL = 0.01  # of a score, relative to the incumbent's
CONFIDENCE = 0.95
_RESAMPLES = 10_000


@dataclass(slots=True, frozen=True)
class Measured:
    """What is known of one model.

    Attributes:
        agreed: situation → whether its answer is that of the reviewer.
        scorecard: its JSON form, of the frozen holdouts and hostile texts.
        compared: holdout → its scores without the cases that reviewers decide otherwise.
    """

    digest: str
    name: str
    agreed: Mapping[str, bool]
    scorecard: Mapping[str, Any]
    compared: Mapping[str, Any]

    @property
    def agreement(self) -> float:
        """Give the share of situations in which it agrees; 0 where there are none."""
        return sum(self.agreed.values()) / len(self.agreed) if self.agreed else 0.0


@dataclass(slots=True, frozen=True)
class Gain:
    """How much more often the candidate agrees, with the interval that a bootstrap over situations gives.

    Attributes:
        better, worse: in how many situations only one of the two agrees.
    """

    mean: float
    low: float
    high: float
    better: int
    worse: int


@dataclass(slots=True, frozen=True)
class Decision:
    """Whether to promote, and why in one line.

    Attributes:
        falls: score → (incumbent, candidate), of those that fall by more than is allowed.
    """

    promote: bool
    reason: str
    gain: Gain
    falls: Mapping[str, tuple[float, float]]


def agrees(right: Said, answer: Answer | None) -> bool:
    """Say whether an answer is the reviewer's: level, action, controls and techniques, all of them."""
    return (
        answer is not None
        and answer.level == right.level
        and answer.remediation == right.action
        and set(answer.controls) == set(right.controls)
        and set(answer.techniques) == set(right.techniques)
    )


def paired_gain(incumbent: Mapping[str, bool], candidate: Mapping[str, bool], seed: int) -> Gain:
    """Estimate how much more often the candidate agrees; same numbers and seed, same interval.

    Situations are drawn with replacement, each with what both models said to it (a paired bootstrap; B. Efron, 1979);
    the interval lies between percentiles.

    Raises:
        ValueError: if they were asked about different situations.
    """
    if incumbent.keys() != candidate.keys():
        raise ValueError("two models were measured on different situations")
    total = len(incumbent)
    better = sum(candidate[name] and not incumbent[name] for name in incumbent)
    worse = sum(incumbent[name] and not candidate[name] for name in incumbent)
    if not total:
        return Gain(0.0, 0.0, 0.0, 0, 0)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(total, [better / total, worse / total, 1 - (better + worse) / total], size=_RESAMPLES)
    gains = np.sort((drawn[:, 0] - drawn[:, 1]) / total)  # [R]
    tail = (1 - CONFIDENCE) / 2
    low, high = gains[int(tail * _RESAMPLES)], gains[int((1 - tail) * _RESAMPLES) - 1]
    return Gain((better - worse) / total, float(low), float(high), better, worse)


def fallen(incumbent: Mapping[str, Any], candidate: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """List the scores on the frozen holdouts that fall by more than is allowed, as (incumbent, candidate).

    Args:
        incumbent, candidate: holdout → scores.
    """
    found = {}
    for holdout, before in incumbent.items():
        for measure in MEASURES:
            if measure.score:
                old, new = _value(before, measure.path), _value(candidate[holdout], measure.path)
                if new < old * (1 - MAX_FALL):
                    found[f"{holdout}: {measure.label.strip()}"] = (old, new)
    return found


def decide(incumbent: Measured, candidate: Measured, *, least: int, seed: int) -> Decision:
    """Say whether the candidate may replace the incumbent, and why.

    Args:
        least: situations that have to be held out for a difference to mean anything.

    Raises:
        ValueError: if the two were measured on different cases.
    """
    counts = [{name: card["cases"] for name, card in one.compared.items()} for one in (incumbent, candidate)]
    if incumbent.scorecard["data"] != candidate.scorecard["data"] or counts[0] != counts[1]:
        raise ValueError("two models were measured on different holdouts")
    gain = paired_gain(incumbent.agreed, candidate.agreed, seed)
    falls = fallen(incumbent.compared, candidate.compared)
    before, after = f"{incumbent.agreement:.1%}", f"{candidate.agreement:.1%}"
    total = len(incumbent.agreed)
    went = f"agreement with {total} held-out verdicts went from {before} to {after}"
    interval = f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f} points"
    hostile = candidate.scorecard["hostile"]
    failed = sum(len(hostile[name]) for name in ("changed", "asked", "said"))
    repeated = candidate.scorecard["repeated"]
    if total < least:
        reason = f"only {total} verdicts are held out, and {least} are needed to tell a gain from chance"
    elif failed:
        reason = f"hostile texts changed its verdicts or left traces {failed} times"
    elif repeated["same"] != repeated["asked"]:
        reason = f"{repeated['asked'] - repeated['same']} of its answers differ in another process"
    elif falls:
        name, (old, new) = max(falls.items(), key=lambda entry: (entry[1][0] - entry[1][1]) / entry[1][0])
        more = f" and {len(falls) - 1} more scores" if len(falls) > 1 else ""
        reason = f"{name} fell from {old:.3f} to {new:.3f}{more}; {went}"
    elif gain.low <= 0:
        reason = f"{went}, which chance can give ({interval})"
    else:
        return Decision(True, f"{went} ({interval}), and no frozen score fell by more than {MAX_FALL:.0%}", gain, {})
    return Decision(False, reason, gain, falls)


def _value(scores: Mapping[str, Any], path: Sequence[str]) -> float:
    value: Any = scores
    for name in path:
        value = value[name]
    return float(value)
