"""Long work cut into steps, for a loop that others run on, too.

A function that would take long is a generator that yields between two pieces of a few milliseconds and returns its
result. Whoever must not hold others up advances it for as long as its turn is; everybody else calls `finish`. Where it
was cut changes nothing of the result.
"""

import heapq
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]

PIECE = 512  # findings that are looked at between two yields: 20 ms where each takes long, 1 ms where not
_SORTED_AT_ONCE = 8192


def finish(steps: Steps[T]) -> T:
    """Take all steps at once and give the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def pieces(items: Sequence[T], size: int = PIECE) -> Iterator[Sequence[T]]:
    """Cut a sequence into pieces of one step each."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def sort_in_steps(items: Iterable[Any]) -> Steps[list[Any]]:
    """Sort, as `sorted` does."""
    runs: list[list[Any]] = []
    waiting: list[Any] = []
    for item in items:
        waiting.append(item)
        if len(waiting) == _SORTED_AT_ONCE:
            runs.append(sorted(waiting))
            waiting = []
            yield
    runs.append(sorted(waiting))
    if len(runs) == 1:
        return runs[0]
    merged: list[Any] = []
    for item in heapq.merge(*runs):
        merged.append(item)
        if not len(merged) % _SORTED_AT_ONCE:
            yield
    return merged


def release(*held: "list[Any] | dict[Any, Any]") -> Steps[None]:
    """Empty lists and dictionaries: to let go of a large one at once takes as long as many steps."""
    for each in held:
        while each:
            if isinstance(each, list):
                del each[-4 * PIECE :]
            else:
                for _ in range(min(len(each), 4 * PIECE)):
                    each.popitem()
            yield
