"""Scorecards as tables: for a terminal, and in Markdown for the card of a model.

They are drawn from their JSON form, so that those in a manifest look the same as those just made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

Json = Mapping[str, Any]


def _score(value: float) -> str:
    return f"{value:.3f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _time(value: float) -> str:
    return f"{value:,.1f}"


@dataclass(slots=True, frozen=True)
class Measure:
    """A line of the tables.

    Attributes:
        path: of the value in a scorecard.
        score: the more the better, so that a loss means something.
        baseline: the baseline has it, too.
    """

    label: str
    path: tuple[str, ...]
    show: Callable[[float], str]
    score: bool = True
    baseline: bool = True


MEASURES = (
    Measure("valid answers", ("valid",), _percent, baseline=False),
    Measure("grounded answers", ("grounded",), _percent, baseline=False),
    Measure("controls and techniques, F1", ("selection", "f1"), _score),
    Measure("  precision", ("selection", "precision"), _score),
    Measure("  recall", ("selection", "recall"), _score),
    Measure("  controls, F1", ("controls", "f1"), _score),
    Measure("  techniques, F1", ("techniques", "f1"), _score),
    Measure("level, weighted kappa", ("level_kappa",), _score),
    Measure("level, the same", ("level",), _percent),
    Measure("action, the same", ("action",), _percent),
    Measure("characters of a response", ("characters",), _number, score=False, baseline=False),
    Measure("ms a case, median", ("milliseconds", "p50"), _time, score=False, baseline=False),
    Measure("ms a case, 95 in 100", ("milliseconds", "p95"), _time, score=False, baseline=False),
)
_BAR = 40  # characters of a bar
# Forms in the order in which one is made of the other, then holdouts from the nearer to the farther.
_ORDER = ("float", "gptq", "onnx", "instance", "class")


def show(console: Console, evaluation: Json) -> None:
    """Print a whole evaluation."""
    model = evaluation["model"]
    console.print(f"{model['name']}: {model['form']} on {model['runtime']}, {model['device']}")
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    cards = dict(_ordered(evaluation["holdouts"]))
    for name, card in cards.items():
        table.add_column(f"{name} holdout\n{card['cases']:,} cases", justify="right")
        if card["baseline"] is not None:
            table.add_column("nearest\nclass", justify="right", style="dim")
    for measure in MEASURES:
        table.add_row(measure.label, *_cells(measure, cards.values()))
    console.print(table)
    for line in remarks(evaluation):
        console.print(line)


def remarks(evaluation: Json) -> Iterator[str]:
    """Say in lines what is no column of numbers."""
    hostile, repeated = evaluation["hostile"], evaluation["repeated"]
    yield (
        f"hostile texts in {hostile['findings']} findings, {hostile['by_model']} of them answered by the model: "
        f"{len(hostile['changed'])} verdicts changed, {len(hostile['asked'])} traces in prompts, "
        f"{len(hostile['said'])} in what was said"
    )
    yield from (f"  {kind}: {where}" for kind in ("changed", "asked", "said") for where in hostile[kind])
    yield f"asked again in another process: {repeated['same']} of {repeated['asked']} answers are the same"
    for name, card in _ordered(evaluation["holdouts"]):
        errors = sorted(card["errors"].items(), key=lambda entry: (-entry[1], entry[0]))
        yield from (f"{name} holdout: {count} times {reason}" for reason, count in errors)
    if evaluation["differences"] is not None:
        yield f"note: {evaluation['differences']}"


def bars(evaluation: Json) -> str:
    """Draw the scores as bars, each above that of the baseline where there is one."""
    lines = []
    for name, card in _ordered(evaluation["holdouts"]):
        lines.append(f"{name} holdout")
        for measure in MEASURES:
            if not measure.score or measure.label.startswith(" "):
                continue
            lines.append(_bar(measure.label, _value(card, measure), measure.show))
            if measure.baseline and card["baseline"] is not None:
                lines.append(_bar("  nearest class", _value(card["baseline"], measure), measure.show))
    return "\n".join(lines)


def markdown(evaluations: Mapping[str, Json]) -> str:
    """Draw evaluations side by side, a table for each holdout, with what each form loses against the float model."""
    forms = dict(_ordered(evaluations))
    holdouts = {name: None for one in forms.values() for name in one["holdouts"]}
    return "\n".join(_holdout(name, forms) for name, _ in _ordered(holdouts))


def _holdout(holdout: str, evaluations: Mapping[str, Json]) -> str:
    cards: dict[str, Json] = {
        name: one["holdouts"][holdout] for name, one in evaluations.items() if holdout in one["holdouts"]
    }
    baseline = next((card["baseline"] for card in cards.values() if card["baseline"] is not None), None)
    base = cards.get("float")
    losing = [name for name in cards if name != "float"] if base is not None else []
    counts = " / ".join(dict.fromkeys(f"{card['cases']:,}" for card in cards.values()))
    head = [f"{holdout} holdout, {counts} cases", *cards]
    head += [f"loss of {name}" for name in losing] + (["nearest class"] if baseline is not None else [])
    lines = [_row(head), _row(["---"] + ["---:"] * (len(head) - 1))]
    for measure in MEASURES:
        cells = [measure.label.replace("  ", "· "), *(measure.show(_value(card, measure)) for card in cards.values())]
        cells += [_loss(measure, base, cards[name]) for name in losing if base is not None]
        if baseline is not None:
            cells.append(measure.show(_value(baseline, measure)) if measure.baseline else "")
        lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def _bar(label: str, value: float, show_value: Callable[[float], str]) -> str:
    filled = round(_BAR * max(0.0, min(1.0, value)))
    return f"  {label:<28}{'█' * filled}{'·' * (_BAR - filled)} {show_value(value)}"


def _loss(measure: Measure, base: Json, other: Json) -> str:
    """Give the loss in per cent of the float model's score."""
    right = _value(base, measure)
    if not measure.score or right == 0:
        return ""
    loss = round(100 * (right - _value(other, measure)) / right, 1)
    return f"{loss + 0.0:+.1f} %"  # no minus before a nought


def _ordered(named: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Give forms or holdouts in an order of ours: in a manifest they stand sorted by name."""
    return sorted(named.items(), key=lambda entry: (_ORDER.index(entry[0]) if entry[0] in _ORDER else 9, entry[0]))


def _cells(measure: Measure, cards: Any) -> Iterator[str]:
    for card in cards:
        yield measure.show(_value(card, measure))
        if card["baseline"] is not None:
            yield measure.show(_value(card["baseline"], measure)) if measure.baseline else ""


def _value(card: Json, measure: Measure) -> float:
    value: Any = card
    for name in measure.path:
        value = value[name]
    return float(value)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
