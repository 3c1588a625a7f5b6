"""The measures, as pure functions of pairs (right, given)."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pipeline.finding import LEVELS, Level


@dataclass(slots=True, frozen=True)
class Selection:
    """How well ids were selected, over all cases together (micro-averaged)."""

    precision: float
    recall: float
    f1: float

    def as_json(self) -> dict[str, float]:
        """Give the three numbers by name."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}


def selection(pairs: Iterable[tuple[Collection[str], Collection[str]]]) -> Selection:
    """Compare sets of ids; what is not there to find or to take is no mistake."""
    hits = wanted = taken = 0
    for right, given in pairs:
        hits += len(set(right) & set(given))
        wanted += len(set(right))
        taken += len(set(given))
    return Selection(
        precision=hits / taken if taken else 1.0,
        recall=hits / wanted if wanted else 1.0,
        f1=2 * hits / (wanted + taken) if wanted + taken else 1.0,
    )


def weighted_kappa(pairs: Iterable[tuple[Level, Level]]) -> float:
    """Give the agreement on levels beyond chance, with quadratic weights.

    J. Cohen, "Weighted kappa: nominal scale agreement with provision for scaled disagreement or partial credit",
    Psychological Bulletin 70(4), 1968: 1 − Σ w·observed / Σ w·expected, here with w = (i − j)². It is 1 for equal
    ratings, 0 for those that agree as often as chance would have it. Where both name one level throughout there is no
    chance to beat, and they agree.
    """
    counts = Counter((LEVELS.index(right), LEVELS.index(given)) for right, given in pairs)
    total = sum(counts.values())
    rows: Counter[int] = Counter()
    columns: Counter[int] = Counter()
    for (right, given), count in counts.items():
        rows[right] += count
        columns[given] += count
    observed = sum(count * (right - given) ** 2 for (right, given), count in counts.items())
    expected = sum(rows[one] * columns[other] * (one - other) ** 2 for one in rows for other in columns)
    return 1 - observed * total / expected if expected else 1.0


def accuracy(pairs: Iterable[tuple[object, object]]) -> float:
    """Give the share of pairs that are equal; 1 where there are none."""
    return share(right == given for right, given in pairs)


def share(flags: Iterable[bool]) -> float:
    """Give the share of what holds; 1 where there is nothing."""
    found = [bool(flag) for flag in flags]
    return sum(found) / len(found) if found else 1.0


def mean(values: Sequence[float]) -> float:
    """Give the mean; 0 where there is nothing."""
    return sum(values) / len(values) if values else 0.0


def percentile(values: Sequence[float], of_hundred: float) -> float:
    """Give the smallest value that so many of a hundred do not exceed (nearest rank); 0 where there is nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(of_hundred / 100 * len(ordered)) - 1)] if ordered else 0.0
