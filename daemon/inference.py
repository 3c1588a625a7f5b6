"""The model in a process of its own: text and grammar go in, text comes out.

A crash, a leak or an endless answer in a runtime costs that process, which `daemon/supervisor.py` starts, times and
ends. Any number of workers may ask; none has to wait.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from daemon.asked import Asked
from daemon.child import serve_command
from daemon.patience import Patience
from daemon.supervisor import Supervisor
from pipeline.engine.errors import TooLong
from pipeline.engine.generator import Grammar, Health
from pipeline.engine.messages import Ask, BadMessage, Measure, pack
from pipeline.engine.model import Weights
from pipeline.engine.probe import Speed

_MEASURE_TOKENS = 3 * (8 * 32 + 64)


class ModelProcess:
    """A `DeferredGenerator`, and a `Generator`, over a model; answers that were shipped with it are given at once.

    Attributes:
        model: as it was verified.
        num_shipped, num_fresh: how many answers were shipped ones, and how many were asked for.
    """

    def __init__(
        self,
        model: Weights,
        patience: Patience | None = None,
        tell: Callable[..., object] = lambda event, **details: None,
        command: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a model; no process is started before a question needs one, or `begin` is called.

        Args:
            tell: is told, on another thread, of ``model.died`` (`reason`, `in_a_row`) and ``model.refused`` (`reason`).
            command: of the process; default: the engine's.
        """
        self.model = model
        self.num_shipped = 0
        self.num_fresh = 0
        self._supervisor = Supervisor(model, patience or Patience(), tell, command or serve_command(), clock)
        self._ids = itertools.count(1)

    @property
    def digest(self) -> str:
        """A digest of everything that answers depend on besides prompt, grammar and limit."""
        return self.model.digest

    @property
    def health(self) -> Health:
        """Whether the process runs, how often it died, and why it is not asked."""
        return self._supervisor.health

    @property
    def pid(self) -> int | None:
        """The id of the process, while there is one."""
        return self._supervisor.pid

    def submit(self, prompt: str, grammar: Grammar, max_tokens: int) -> "Future[str]":
        """Ask, and return at once. The answer is the text, or an `EngineError`."""
        answer: Future[str] = Future()
        text = self.model.shipped_answer(prompt, grammar)
        if text is not None:
            self.num_shipped += 1
            answer.set_result(text)
            return answer
        self.num_fresh += 1
        request = Ask(next(self._ids), prompt, grammar.schema, max_tokens)
        try:
            packed = pack(request)
        except BadMessage as error:
            answer.set_exception(TooLong(f"a prompt of {len(prompt):,} characters: {error}"))
            return answer
        self._supervisor.ask(Asked(request, packed, len(prompt) // 2 + max_tokens, answer))
        return answer

    def generate(self, prompt: str, grammar: Grammar, max_tokens: int) -> str:
        """Ask, and wait for the answer.

        Raises:
            EngineError: as `Generator.generate`; `RuntimeFault` where the process died again and again.
        """
        return self.submit(prompt, grammar, max_tokens).result()

    def begin(self) -> None:
        """Start the process and return at once: it loads the model while nothing is asked yet.

        Raises:
            OSError: if there is no descriptor left for it.
        """
        self._supervisor.begin()

    def load(self) -> float:
        """Start the process, if it does not run, and return the seconds that loading the model took it.

        Raises:
            EngineError: if it cannot be loaded.
        """
        self._measure(rounds=0)
        return self._supervisor.load_s

    def measure(self) -> Speed:
        """Load the model, if it is not, and measure it.

        Raises:
            EngineError: if it cannot be loaded, or fails.
        """
        return self._measure(rounds=3)

    def close(self) -> None:
        """End the process; what is not answered fails."""
        self._supervisor.close()

    def _measure(self, rounds: int) -> Speed:
        request = Measure(next(self._ids), rounds)
        speed: Future[Speed] = Future()
        self._supervisor.ask(Asked(request, pack(request), _MEASURE_TOKENS, speed))
        return speed.result()
