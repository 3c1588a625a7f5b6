"""Examples as ids: prompt and response, cut on the left where they are too long."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ConfigError
from trainer.data.dataset import Example
from trainer.recipes.tokenizer import TextEncoder


@dataclass(slots=True, frozen=True)
class Sequences:
    """Encoded examples.

    Attributes:
        rows: of each its ``input_ids``, the ``num_prompt`` of them that are its prompt, and its ``length``.
        num_cut: how many prompts lost their beginning.
        num_tokens: of all sequences, without padding.
    """

    rows: list[dict[str, Any]]
    num_cut: int
    num_tokens: int


def encode_examples(examples: Sequence[Example], encoder: TextEncoder, max_tokens: int) -> Sequences:
    """Encode examples, each at most `max_tokens` long.

    What is too long loses the beginning of its prompt: the response, and what stands nearest to it, teach most.

    Raises:
        ConfigError: if a response leaves no room for a prompt.
    """
    rows: list[dict[str, Any]] = []
    num_cut = num_tokens = 0
    for example in examples:
        prompt, response = encoder.prompt(example.prompt), encoder.response(example.response)
        room = max_tokens - len(response)
        if room < 1:
            raise ConfigError(
                f"a response of {len(response)} tokens (class {example.class_id}) leaves no room for its prompt "
                f"in {max_tokens}; raise --max-tokens or shorten the responses"
            )
        if len(prompt) > room:
            num_cut += 1
            prompt = prompt[-room:]
        num_tokens += len(prompt) + len(response)
        rows.append(
            {"input_ids": [*prompt, *response], "num_prompt": len(prompt), "length": len(prompt) + len(response)}
        )
    return Sequences(rows, num_cut, num_tokens)
