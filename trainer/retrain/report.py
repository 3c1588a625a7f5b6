"""The report of a retraining: what was learned from, both scorecards beside each other, what was decided and why.

It holds counts, scores and words of our own lists; no name of a host or a reviewer, and nothing that somebody wrote.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.scorecard.render import MEASURES, Measure
from trainer.retrain.decision import MAX_FALL, Decision, Measured

SCHEMA = "sysscan.retraining/1"

_UNTAUGHT = {
    "one_finding": "about one finding",
    "acceptance": "accepted risks",
    "nothing_raised": "false positives that no model had raised",
    "not_retained": "without a question that could be asked",
    "another_class": "name another class",
    "settled": "about what was settled already",
    "not_offered": "name what the case does not offer",
    "no_words": "for which there are no words",
}


def as_json(
    counts: Mapping[str, Any], incumbent: Measured, candidate: Measured, decision: Decision, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Give the whole report as plain values."""
    return {
        "schema": SCHEMA,
        **facts,
        "verdicts": dict(counts),
        "agreement": {
            "held_out": len(incumbent.agreed),
            "incumbent": incumbent.agreement,
            "candidate": candidate.agreement,
            **{f"gain_{name}": value for name, value in asdict(decision.gain).items()},
        },
        "promoted": decision.promote,
        "reason": decision.reason,
        "falls": {name: list(values) for name, values in decision.falls.items()},
        "incumbent": {
            "digest": incumbent.digest,
            "name": incumbent.name,
            "scorecard": dict(incumbent.scorecard),
            "compared": dict(incumbent.compared),
        },
        "candidate": {
            "name": candidate.name,
            "scorecard": dict(candidate.scorecard),
            "compared": dict(candidate.compared),
        },
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Draw the report for people."""
    agreement = report["agreement"]
    verdict = "promoted" if report["promoted"] else "not promoted"
    lines = [
        "# Retraining",
        "",
        f"The candidate was **{verdict}**: {report['reason']}.",
        "",
        "## Agreement with held-out verdicts",
        "",
        "| | incumbent | candidate |",
        "| --- | ---: | ---: |",
        f"| of {agreement['held_out']} situations | {agreement['incumbent']:.1%} | {agreement['candidate']:.1%} |",
        "",
        f"Gain {100 * agreement['gain_mean']:+.1f} points; a paired bootstrap over situations puts it between "
        f"{100 * agreement['gain_low']:+.1f} and {100 * agreement['gain_high']:+.1f}. The candidate alone agrees in "
        f"{agreement['gain_better']}, the incumbent alone in {agreement['gain_worse']}.",
        "",
        "## What it learned from",
        "",
        *_verdicts(report["verdicts"]),
        "",
        "## Scores on the frozen holdouts",
        "",
        *_scores(report),
    ]
    return "\n".join(lines) + "\n"


def _verdicts(counts: Mapping[str, Any]) -> Iterator[str]:
    yield f"- {counts['standing']} verdicts count; they make {counts['lessons']} lessons, one a situation:"
    yield f"  {counts['corrections']} correct what was shown, {counts['approvals']} approve it."
    yield f"- {counts['trained']} were trained on, {counts['trained_corrections']} of them corrections, each"
    yield f"  {counts['repeats']} times in other words beside {counts['replayed']} synthetic cases."
    if counts.get("rare"):
        yield f"- {counts['rare']} more are of classes that hardly any of these are of, in other words each."
    if counts.get("unknown_replayed"):
        yield f"- {counts['unknown_replayed']} questions about findings that no class knows were replayed, since the"
        yield "  incumbent answers such; no score below is about them."
    yield f"- Corrections were carried to {counts['carried']} like situations of made-up hosts,"
    yield f"  beside {counts['contrasted']} of the same scanners that no correction is like; as often each."
    yield f"- {counts['held_out']} were held out, and neither trained on nor replayed."
    for holdout, number in counts["decided_otherwise"].items():
        if number:
            yield f"- {number} of {counts['frozen'][holdout]} cases of the {holdout} holdout have a right answer that"
            yield "  these verdicts contradict."
    if counts["below_the_floor"]:
        yield f"- {counts['below_the_floor']} ask for a level below the rules' floor, and were taught as the floor."
    if counts["contradicted"]:
        yield f"- Reviewers disagreed on {counts['contradicted']} situations; the latest verdict counts."
    if counts["replaced"]:
        yield f"- {counts['replaced']} verdicts gave way to a later one on the same situation."
    for why, number in counts["untaught"].items():
        yield f"- {number} teach nothing: {_UNTAUGHT.get(why, why)}."


def _scores(report: Mapping[str, Any]) -> Iterator[str]:
    before, after = report["incumbent"]["scorecard"], report["candidate"]["scorecard"]
    yield f"No score may fall by more than {MAX_FALL:.0%}; what did is bold. Cases whose right answer verdicts"
    yield "contradict are left out, for both models; the last column has the change with them."
    for holdout in before["holdouts"]:
        every = [card["holdouts"][holdout] for card in (before, after)]
        kept = [report[one]["compared"][holdout] for one in ("incumbent", "candidate")]
        yield ""
        cases = f"{kept[0]['cases']} of {every[0]['cases']} cases"
        yield f"| {holdout} holdout, {cases} | incumbent | candidate | change | of all cases |"
        yield "| --- | ---: | ---: | ---: | ---: |"
        for measure in MEASURES:
            yield _row(holdout, measure, kept, every, report["falls"])
    yield ""
    for name, card in (("incumbent", before), ("candidate", after)):
        hostile, repeated = card["hostile"], card["repeated"]
        failed = sum(len(hostile[kind]) for kind in ("changed", "asked", "said"))
        yield (
            f"- {name}: hostile texts in {hostile['findings']} findings left {failed} traces; {repeated['same']} of "
            f"{repeated['asked']} answers are the same in another process"
        )


def _row(
    holdout: str, measure: Measure, kept: Sequence[Mapping[str, Any]], every: Sequence[Mapping[str, Any]],
    falls: Mapping[str, Any],
) -> str:  # fmt: skip
    """Draw a line: the scores of the cases that are compared, their change, and that of all cases.

    Args:
        kept, every: scores of these and of all, each of the incumbent and of the candidate.
    """
    label = measure.label.strip()
    old, new = (_value(card, measure) for card in kept)
    change, of_all = _change(measure, old, new), _change(measure, *(_value(card, measure) for card in every))
    bold = "**" if f"{holdout}: {label}" in falls else ""
    return f"| {label} | {measure.show(old)} | {bold}{measure.show(new)}{bold} | {bold}{change}{bold} | {of_all} |"


def _change(measure: Measure, old: float, new: float) -> str:
    return f"{100 * (new - old) / old:+.1f} %" if measure.score and old else ""


def _value(card: Mapping[str, Any], measure: Measure) -> float:
    value: Any = card
    for name in measure.path:
        value = value[name]
    return float(value)
