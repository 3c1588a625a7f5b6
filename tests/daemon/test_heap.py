"""The collector: what is there while a large scan is in hand is not looked at, and all is as before afterwards."""

import gc

from daemon.heap import Heap


def test_what_is_held_is_not_looked_at_and_garbage_goes_all_the_same() -> None:
    heap = Heap()
    before, enabled = gc.get_freeze_count(), gc.isenabled()
    heap.collect()
    assert gc.get_freeze_count() == before  # nobody is at a large scan
    heap.hold()
    heap.hold()
    held = [[number] for number in range(10_000)]
    heap.collect()
    assert gc.get_freeze_count() >= before + len(held)
    assert not gc.isenabled()
    heap.let_go()
    assert not gc.isenabled()  # the other is still at its scan
    del held
    heap.let_go()
    assert gc.isenabled()
    if not enabled:
        gc.disable()


def test_free_memory_is_handed_back_when_nothing_is_done_any_more() -> None:
    heap = Heap()
    handed: list[int] = []
    heap._trim = handed.append
    for _ in range(3):
        heap.look()
    assert handed == []  # nothing was done that could have left any
    heap.use()
    heap.look()
    heap.use()
    heap.look()
    assert handed == []
    heap.look()
    assert len(handed) == 1
    heap.look()
    assert len(handed) == 1


def test_free_memory_is_handed_back_now_and_then_where_there_is_never_a_rest() -> None:
    heap = Heap()
    handed: list[int] = []
    heap._trim = handed.append
    for _ in range(150):
        heap.use()
        heap.look()
    assert len(handed) == 2
