"""A small analyst that answers from the question alone: a real implementation of the port."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from pipeline.analysis.question import Answer, Question, Recalled
from pipeline.engine.generator import IDLE, Health
from pipeline.finding import Level


class PlainAnalyst:
    """Answers every question by its key; counts what it is asked.

    Args:
        refuse: how many first answers to a question `critique` sends back.
        silent: leaves a question without an answer.
        level: the level of every answer, or the floor of the question.
        untrained: does not take a question.
    """

    def __init__(
        self,
        name: str = "plain/1",
        refuse: Callable[[Question], int] = lambda question: 0,
        silent: Callable[[Question], bool] = lambda question: False,
        level: Level | None = None,
        untrained: Callable[[Question], bool] = lambda question: False,
    ) -> None:
        self._untrained = untrained
        self._name = name
        self._refuse = refuse
        self._silent = silent
        self._level = level
        self.asked: list[tuple[str, int]] = []
        self.failure: str | None = None

    @property
    def health(self) -> Health:
        return IDLE

    @property
    def digest(self) -> str:
        return self._name

    @property
    def model(self) -> str:
        return f"model of {self._name}"

    def takes(self, question: Question) -> bool:
        return not self._untrained(question)

    def recall(self, question: Question) -> Recalled | None:
        return None

    def analyse(self, question: Question, attempt: int) -> "Future[Answer | None]":
        self.asked.append((question.key, attempt))
        answer: Future[Answer | None] = Future()
        answer.set_result(None if self._silent(question) else self.say(question, attempt))
        return answer

    def say(self, question: Question, attempt: int) -> Answer:
        return Answer(
            assessment=f"{self._name}: {question.class_id}, attempt {attempt}.",
            impact=f"Features: {len(question.features)}.",
            level=self._level or question.floor,
        )

    def critique(self, question: Question, answer: Answer) -> str | None:
        attempt = int(answer.assessment.rstrip(".").rsplit(" ", 1)[1])
        return "not yet" if attempt < self._refuse(question) else None

    def close(self) -> None:
        """Nothing to give back."""


class LateAnalyst(PlainAnalyst):
    """Answers nothing before it is told to, on whatever thread that is."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._open: list[tuple[Future[Answer | None], Answer | None]] = []

    def analyse(self, question: Question, attempt: int) -> "Future[Answer | None]":
        given = super().analyse(question, attempt).result()
        answer: Future[Answer | None] = Future()
        self._open.append((answer, given))
        return answer

    @property
    def num_open(self) -> int:
        """How many questions wait."""
        return len(self._open)

    def answer(self, count: int) -> None:
        """Answer the oldest questions that wait."""
        for answer, given in self._open[:count]:
            answer.set_result(given)
        del self._open[:count]
