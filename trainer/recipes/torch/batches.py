"""Batches of examples: dynamic padding, loss where the response stands."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

IGNORED = -100  # what torch's cross entropy leaves out
_MULTIPLE = 16  # lengths are rounded up to it: tiles of matrix units, and fewer shapes


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
