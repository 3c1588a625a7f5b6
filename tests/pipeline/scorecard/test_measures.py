"""The measures against their definitions."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.finding import LEVELS, Level
from pipeline.scorecard.measures import accuracy, mean, percentile, selection, share, weighted_kappa

IDS = st.frozensets(st.sampled_from("abcdef"))
SETS = st.lists(st.tuples(IDS, IDS), max_size=12)
LEVEL = st.sampled_from(LEVELS)
RATINGS = st.lists(st.tuples(LEVEL, LEVEL), min_size=1, max_size=30)
NUMBERS = st.lists(st.integers(-1000, 1000), min_size=1)


@given(SETS)
def test_counts_of_ids_are_those_of_single_ids(pairs: list[tuple[frozenset[str], frozenset[str]]]) -> None:
    found = [(name in right, name in given_) for right, given_ in pairs for name in "abcdef"]
    hits = found.count((True, True))
    wrong, missed = found.count((False, True)), found.count((True, False))
    result = selection(pairs)
    assert result.precision == (hits / (hits + wrong) if hits + wrong else 1)
    assert result.recall == (hits / (hits + missed) if hits + missed else 1)
    assert result.f1 == (2 * hits / (2 * hits + wrong + missed) if hits + wrong + missed else 1)


@given(SETS)
def test_f1_is_the_harmonic_mean(pairs: list[tuple[frozenset[str], frozenset[str]]]) -> None:
    result = selection(pairs)
    if any(right & given_ for right, given_ in pairs):
        assert result.f1 == pytest.approx(2 / (1 / result.precision + 1 / result.recall))


@given(SETS)
def test_swapping_right_and_given_swaps_precision_and_recall(
    pairs: list[tuple[frozenset[str], frozenset[str]]],
) -> None:
    one, other = selection(pairs), selection((given_, right) for right, given_ in pairs)
    if any(right for right, _ in pairs) and any(given_ for _, given_ in pairs):
        assert (one.precision, one.recall, one.f1) == (other.recall, other.precision, other.f1)


@given(RATINGS)
def test_kappa_is_that_of_the_weighted_table(pairs: list[tuple[Level, Level]]) -> None:
    """Cohen's formula written out: a table of proportions, its margins, and weights of disagreement."""
    size, total = range(len(LEVELS)), len(pairs)
    table = [[sum(pair == (LEVELS[i], LEVELS[j]) for pair in pairs) / total for j in size] for i in size]
    rows = [sum(table[i]) for i in size]
    columns = [sum(table[i][j] for i in size) for j in size]
    cells = list(itertools.product(size, size))
    observed = sum((i - j) ** 2 * table[i][j] for i, j in cells)
    expected = sum((i - j) ** 2 * rows[i] * columns[j] for i, j in cells)
    if expected > 1e-12:
        assert weighted_kappa(pairs) == pytest.approx(1 - observed / expected)
    else:
        assert weighted_kappa(pairs) == 1


@given(RATINGS)
def test_kappa_is_symmetric_and_at_most_one(pairs: list[tuple[Level, Level]]) -> None:
    kappa = weighted_kappa(pairs)
    assert kappa == pytest.approx(weighted_kappa([(given_, right) for right, given_ in pairs]))
    assert kappa <= 1
    assert (kappa == 1) == all(right == given_ for right, given_ in pairs)


def test_a_far_miss_costs_more_than_a_near_one() -> None:
    right: list[Level] = ["info", "low", "medium", "high", "critical"]
    near, far = list(right), list(right)
    near[0], far[0] = "low", "critical"
    assert 1 > weighted_kappa(zip(right, near, strict=True)) > weighted_kappa(zip(right, far, strict=True))


def test_one_level_throughout_against_many_is_no_better_than_chance() -> None:
    assert weighted_kappa([(level, "medium") for level in LEVELS]) == 0


def test_of_nothing_nothing_is_wrong() -> None:
    assert weighted_kappa([]) == accuracy([]) == share([]) == selection([]).f1 == 1
    assert mean([]) == percentile([], 95) == 0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_accuracy_counts_equals(pairs: list[tuple[bool, bool]]) -> None:
    assert accuracy(pairs) == mean([float(right is given_) for right, given_ in pairs])


@given(NUMBERS, st.integers(1, 100))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[int], of_hundred: int) -> None:
    found = percentile(values, of_hundred)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= of_hundred * len(values)
    assert sum(value < found for value in values) * 100 < of_hundred * len(values)
