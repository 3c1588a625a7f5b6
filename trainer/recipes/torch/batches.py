"""Examples as ids, and batches of them: left truncation, dynamic padding, loss where the response stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from pipeline.errors import ConfigError
from trainer.data.dataset import TaughtCase
from trainer.recipes.tokenizer import TextEncoder

IGNORED = -100  # what torch's cross entropy leaves out
_MULTIPLE = 16  # lengths are rounded up to it: tiles of matrix units, and fewer shapes


@dataclass(slots=True, frozen=True)
class Sequences:
    """Encoded examples.

    Attributes:
        num_cut: how many prompts lost their beginning.
        num_tokens: of all sequences, without padding.
    """

    rows: "EncodedRows"
    num_cut: int
    num_tokens: int


class EncodedRows(Dataset[dict[str, Any]]):
    """Rows of ids as transformers' Trainer takes them."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._rows[index]


def encode_examples(examples: Sequence[TaughtCase], encoder: TextEncoder, max_tokens: int) -> Sequences:
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
    return Sequences(EncodedRows(rows), num_cut, num_tokens)


class ResponseCollator:
    """Pads rows on the right to the longest, and says at which positions the loss is taken.

    With padding on the right and causal attention no real token ever sees padding, so there is no mask, and the
    fast attention kernels serve. Logits are wanted at `logits_to_keep` only: of 4,096 to 128,000 columns each, they
    cost more memory and time than any layer.

    Args:
        prompt_loss: whether the tokens of the prompt have labels, too (under ``prompt_labels``).
    """

    def __init__(self, pad: int, *, prompt_loss: bool = False) -> None:
        self._pad = pad
        self._prompt_loss = prompt_loss

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Make a batch.

        Returns:
            ``input_ids`` ``[B, T]``; ``logits_to_keep`` ``[K]``, positions in T whose next token some row wants;
            ``labels`` and ``shift_labels`` ``[B, K]``, that token, or `IGNORED` (one tensor: the Trainer looks for
            labels, and counts shifted ones as they are); ``prompt_labels`` ``[B, K]`` likewise, if asked for.
        """
        longest = max(len(row["input_ids"]) for row in rows)
        width = (longest + _MULTIPLE - 1) // _MULTIPLE * _MULTIPLE
        ids = torch.full((len(rows), width), self._pad, dtype=torch.long)
        response = torch.full((len(rows), width), IGNORED, dtype=torch.long)
        prompt = torch.full((len(rows), width), IGNORED, dtype=torch.long)
        for index, row in enumerate(rows):
            tokens = torch.tensor(row["input_ids"], dtype=torch.long)
            ids[index, : len(tokens)] = tokens
            seam = row["num_prompt"] - 1  # here the first token of the response is predicted
            response[index, seam : len(tokens) - 1] = tokens[seam + 1 :]
            prompt[index, :seam] = tokens[1 : seam + 1]
        wanted = (response != IGNORED).any(dim=0)
        if self._prompt_loss:
            wanted |= (prompt != IGNORED).any(dim=0)
        kept = wanted.nonzero(as_tuple=True)[0]
        labels = response[:, kept]
        batch = {"input_ids": ids, "labels": labels, "shift_labels": labels, "logits_to_keep": kept}
        if self._prompt_loss:
            batch["prompt_labels"] = prompt[:, kept]
        return batch
