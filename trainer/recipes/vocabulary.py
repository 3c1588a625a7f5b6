"""A byte-level BPE vocabulary cut down to what is needed; what is kept is encoded as before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors


@dataclass(slots=True, frozen=True)
class Vocabulary:
    """What is kept of a vocabulary.

    Attributes:
        ids: of the tokens that are kept, ascending; their new ids are their places here.
        start, end, pad: names of the control tokens, which are kept.
    """

    tokens: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    ids: tuple[int, ...]
    start: str
    end: str
    pad: str

    def tokenizer(self) -> tokenizers.Tokenizer:
        """Make the tokenizer: each digit by itself, then pieces as GPT-2 cuts them, then merges."""
        return _tokenizer(
            {token: index for index, token in enumerate(self.tokens)}, self.merges, (self.start, self.end, self.pad)
        )


def whole(tokens: Sequence[str], merges: Sequence[tuple[str, str]]) -> tokenizers.Tokenizer:
    """Make the tokenizer of a whole vocabulary, without control tokens."""
    return _tokenizer({token: index for index, token in enumerate(tokens)}, merges, ())


def cut(
    tokens: Sequence[str],
    merges: Sequence[tuple[str, str]],
    wanted: Iterable[int],
    *,
    start: str,
    end: str,
    pad: str,
) -> Vocabulary:
    """Keep some tokens, all bytes, the control tokens that are named, and what merges need on the way.

    A text whose tokens are all kept is encoded as before: what happens inside a token while it is merged depends on
    nothing around it, so it is enough to keep what its own merging goes through.

    Args:
        merges: pairs of tokens, the first before the others.
        wanted: ids; those that no merging leads to are left out.
    """
    index = {token: number for number, token in enumerate(tokens)}
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    control = (start, end, pad)
    kept = {*control, *(byte for byte in pre_tokenizers.ByteLevel.alphabet() if byte in index)}
    for number in wanted:
        steps = _steps(tokens[number], ranks)
        if steps is not None:
            kept.update(steps)
    ids = tuple(sorted(index[token] for token in kept))
    names = tuple(tokens[number] for number in ids)
    left = tuple(merge for merge in merges if merge[0] in kept and merge[1] in kept and "".join(merge) in kept)
    return Vocabulary(names, left, ids, start, end, pad)


def _steps(token: str, ranks: Mapping[tuple[str, str], int]) -> list[str] | None:
    """Merge the characters of a token as BPE does; returns all that it goes through, or None if it is not reached."""
    parts = list(token)
    seen = list(parts)
    while len(parts) > 1:
        best = min(range(len(parts) - 1), key=lambda place: ranks.get((parts[place], parts[place + 1]), len(ranks)))
        if (parts[best], parts[best + 1]) not in ranks:
            return None
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
        seen.append(parts[best])
    return seen


def _tokenizer(
    vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], control: Sequence[str]
) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab=dict(vocabulary), merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    # Not the chain of steps that a converted file carries: from that one, a grammar's library concludes that tokens
    # hold no blanks.
    tokenizer.decoder = decoders.ByteLevel()
    if control:
        tokenizer.add_special_tokens(list(control))
        start = control[0]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{start} $A", special_tokens=[(start, vocabulary[start])]
        )
    return tokenizer
