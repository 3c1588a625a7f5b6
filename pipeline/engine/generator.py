"""The interface of a model for the layers above: a prompt and a grammar in, a text out."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol


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
