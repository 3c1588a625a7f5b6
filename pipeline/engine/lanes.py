"""Answers questions on several threads, a few at a time on each, and gives the answers in the order of the questions.

Each thread has a lane: sequences of its own over a model that all share. Which lane answers a question, and what else
it answers meanwhile, changes nothing.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.engine.errors import EngineError
from pipeline.engine.generator import Grammar
from pipeline.engine.messages import Answered, Ask, Failed, one_line
from pipeline.engine.probe import Speed


class Begun(Protocol):
    """An answer that was begun; see `decoder.Answering`."""

    done: bool
    computed: int


class Lane(Protocol):
    """What answers up to `slots` questions at a time; see `decoder.Decoder`."""

    @property
    def slots(self) -> int: ...
    @property
    def num_free(self) -> int: ...
    def begin(self, prompt: str, grammar: Grammar, max_tokens: int) -> Any: ...
    def advance(self) -> Sequence[Any]: ...
    def text(self, begun: Any) -> str: ...
    def abandon(self) -> Sequence[Any]: ...
    def probe(self) -> float: ...
    def measure(self, rounds: int) -> Speed: ...


class Whole(Protocol):
    """A `Generator` that gives an answer at once, counts its tokens and knows how fast it is."""

    num_computed: int

    def generate(self, prompt: str, grammar: Grammar, max_tokens: int) -> str: ...
    def probe(self) -> float: ...
    def measure(self, rounds: int) -> Speed: ...


Reply = Answered | Failed


@dataclass(eq=False)
class _Given:
    text: str
    computed: int
    done: bool = True


class OneByOne:
    """A lane over what gives whole answers."""

    slots = num_free = 1

    def __init__(self, generator: Whole) -> None:
        """Take a generator; nothing else may ask it."""
        self._generator = generator
        self.probe = generator.probe
        self.measure = generator.measure

    def begin(self, prompt: str, grammar: Grammar, max_tokens: int) -> _Given:
        """Answer; see `Generator.generate`."""
        before = self._generator.num_computed
        text = self._generator.generate(prompt, grammar, max_tokens)
        return _Given(text, self._generator.num_computed - before)

    def advance(self) -> Sequence[_Given]:
        """Do nothing: what was begun is done."""
        return ()

    def text(self, begun: _Given) -> str:
        """Return what was answered."""
        return begun.text

    def abandon(self) -> Sequence[_Given]:
        """Let go of nothing."""
        return ()


class Desk:
    """Where questions wait for a lane, and answers for those before them."""

    def __init__(
        self, lanes: Sequence[Lane], send: Callable[[Reply], object], fault: Callable[[int, Exception], Failed]
    ) -> None:
        """Start a thread for each lane.

        Args:
            send: takes answers, in order, from one thread at a time; none any more once it has raised OSError.
            fault: makes the reply to a question out of what a runtime raised.
        """
        self._send = send
        self._fault = fault
        self._changed = threading.Condition()
        self._waiting: deque[Ask] = deque()
        self._order: deque[int] = deque()  # the ids of questions without an answer
        self._replies: dict[int, Reply] = {}  # to questions before which another one waits
        self._is_closed = False
        self._threads = [threading.Thread(target=self._work, args=(lane,), daemon=True) for lane in lanes]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Have the lanes end after the step that they take; what has no answer by then gets none."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def put(self, ask: Ask) -> None:
        """Have a question answered."""
        with self._changed:
            self._waiting.append(ask)
            self._order.append(ask.id)
            self._changed.notify()

    def wait(self) -> None:
        """Wait until everything is answered."""
        with self._changed:
            self._changed.wait_for(lambda: not self._order)

    def _work(self, lane: Lane) -> None:
        begun: dict[Any, tuple[Ask, float]] = {}
        while not self._is_closed:
            ask = self._take(lane, bool(begun))
            if self._is_closed:
                return
            try:
                done = self._begin(lane, ask, begun) if ask is not None else lane.advance()
            except Exception as error:  # whatever the runtimes raise, a GPU without memory included
                hurt = [ask] if ask is not None else []
                hurt += [begun.pop(one)[0] for one in lane.abandon()]
                for each in hurt:
                    self._reply(self._fault(each.id, error))
                continue
            for one in done:
                self._reply(_reply(lane, one, *begun.pop(one)))

    def _take(self, lane: Lane, busy: bool) -> Ask | None:
        """Return the next question, if the lane has room for it; wait for one where the lane has nothing to do."""
        with self._changed:
            if not busy:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
            return self._waiting.popleft() if self._waiting and lane.num_free else None

    def _begin(self, lane: Lane, ask: Ask, begun: dict[Any, tuple[Ask, float]]) -> Sequence[Any]:
        at = time.perf_counter()
        try:
            one = lane.begin(ask.prompt, Grammar(ask.schema), ask.max_tokens)
        except EngineError as error:  # of this question alone
            self._reply(_failed(ask, error))
            return ()
        begun[one] = (ask, at)
        return (one,) if one.done else ()

    def _reply(self, reply: Reply) -> None:
        with self._changed:
            self._replies[reply.id] = reply
            while self._order and (ready := self._replies.pop(self._order[0], None)) is not None:
                self._order.popleft()
                try:
                    self._send(ready)
                except OSError:  # nobody is there any more, which the thread that reads sees, too
                    self._send = lambda reply: None
            self._changed.notify_all()


def _reply(lane: Lane, begun: Begun, ask: Ask, at: float) -> Reply:
    try:
        return Answered(ask.id, lane.text(begun), begun.computed, time.perf_counter() - at)
    except EngineError as error:
        return _failed(ask, error)


def _failed(ask: Ask, error: EngineError) -> Failed:
    return Failed(ask.id, type(error).__name__, one_line(error))
