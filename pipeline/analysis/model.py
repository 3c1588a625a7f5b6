"""The analyst that asks a model: a question becomes a prompt and a grammar, the model's text an answer."""

from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pipeline.analysis.case import CaseMaker
from pipeline.analysis.critique import CRITIQUE_VERSION, critique, refusal
from pipeline.analysis.prompt import (
    PROMPT_VERSION,
    BadResponse,
    parse_response,
    render_prompt,
    response_schema,
)
from pipeline.analysis.question import MAX_ATTEMPTS, UNKNOWN, Answer, Question, Recalled
from pipeline.analysis.unknown_prompt import (
    QUESTION,
    critique_unknown,
    parse_unknown,
    render_unknown,
    unknown_case,
    unknown_schema,
)
from pipeline.engine.errors import EngineError, ModelDamaged, TooLong, Unfinished
from pipeline.engine.generator import DeferredGenerator, Generator, Grammar, Health, Immediate
from pipeline.engine.manifest import Manifest
from pipeline.keys import digest
from pipeline.knowledge.schema import Knowledge
from pipeline.remembered import Remembered

CLASSES = "classes"  # in a model's record: the classes that it was trained on
QUESTIONS = "questions"  # in a model's record: the kinds of question beyond those about classes
MAX_TOKENS = 256  # an answer takes about eighty; with a foreign tokenizer twice as many
_MAX_RECALLED = 4096  # about 1 KB each


def trained_classes(manifest: Manifest) -> list[str] | None:
    """Give the classes that a model was trained on, if it says so.

    Raises:
        ModelDamaged: if what it says is no list of names.
    """
    classes = manifest.record.get(CLASSES)
    if classes is None:
        return None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ModelDamaged(f"model {manifest.name}: {CLASSES} in its manifest is no list of names; export it again")
    return classes


def knows_unknown(manifest: Manifest) -> bool:
    """Say whether a model was trained on questions about findings that no class knows.

    Raises:
        ModelDamaged: if what it says is no list of names.
    """
    questions = manifest.record.get(QUESTIONS, [])
    if not isinstance(questions, list) or not all(isinstance(name, str) for name in questions):
        raise ModelDamaged(f"model {manifest.name}: {QUESTIONS} in its manifest is no list of names; export it again")
    return QUESTION in questions


class ModelAnalyst:
    """Answers questions with a model; a question that gets no answer is left to the rules.

    That holds for a model that fails altogether, too: a daemon that stopped there would start again and meet the same
    finding.

    Attributes:
        failure: what went wrong the last time that a question got no answer, or None.
    """

    def __init__(
        self,
        generator: Generator | DeferredGenerator,
        knowledge: Knowledge,
        name: str,
        classes: Collection[str] | None = None,
        shipped: Callable[[str, Grammar], str | None] = lambda prompt, grammar: None,
        *,
        knows_unknown: bool = False,
    ) -> None:
        """Take a generator.

        Args:
            generator: one in this process answers while it is asked, so the answers are there at once.
            name: what the output calls the model.
            classes: that the model was trained on; None where that is not known, and it is asked about all.
            shipped: gives what the generator would say, where that is known already.
            knows_unknown: it was trained on questions about findings that no class knows; else it is not asked them.
        """
        self._shipped = shipped
        self._source = generator
        self._classes = None if classes is None else frozenset(classes)
        self._generator = generator if isinstance(generator, DeferredGenerator) else Immediate(generator)
        self._maker = CaseMaker(knowledge)
        self._knowledge = knowledge
        self._knows_unknown = knows_unknown
        self._name = name
        # By question: most scans of a host raise those of the last.
        self._recalled: Remembered[str, Recalled | None] = Remembered(_MAX_RECALLED)
        self.failure: str | None = None
        self._digest = digest(
            "analyst",
            generator.digest,
            PROMPT_VERSION,
            CRITIQUE_VERSION,
            knowledge.digest,
            None if classes is None else sorted(classes),
            *([QUESTION] if knows_unknown else []),
        )

    def with_knowledge(self, knowledge: Knowledge) -> "ModelAnalyst":
        """Give an analyst that asks the same generator by other knowledge."""
        return ModelAnalyst(
            self._source, knowledge, self._name, self._classes, self._shipped, knows_unknown=self._knows_unknown
        )

    def asks(self, generator_digest: str) -> bool:
        """Say whether it asks the generator with this name."""
        return self._source.digest == generator_digest

    def shares_with(self, other: object) -> bool:
        """Say whether another analyst asks the same generator, so that closing one would close the other."""
        return isinstance(other, ModelAnalyst) and other._source is self._source

    @property
    def digest(self) -> str:
        """Name everything that an answer depends on beside the question."""
        return self._digest

    @property
    def model(self) -> str:
        """Name the model in the output."""
        return self._name

    def takes(self, question: Question) -> bool:
        """Say whether there is something to analyse, and the model was trained on it.

        About other classes it would write by analogy. Findings that no class knows are questions of their own.
        """
        if question.class_id.startswith(UNKNOWN):
            return self._knows_unknown and question.unknown is not None and bool(question.unknown.topics)
        return self._classes is None or self._maker.class_of(question) in self._classes

    def prompt(self, question: Question, attempt: int = 0) -> str:
        """Give what the model is shown, for `explain`."""
        if question.unknown is not None:
            return render_unknown(unknown_case(question, self._knowledge))
        return render_prompt(self._maker.case(question, attempt))

    @property
    def health(self) -> Health:
        """The state of the process that the model runs in."""
        return self._generator.health

    def recall(self, question: Question) -> Recalled | None:
        """Give the answer that was shipped with the model, if there is one.

        It is what asking would give: a second attempt counts only where the first is known and was refused.
        """
        if question.key not in self._recalled:
            self._recalled[question.key] = self._recall(question)
        return self._recalled[question.key]

    def _recall(self, question: Question) -> Recalled | None:
        if not self.takes(question):
            return None
        recalled: Recalled | None = None
        for attempt in range(MAX_ATTEMPTS):
            _, prompt, schema, parse = self._prompted(question, attempt)
            text = self._shipped(prompt, Grammar.of(schema))
            if text is None:
                return None
            wrong, recalled = None, None
            with suppress(BadResponse):
                answer = parse(text)
                wrong = self.critique(question, answer)
                recalled = Recalled(answer, stands=wrong is None)
                if recalled.stands:
                    return recalled
            question = replace(question, refused=refusal(wrong))
        return recalled

    def analyse(self, question: Question, attempt: int) -> "Future[Answer | None]":
        """Begin to answer, and return at once; None will be the answer where there is none."""
        return self._asked(*self._prompted(question, attempt))

    def _prompted(self, question: Question, attempt: int) -> tuple[str, str, dict[str, Any], Callable[[str], Answer]]:
        """Say what a question is about, how it is asked, and how its answer is read."""
        if question.unknown is not None:
            unknown = unknown_case(question, self._knowledge)
            return (
                "unknown",
                render_unknown(unknown),
                unknown_schema(unknown),
                lambda text: parse_unknown(text, unknown),
            )
        case = self._maker.case(question, attempt)
        return case.class_id, render_prompt(case), response_schema(case), lambda text: parse_response(text, case)

    def _asked(
        self, about: str, prompt: str, schema: dict[str, Any], parse: Callable[[str], Answer]
    ) -> "Future[Answer | None]":
        answer: Future[Answer | None] = Future()

        def take(text: "Future[str]") -> None:
            try:
                answer.set_result(self._read(text, about, parse))
            except Exception as error:  # a fault of ours: for whoever waits
                answer.set_exception(error)

        text = self._generator.submit(prompt, Grammar.of(schema), MAX_TOKENS)
        text.add_done_callback(take)
        return answer

    def _read(self, text: "Future[str]", about: str, parse: Callable[[str], Answer]) -> Answer | None:
        try:
            return parse(text.result())
        except (BadResponse, TooLong, Unfinished) as error:
            self.failure = f"{about}: {error}"
        except EngineError as error:
            self.failure = str(error)
        return None

    def critique(self, question: Question, answer: Answer) -> str | None:
        """Say what is wrong with an answer, or None when it stands."""
        if question.unknown is not None:
            return critique_unknown(unknown_case(question, self._knowledge), answer)
        # Without distractors an answer that took one is refused, which is what they are there for.
        return critique(self._maker.case(question, attempt=1), answer)

    def close(self) -> None:
        """Give the memory back; the analyst cannot be asked afterwards."""
        self._generator.close()
