"""Divides reviewed situations into those to learn from and those to be measured on."""

import math
from collections.abc import Collection, Iterable

from pipeline.keys import digest

HELD_OUT_SHARE = 0.36  # a little over a third: with few situations chance takes some of it away
_LEAST = 1 / 3
_DIGITS = 8


def held_out(situations: Iterable[str], frozen: Collection[str] = ()) -> set[str]:
    """Choose the situations that are measured on and never trained on.

    A situation's side depends on its name alone, so that what one run measured on the next one does not train on. Where
    chance leaves less than a third, those nearest to the line are held out, too.

    Args:
        frozen: situations of the frozen holdouts, which no model is trained on.
    """
    ordered = sorted(set(situations), key=lambda name: (_place(name), name))
    free = [name for name in ordered if name not in frozen]
    apart = {name for name in ordered if name in frozen}
    least = math.ceil(_LEAST * len(ordered)) - len(apart)
    count = max(least, sum(_place(name) < HELD_OUT_SHARE for name in free))
    return apart | set(free[:count])


def _place(name: str) -> float:
    """Give a number from 0 to 1 that only the name decides."""
    return int(digest("retraining", name)[:_DIGITS], 16) / float(16**_DIGITS)
