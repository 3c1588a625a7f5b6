"""A question on its way to the model's process and back."""

from concurrent.futures import Future
from dataclasses import dataclass

from pipeline.engine.errors import EngineError
from pipeline.engine.messages import Ask, Measure
from pipeline.engine.probe import Speed


@dataclass(slots=True, eq=False)
class Asked:
    """A question, or that for the speed.

    Attributes:
        packed: the request as it is sent.
        tokens: that it takes at most, about.
        key: equal for equal questions.
        deaths: of the process over it.
    """

    request: Ask | Measure
    packed: bytes
    tokens: int
    answer: "Future[str] | Future[Speed]"
    deaths: int = 0

    @property
    def key(self) -> tuple[str, str]:
        request = self.request
        return (request.prompt, request.schema) if isinstance(request, Ask) else ("", "")

    def fail(self, error: EngineError | OSError) -> None:
        """Leave it without an answer; each gets an error of its own, since raising one adds to it."""
        self.answer.set_exception(type(error)(*error.args))
