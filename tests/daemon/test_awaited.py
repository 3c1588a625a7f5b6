"""Waiting for a model's answers: on a loop that others run on, and without one."""

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

import daemon.awaited
from daemon.awaited import Awaited


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def pending(count: int) -> "list[Future[Any]]":
    return [Future() for _ in range(count)]


def test_it_is_the_models_turn_until_all_answers_are_there() -> None:
    awaited, (one, other) = Awaited(Clock()), pending(2)
    assert not awaited.waiting
    awaited.expect([one, other])
    assert awaited.waiting
    one.set_result(None)
    assert awaited.waiting, "what comes next would cost as much for one as for both"
    other.set_result(None)
    assert not awaited.waiting


def test_some_answers_are_taken_up_after_a_while() -> None:
    clock = Clock()
    awaited, (one, other) = Awaited(clock), pending(2)
    awaited.expect([one, other])
    clock.now = daemon.awaited.GATHER_S * 2
    assert awaited.waiting, "none is there"
    one.set_result(None)
    assert not awaited.waiting
    awaited.expect([other])
    assert awaited.waiting
    awaited.expect(())
    assert not awaited.waiting


def test_a_loop_goes_on_while_nothing_comes_and_wakes_when_all_has_come() -> None:
    async def script() -> None:
        awaited, (one, other) = Awaited(), pending(2)
        await awaited.rest()
        awaited.expect([one, other])
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(others())
        await awaited.rest()
        assert turns > 1 and awaited.waiting, "it gives up after a while, for its watchdog"
        for each in (one, other):
            threading.Thread(target=each.set_result, args=[None]).start()
        while awaited.waiting:
            await awaited.rest()
        task.cancel()

    asyncio.run(script())


def test_answers_that_come_when_the_loop_has_ended_harm_nobody(caplog: Any) -> None:
    awaited, (one,) = Awaited(), pending(1)
    awaited.expect([one])

    async def script() -> None:
        task = asyncio.ensure_future(awaited.rest())
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(script())
    one.set_result(None)
    assert not caplog.records
    assert not awaited.waiting


def test_without_a_loop_it_blocks_until_the_answers_are_there() -> None:
    awaited, (one,) = Awaited(), pending(1)
    awaited.rest_here()
    awaited.expect([one])
    threading.Timer(0.05, one.set_result, [None]).start()
    awaited.rest_here()
    assert one.done()
