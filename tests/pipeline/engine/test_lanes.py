"""Answers come in the order of the questions, from whichever lane, and what is hurt by a fault is told so."""

import threading
import time
from collections.abc import Sequence
from contextlib import closing
from random import Random
from typing import Any

import pytest

from pipeline.engine.errors import TooLong
from pipeline.engine.generator import Grammar
from pipeline.engine.lanes import Desk, Reply
from pipeline.engine.messages import Answered, Ask, Failed
from pipeline.engine.probe import Speed


class Begun:
    def __init__(self, prompt: str) -> None:
        self.prompt = prompt
        self.steps = len(prompt) % 7
        self.computed = len(prompt)

    @property
    def done(self) -> bool:
        return self.steps == 0


class SlowLane:
    """Takes as many steps for an answer as its prompt says; some prompts break it."""

    slots = 3

    def __init__(self, seed: int) -> None:
        self._dice = Random(seed)
        self._begun: list[Begun] = []
        self.threads: set[int] = set()

    @property
    def num_free(self) -> int:
        return self.slots - len(self._begun)

    def begin(self, prompt: str, grammar: Grammar, max_tokens: int) -> Begun:
        self.threads.add(threading.get_ident())
        assert self.num_free
        if prompt.startswith("long"):
            raise TooLong(prompt)
        if prompt.startswith("break"):
            raise OSError("device\nlost")
        one = Begun(prompt)
        if not one.done:
            self._begun.append(one)
        return one

    def advance(self) -> Sequence[Begun]:
        self.threads.add(threading.get_ident())
        time.sleep(self._dice.random() / 2000)
        for one in self._begun:
            one.steps -= 1
        done = [one for one in self._begun if one.done]
        self._begun = [one for one in self._begun if not one.done]
        return done

    def text(self, begun: Any) -> str:
        return f"{begun.prompt}!"

    def abandon(self) -> Sequence[Begun]:
        left, self._begun = self._begun, []
        return left

    def probe(self) -> float:
        return 1.0

    def measure(self, rounds: int) -> Speed:
        return Speed(1.0, 1.0)


def fault(number: int, error: Exception) -> Failed:
    return Failed(number, "RuntimeFault", str(error))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_answers_come_in_the_order_of_the_questions_each_with_its_own(count: int) -> None:
    lanes = [SlowLane(number) for number in range(count)]
    sent: list[Reply] = []
    prompts = [f"{number:{1 + number % 9}}" for number in range(200)]
    with closing(Desk(lanes, sent.append, fault)) as desk:
        for number, prompt in enumerate(prompts):
            desk.put(Ask(number + 1, prompt, "{}", 9))
        desk.wait()
    assert [reply.id for reply in sent] == list(range(1, 201))
    assert [reply.text for reply in sent if isinstance(reply, Answered)] == [f"{prompt}!" for prompt in prompts]
    assert [reply.tokens for reply in sent if isinstance(reply, Answered)] == list(map(len, prompts))
    assert len(set().union(*(lane.threads for lane in lanes))) == count, "a lane is for one thread"


def test_a_question_s_own_error_hurts_no_other_and_a_fault_all_that_its_lane_had() -> None:
    sent: list[Reply] = []
    prompts = ["abc", "long", "abcd", "break", "ab", "abcdef"]
    with closing(Desk([SlowLane(0)], sent.append, fault)) as desk:
        for number, prompt in enumerate(prompts):
            desk.put(Ask(number + 1, prompt, "{}", 9))
        desk.wait()
    kinds = [reply.kind if isinstance(reply, Failed) else reply.text for reply in sent]
    assert kinds[1] == "TooLong" and kinds[3] == "RuntimeFault" and kinds[4:] == ["ab!", "abcdef!"]
    assert {kinds[0], kinds[2]} <= {"abc!", "abcd!", "RuntimeFault"}


def test_when_nobody_listens_any_more_the_rest_is_not_sent() -> None:
    tries: list[int] = []

    def send(reply: Reply) -> None:
        tries.append(reply.id)
        raise BrokenPipeError

    with closing(Desk([SlowLane(0)], send, fault)) as desk:
        for number in range(5):
            desk.put(Ask(number + 1, "abc", "{}", 9))
        desk.wait()
    assert tries == [1]


def test_a_desk_that_is_closed_leaves_no_thread_behind_whatever_waits() -> None:
    before = set(threading.enumerate())
    desk = Desk([SlowLane(0), SlowLane(1)], lambda reply: None, fault)
    assert len(set(threading.enumerate()) - before) == 2
    for number in range(1000):
        desk.put(Ask(number + 1, "abcdef", "{}", 9))
    desk.close()
    assert not set(threading.enumerate()) - before
