"""How a scan's questions are put to a model that answers later, and how its answers are taken up."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace

from pipeline.analysis.answers import Answers, CachedAnswer
from pipeline.analysis.critique import refusal
from pipeline.analysis.question import Analyst, Answer, Question

_KEPT_AT_ONCE = 8  # answers that one transaction keeps
_ASKED_AT_ONCE = 64  # questions of a scan that wait for the model; those of other scans come in between

Pending = Future[Answer | None]
Pause = Callable[[Collection[Pending]], None]


class Paused(Exception):
    """Raised by a `Pause` to leave a graph in the middle of a node; run again, it goes on there."""


def again(analyst: Analyst, question: Question, refused: CachedAnswer | None) -> Question:
    """Ask a question again, and say what was wrong with its first answer; same answer, same question."""
    return replace(question, refused=refusal(analyst.critique(question, refused.answer) if refused else None))


def wait_for_one(pending: Collection[Pending]) -> None:
    """Wait until one of these answers is there: the `Pause` of a caller who has nothing else to do."""
    if pending:
        wait(pending, return_when=FIRST_COMPLETED)


class Asking:
    """The questions of one scan that were put to the model."""

    def __init__(self, analyst: Analyst, answers: Answers) -> None:
        """Begin with nothing asked; `answers` takes what comes."""
        self._analyst = analyst
        self._answers = answers
        self._pending: dict[tuple[str, int], Pending] = {}  # by key and attempt
        self._unanswered: set[tuple[str, int]] = set()  # asking again would give as little

    def ask(self, questions: Sequence[Question], attempt: int, pause: Pause) -> None:
        """Have the model answer what it was not asked in this attempt yet; called again after a pause, go on.

        Args:
            pause: called between two questions to the model, with nothing, and where no more may be asked for now, with
                what was asked. Returns when something may have come; or raises `Paused`.

        Raises:
            Paused: what `pause` raises. Answers that came before are kept.
        """
        fresh: dict[str, CachedAnswer] = {}
        waiting: list[str] = []
        try:
            for question in questions:
                asked = question.key, attempt
                if asked in self._unanswered:
                    continue
                new = asked not in self._pending
                if new:
                    self._pending[asked] = self._analyst.analyse(question, attempt)
                waiting = self._collect([*waiting, question.key], attempt, fresh)
                if new:
                    pause(())
                if len(waiting) >= _ASKED_AT_ONCE:
                    waiting = self._wait(waiting, attempt, fresh, pause, fewer_than=_ASKED_AT_ONCE)
            self._wait(waiting, attempt, fresh, pause, fewer_than=1)
        finally:
            self._answers.put(fresh)

    def _wait(
        self, keys: list[str], attempt: int, fresh: dict[str, CachedAnswer], pause: Pause, *, fewer_than: int
    ) -> list[str]:
        """Wait until fewer than so many are open; return their keys."""
        while len(keys) >= fewer_than:
            pause([self._pending[key, attempt] for key in keys])
            keys = self._collect(keys, attempt, fresh)
        return keys

    def _collect(self, keys: Sequence[str], attempt: int, fresh: dict[str, CachedAnswer]) -> list[str]:
        """Move the answers that have come to `fresh`, and from there to where they are kept; return the other keys."""
        waiting: list[str] = []
        for key in keys:
            pending = self._pending[key, attempt]
            if not pending.done():
                waiting.append(key)
                continue
            del self._pending[key, attempt]  # first: what raises is asked again
            answer = pending.result()
            if answer is not None:
                fresh[key] = CachedAnswer(answer, attempt, accepted=False)
            else:  # remembered, or it would be asked again in every turn
                self._unanswered.add((key, attempt))
        if len(fresh) >= _KEPT_AT_ONCE:
            self._answers.put(fresh)
            fresh.clear()
        return waiting
