"""What the layers above know of a model: a prompt and a grammar go in, a text comes out."""

import hashlib
import json
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from pipeline.engine.errors import EngineError


@dataclass(frozen=True)
class Grammar:
    """A JSON schema that an answer must meet, written without blanks and with its keys in the schema's order.

    Attributes:
        schema: JSON text. Equal texts share what is compiled from them, so build schemas in a fixed order and leave
            out what does not narrow the answer.
    """

    schema: str

    @classmethod
    def of(cls, schema: dict[str, Any]) -> "Grammar":
        """Take a schema; the order of its properties is the order of the answer's keys."""
        return cls(json.dumps(schema, ensure_ascii=False, separators=(",", ":")))

    @cached_property
    def digest(self) -> str:
        """Name the grammar."""
        return hashlib.sha256(self.schema.encode()).hexdigest()


class Generator(Protocol):
    """A model that answers under a grammar, greedily: equal input, equal text."""

    @property
    def digest(self) -> str:
        """Name everything that the tokens depend on beside prompt, grammar and limit."""

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
    """How what runs a model is.

    Attributes:
        running: it is there, loaded or about to be.
        deaths: how often it died.
    """

    running: bool
    deaths: int


@runtime_checkable
class DeferredGenerator(Protocol):
    """A model that answers later, in the order in which it is asked."""

    @property
    def digest(self) -> str:
        """Name everything that the tokens depend on beside prompt, grammar and limit."""

    @property
    def health(self) -> Health:
        """Say how what runs the model is."""

    def submit(self, prompt: str, grammar: Grammar, max_tokens: int) -> "Future[str]":
        """Ask, and return at once; the answer, or what `Generator.generate` raises, follows."""

    def close(self) -> None:
        """Give all up, and the memory back; the generator cannot be used afterwards."""


class Immediate:
    """A `DeferredGenerator` over a `Generator` in this process: `submit` returns when the answer is there."""

    health = Health(running=True, deaths=0)

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    @property
    def digest(self) -> str:
        """Name everything that the tokens depend on beside prompt, grammar and limit."""
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
