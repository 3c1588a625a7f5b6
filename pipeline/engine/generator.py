"""The interface of a model for the layers above: a prompt and a grammar in, a text out."""

import hashlib
import json
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from pipeline.engine.errors import EngineError


@dataclass(frozen=True)
class Grammar:
    """A JSON schema that an answer must match; the answer has no blanks, and its keys are in the schema's order.

    Attributes:
        schema: JSON text. Equal texts are compiled once, so build schemas in a fixed order, and leave out what does
            not restrict the answer.
    """

    schema: str

    @classmethod
    def of(cls, schema: dict[str, Any]) -> "Grammar":
        """Create a grammar; the order of the schema's properties is that of the answer's keys."""
        return cls(json.dumps(schema, ensure_ascii=False, separators=(",", ":")))

    @cached_property
    def digest(self) -> str:
        """A digest of the schema."""
        return hashlib.sha256(self.schema.encode()).hexdigest()


class Generator(Protocol):
    """A model that answers under a grammar, greedily: equal input, equal text."""

    @property
    def digest(self) -> str:
        """A digest of everything that answers depend on besides prompt, grammar and limit."""

    def generate(self, prompt: str, grammar: Grammar, max_tokens: int) -> str:
        """Answer.

        Raises:
            TooLong: if prompt and `max_tokens` do not fit in the context.
            Unfinished: if the answer is not complete after `max_tokens`.
            Unsupported: if the grammar uses what cannot be compiled.
        """

    def close(self) -> None:
        """Give the memory back; the generator cannot be used afterwards."""


@dataclass(frozen=True, slots=True)
class Health:
    """The state of the process that a model runs in.

    Attributes:
        running: it is there, loaded or loading.
        deaths: how often it died.
        refused: why no model is asked now, in one line; None while one is.
    """

    running: bool
    deaths: int
    refused: str | None = None


IDLE = Health(running=False, deaths=0)


@runtime_checkable
class DeferredGenerator(Protocol):
    """A model that answers later, in the order in which it is asked."""

    @property
    def digest(self) -> str:
        """A digest of everything that answers depend on besides prompt, grammar and limit."""

    @property
    def health(self) -> Health:
        """The state of the process that the model runs in."""

    def submit(self, prompt: str, grammar: Grammar, max_tokens: int) -> "Future[str]":
        """Ask, and return at once; the text, or what `Generator.generate` raises, follows."""

    def close(self) -> None:
        """Give the memory back; what is not answered yet fails, and the generator cannot be used afterwards."""


class Immediate:
    """A `DeferredGenerator` over a `Generator` in this process: `submit` returns when the answer is there."""

    health = Health(running=True, deaths=0)

    def __init__(self, generator: Generator) -> None:
        """Take ownership of a generator."""
        self._generator = generator

    @property
    def digest(self) -> str:
        """A digest of everything that answers depend on besides prompt, grammar and limit."""
        return self._generator.digest

    def submit(self, prompt: str, grammar: Grammar, max_tokens: int) -> "Future[str]":
        """Answer."""
        answer: Future[str] = Future()
        try:
            answer.set_result(self._generator.generate(prompt, grammar, max_tokens))
        except EngineError as error:
            answer.set_exception(error)
        return answer

    def close(self) -> None:
        """Give the memory back."""
        self._generator.close()
