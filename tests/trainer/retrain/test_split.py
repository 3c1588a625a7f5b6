"""Who is held out: by the situation's name, at least a third, and what is frozen always."""

import random

from hypothesis import given
from hypothesis import strategies as st

from trainer.retrain.split import held_out

NAMES = st.sets(st.text("0123456789abcdef", min_size=4, max_size=8), max_size=80)


@given(NAMES)
def test_at_least_a_third_is_held_out_and_never_all_but_of_one(names: set[str]) -> None:
    apart = held_out(names)
    assert apart <= names
    assert 3 * len(apart) >= len(names)


@given(NAMES, st.randoms(use_true_random=False))
def test_the_order_of_the_situations_does_not_matter(names: set[str], rng: random.Random) -> None:
    shuffled = sorted(names)
    rng.shuffle(shuffled)
    assert held_out(shuffled) == held_out(names)


@given(NAMES)
def test_a_situation_of_the_frozen_holdouts_is_always_held_out(names: set[str]) -> None:
    frozen = set(sorted(names)[::5])
    assert frozen <= held_out(names, frozen)


def test_of_many_a_situation_keeps_its_side_when_others_come() -> None:
    first = {f"{number:06x}" for number in range(0, 3000, 3)}
    apart = held_out(first)
    assert 0.33 < len(apart) / len(first) < 0.42
    assert held_out({f"{number:06x}" for number in range(3000)}) & first == apart
