"""What the layers above know of a model: a prompt and a grammar go in, a text comes out."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol


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
