"""The thread that owns the model's process.

It starts the process for the first question, or when it is told to begin, sends questions in the order in which they
came, and ends it when an answer does not come. The questions in its hands are asked again of the next one, which gives
the same answers, since no answer depends on what is asked before it or beside it. Each of them is then asked alone, so
that it shows which of them a process dies of.
"""

import selectors
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from daemon.asked import Asked
from daemon.bell import Bell
from daemon.child import Child
from daemon.patience import Patience
from pipeline.engine import errors
from pipeline.engine.errors import EngineError, NotEnoughMemory, RuntimeFault
from pipeline.engine.generator import Health
from pipeline.engine.messages import (
    Answered,
    Ask,
    BadMessage,
    Failed,
    Measure,
    Measured,
    Message,
    Ready,
    Unpacker,
    pack,
)
from pipeline.engine.model import Weights
from pipeline.engine.probe import Speed
from pipeline.shortage import is_shortage

_AHEAD = 2  # questions that the process has beyond those that it answers: they lie there when an answer goes out
_REFUSED = 1000  # questions that are remembered because the process died of them
_ENOUGH_TOKENS = 16  # for a speed that means something
_HAND_OVER_S = 0.0002
_BEGINNING_S = 1.0
_NEVER = float("inf")


class Supervisor:
    """The thread, and what it alone touches; others reach it through the inbox."""

    def __init__(
        self,
        model: Weights,
        patience: Patience,
        tell: Callable[..., object],
        command: Sequence[str],
        clock: Callable[[], float],
    ) -> None:
        self._model = model
        self._tell = tell
        self._patience = patience
        self._command = command
        self._clock = clock
        self._inbox: SimpleQueue[Asked | None] = SimpleQueue()
        self._lock = threading.Lock()  # over starting, asking and closing
        self._thread: threading.Thread | None = None
        self._closed = False
        self._begins = False  # the process is to start, although nothing is asked
        self._begun = threading.Event()  # the thread has seen that
        self._waiting: deque[Asked] = deque()
        self._in_hand: deque[Asked] = deque()
        self._child: Child[Message] | None = None
        self._loaded = False
        self._at_once = 1  # questions that the process answers at a time
        self._alone = 0  # questions to be asked alone, since a process had them when it died
        self._speed = 0.0  # tokens a second, the lowest of this process
        self._deadline = _NEVER
        self._start_at = 0.0
        self._in_a_row = 0  # deaths without an answer in between
        self._deaths = 0
        self._given_up: EngineError | None = None
        self._given_up_until = 0.0
        self._refused: dict[tuple[str, str], str] = {}
        self.load_s = 0.0

    # What others call

    @property
    def health(self) -> Health:
        refused = self._given_up if self._clock() < self._given_up_until else None
        return Health(self._child is not None, self._deaths, str(refused) if refused is not None else None)

    @property
    def pid(self) -> int | None:
        child = self._child
        return child.pid if child is not None else None

    def ask(self, asked: Asked) -> None:
        with self._lock:
            if self._closed:
                asked.fail(RuntimeFault("the model was closed"))
                return
            self._start_thread()
            self._inbox.put(asked)
            self._bell.ring()
        if not self._in_hand:
            # Else the thread would get the interpreter's lock only when the asker has worked on for 5 ms, and the
            # process would have nothing to do for as long.
            time.sleep(_HAND_OVER_S)

    def begin(self) -> None:
        """Have the process start before anything is asked of it; one that dies before that waits for a question.

        Raises:
            OSError: if there is no descriptor left for the thread.
        """
        with self._lock:
            if self._closed:
                return
            self._start_thread()
            self._begins = True
            self._bell.ring()
        # Beside a caller who works on, starting a process would take the thread a fifth of a second.
        self._begun.wait(_BEGINNING_S)

    def _start_thread(self) -> None:
        if self._thread is None:
            self._open()
            self._thread = threading.Thread(target=self._run, name="model", daemon=True)
            self._thread.start()

    def _open(self) -> None:
        """Open what the thread waits at; here, so that a shortage of descriptors is the asker's to wait out.

        Raises:
            OSError: if there is none left.
        """
        bell = Bell()
        try:
            self._selector = selectors.DefaultSelector()
        except OSError:
            bell.close()
            raise
        self._bell = bell

    def close(self) -> None:
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
            if thread is None:
                return
            self._inbox.put(None)
            self._bell.ring()
        thread.join()
        self._bell.close()

    # The thread

    def _run(self) -> None:
        # Signals are for the main thread, whatever it waits for.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        with self._selector:
            self._selector.register(self._bell.end, selectors.EVENT_READ)
            try:
                while self._turn():
                    pass
            except Exception as error:  # a fault of ours; nobody is to wait for ever
                self._stop_child()
                fault = RuntimeFault(f"what runs the model failed: {error!r}")
                self._give_up(fault, _NEVER)
                while self._take_in():
                    self._fail_all(fault)
                    self._selector.select()
            finally:
                self._stop_child()
                self._fail_all(self._given_up or RuntimeFault("the model was closed"))

    def _turn(self) -> bool:
        if not self._take_in():
            return False
        self._weed()
        begins, self._begins = self._begins and self._given_up is None, False
        if self._child is None and (self._waiting or begins) and self._clock() >= self._start_at:
            self._start()
        if begins:
            self._begun.set()
        self._hand_out()
        ready = self._selector.select(self._wait_s())
        child = self._child
        if child is not None:
            self._attend(child, {key.fd for key, _ in ready})
        return True

    def _take_in(self) -> bool:
        """Take what was asked; returns whether to go on."""
        if not self._bell.hush():
            return True
        try:
            while True:
                asked = self._inbox.get_nowait()
                if asked is None:
                    return False
                if asked.answer.set_running_or_notify_cancel():
                    self._waiting.append(asked)
        except Empty:
            return True

    def _weed(self) -> None:
        """Leave out what is not to be asked."""
        if self._given_up is not None:
            if self._clock() < self._given_up_until:
                self._fail_all(self._given_up)
                return
            self._given_up = None
        if self._refused:
            for asked in [one for one in self._waiting if one.key in self._refused]:
                self._waiting.remove(asked)
                asked.fail(RuntimeFault(self._refused[asked.key]))

    def _start(self) -> None:
        model, patience = self._model, self._patience
        try:
            self._child = child = Child(self._command, Unpacker())
        except OSError as error:
            if is_shortage(error):  # of which the model is not to blame: the askers wait it out, and ask again
                self._fail_all(error)
            else:
                self._died(f"it cannot be started: {error.strerror or error}")
            return
        self._selector.register(child.channel, selectors.EVENT_READ)
        self._selector.register(child.printed, selectors.EVENT_READ)
        self._loaded = False
        self._deadline = self._clock() + patience.load_s + model.weight_bytes / patience.load_bytes_per_s
        self._guarded(child, lambda: child.send(pack(model.start())))

    def _hand_out(self) -> None:
        while (child := self._child) is not None and self._waiting and len(self._in_hand) < self._room():
            asked = self._waiting.popleft()
            self._in_hand.append(asked)
            if self._loaded and len(self._in_hand) == 1:
                self._set_deadline()
            self._guarded(child, lambda child=child, asked=asked: child.send(asked.packed))  # type: ignore[misc]

    def _room(self) -> int:
        """Return how many questions the process may have."""
        return 1 if self._alone else self._at_once + _AHEAD

    def _attend(self, child: Child[Message], ready: set[int]) -> None:
        if child.printed in ready and not child.listen():
            self._selector.unregister(child.printed)
        if child.has_unsent:
            self._guarded(child, child.flush)
        # Looked at once more before it is called late: this process itself may have been stopped for a while.
        self._guarded(child, lambda: self._read(child))
        if self._child is child:
            self._selector.modify(
                child.channel, selectors.EVENT_READ | (selectors.EVENT_WRITE if child.has_unsent else 0)
            )
            if self._clock() >= self._deadline:
                what = "no answer came" if self._loaded else "it was not loaded"
                self._end_child(f"{what} in time")

    def _guarded(self, child: Child[Message], act: Callable[[], None]) -> None:
        """Do something with the process that shows when it has died."""
        if self._child is not child:
            return
        try:
            act()
        except BadMessage as error:
            self._end_child(f"it does not speak as agreed ({error})")
        except OSError:
            self._end_child("", by_itself=True)

    def _read(self, child: Child[Message]) -> None:
        for message in child.receive():
            self._understand(message)
            if self._child is not child:
                return

    def _understand(self, message: Message) -> None:
        if isinstance(message, Ready) and not self._loaded and message.tokens_per_s > 0:
            self._loaded, self._speed, self.load_s = True, message.tokens_per_s, message.seconds
            self._at_once = max(1, message.at_once)
            self._set_deadline()
            return
        if isinstance(message, Failed) and message.id == 0 and not self._loaded:
            error = _error(message)
            self._stop_child()
            passes = isinstance(error, NotEnoughMemory | RuntimeFault)
            self._give_up(error, self._patience.rest_s if passes else _NEVER)
            return
        asked = self._in_hand[0] if self._in_hand and self._loaded else None
        if asked is None or getattr(message, "id", None) != asked.request.id:
            raise BadMessage(f"{type(message).__name__} that nobody asked for")
        answer: Future[str] | Future[Speed] = asked.answer
        if isinstance(message, Failed):
            answer.set_exception(_error(message))
        elif isinstance(message, Answered) and isinstance(asked.request, Ask):
            if message.tokens >= _ENOUGH_TOKENS and message.seconds > 0:
                self._speed = min(self._speed, message.tokens / message.seconds)
            answer.set_result(message.text)  # type: ignore[arg-type]
        elif isinstance(message, Measured) and isinstance(asked.request, Measure):
            answer.set_result(Speed(message.prefill, message.decode))  # type: ignore[arg-type]
        else:
            raise BadMessage(f"{type(message).__name__} to another question")
        self._in_hand.popleft()
        self._alone = max(0, self._alone - 1)
        self._in_a_row = 0
        self._set_deadline()

    def _set_deadline(self) -> None:
        """Give the question that the process is at its time."""
        if not self._in_hand:
            self._deadline = _NEVER
            return
        patience = self._patience
        takes = self._in_hand[0].tokens / self._speed
        self._deadline = self._clock() + max(patience.answer_s, patience.factor * takes)

    def _wait_s(self) -> float | None:
        until = self._deadline if self._child is not None else self._start_at if self._waiting else _NEVER
        return None if until == _NEVER else max(0.0, until - self._clock())

    # The end of the process

    def _end_child(self, why: str, *, by_itself: bool = False) -> None:
        child = self._child
        assert child is not None
        how = self._let_go(child, by_itself=by_itself)
        self._died(f"{why}, so {how}" if why else how)

    def _died(self, why: str) -> None:
        patience = self._patience
        self._deaths += 1
        self._in_a_row += 1
        if self._loaded and len(self._in_hand) == 1:
            (asked,) = self._in_hand
            asked.deaths += 1
            if asked.deaths >= patience.deaths_of_one:
                self._in_hand.popleft()
                self._alone = max(0, self._alone - 1)
                self._refuse(asked, why)
        if self._loaded:
            self._alone = max(self._alone, len(self._in_hand))
        self._waiting.extendleft(reversed(self._in_hand))
        self._in_hand.clear()
        self._loaded = False
        self._start_at = self._clock() + patience.back_off_s[min(self._in_a_row, len(patience.back_off_s)) - 1]
        self._tell("model.died", reason=why, in_a_row=self._in_a_row)
        if self._in_a_row >= patience.deaths:
            self._give_up(
                RuntimeFault(
                    f"the model's process died {self._in_a_row} times in a row, and is left alone for "
                    f"{patience.rest_s:.0f} s; the last time {why}"
                ),
                patience.rest_s,
            )

    def _refuse(self, asked: Asked, why: str) -> None:
        reason = f"the model's process died {asked.deaths} times over one question, which is not asked again: {why}"
        self._refused[asked.key] = reason
        if len(self._refused) > _REFUSED:
            del self._refused[next(iter(self._refused))]
        asked.fail(RuntimeFault(reason))

    def _give_up(self, error: EngineError, rest_s: float) -> None:
        self._given_up, self._given_up_until = error, self._clock() + rest_s
        self._tell("model.refused", reason=str(error))
        self._fail_all(error)

    def _fail_all(self, error: EngineError | OSError) -> None:
        for asked in (*self._in_hand, *self._waiting):
            asked.fail(error)
        self._alone = 0
        self._in_hand.clear()
        self._waiting.clear()

    def _stop_child(self) -> None:
        if self._child is not None:
            self._let_go(self._child)

    def _let_go(self, child: Child[Message], *, by_itself: bool = False) -> str:
        self._child = None
        self._deadline = _NEVER
        for end in (child.channel, child.printed):
            if end in self._selector.get_map():
                self._selector.unregister(end)
        return child.end(by_itself=by_itself)


def _error(message: Failed) -> EngineError:
    kind = getattr(errors, message.kind, None)
    if not isinstance(kind, type) or not issubclass(kind, EngineError):
        raise BadMessage(f"an error that is none of the engine's: {message.kind[:80]!r}")
    return kind(message.message)
