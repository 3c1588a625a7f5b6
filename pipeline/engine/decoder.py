"""Greedy decoding under a grammar, over any model that maps tokens to logits.

An answer must not depend on earlier prompts. Kernels round differently for different numbers of tokens, so a prompt is
always computed in the same chunks, of `CHUNK` tokens from its beginning. The cache of a chunk up to which two
consecutive prompts agree is bit for bit what computing it again would give, and is reused.
"""

import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.engine.errors import TooLong, Unfinished, Unsupported
from pipeline.engine.generator import Grammar
from pipeline.engine.grammar import Constraint, Grammars
from pipeline.engine.identity import CHUNK
from pipeline.engine.probe import Speed, measure
from pipeline.engine.tokens import Tokenizer

_PROBED_TOKENS = 4


class Runner(Protocol):
    """A model with a key-value cache of the tokens that it has processed."""

    context_length: int

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens."""

    def append(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Process tokens, at least one; return the logits ``[V]`` after the last."""

    def close(self) -> None:
        """Give the memory back."""


class Decoder:
    """A `Generator` over a `Runner`.

    Attributes:
        num_computed: tokens that the runner was given to answer so far.
    """

    def __init__(self, runner: Runner, tokenizer: Tokenizer, digest: str) -> None:
        """Take ownership of a runner; nothing else may use it between two answers."""
        self.runner = runner
        self.tokenizer = tokenizer
        self._grammars = Grammars(tokenizer)
        self._digest = digest
        self._kept: list[int] = []  # the whole chunks of the last prompt
        self.num_computed = 0

    @property
    def digest(self) -> str:
        """A digest of everything that answers depend on besides prompt, grammar and limit."""
        return self._digest

    def close(self) -> None:
        """Give the memory back."""
        self.runner.close()

    def probe(self) -> float:
        """Write some tokens, and return how many a second it wrote."""
        begin = time.perf_counter()
        for token in range(2, 2 + _PROBED_TOKENS):
            self.runner.append((token,))
        self._forget()
        return _PROBED_TOKENS / (time.perf_counter() - begin)

    def measure(self, rounds: int) -> Speed:
        """Measure the speed of prompt and answer."""
        try:
            return measure(self.runner, rounds=rounds)
        finally:
            self._forget()

    def _forget(self) -> None:
        self.runner.rewind(0)
        self._kept = []

    def generate(self, prompt: str, grammar: Grammar, max_tokens: int) -> str:
        """Answer a prompt; see `Generator`.

        Tokens that the grammar forces are computed together with the token before them, and not at all at the end of
        the answer.
        """
        tokens, constraint = self._begin(prompt, grammar, max_tokens)
        answer = constraint.advance(())
        pending = self._prefill(tokens) + answer
        while not constraint.done:
            token = constraint.choose(self._compute(pending))
            if token is None:
                break
            pending = [token, *constraint.advance((token,))]
            answer += pending
            self._require(constraint.done or len(answer) < max_tokens, max_tokens)
        self._require(len(answer) <= max_tokens, max_tokens)
        return self.tokenizer.decode(answer)

    def generate_plainly(self, prompt: str, grammar: Grammar, max_tokens: int) -> str:
        """Answer without any reuse, one token at a time; the reference for `generate`."""
        tokens, constraint = self._begin(prompt, grammar, max_tokens)
        self._kept = []
        self.runner.rewind(0)
        answer = constraint.advance(())
        for token in [*tokens, *answer]:
            logits = self.runner.append((token,))
        while not constraint.done:
            token_ = constraint.choose(logits)
            if token_ is None:
                break
            for token in (token_, *constraint.advance((token_,))):
                logits = self.runner.append((token,))
                answer.append(token)
            self._require(constraint.done or len(answer) < max_tokens, max_tokens)
        self._require(len(answer) <= max_tokens, max_tokens)
        return self.tokenizer.decode(answer)

    def _begin(self, prompt: str, grammar: Grammar, max_tokens: int) -> tuple[list[int], Constraint]:
        tokens = [*self.tokenizer.start, *self.tokenizer.encode(prompt)]
        if not tokens:
            raise Unsupported("a prompt without any token")
        if len(tokens) + max_tokens > self.runner.context_length:
            raise TooLong(
                f"a prompt of {len(tokens)} tokens and an answer of {max_tokens} do not fit in the model's context of "
                f"{self.runner.context_length}"
            )
        return tokens, self._grammars.start(grammar)

    def _prefill(self, tokens: list[int]) -> list[int]:
        """Process the whole chunks of the prompt, except its last token; return the tokens that remain."""
        last = max(0, (len(tokens) - 1) // CHUNK * CHUNK)  # at least one token remains, for its logits
        keep = min(_common(self._kept, tokens) // CHUNK * CHUNK, last)
        self._kept = []  # until it is known to be whole again
        self.runner.rewind(keep)
        for start in range(keep, last, CHUNK):
            self._compute(tokens[start : start + CHUNK])
        self._kept = tokens[:last]
        return tokens[last:]

    def _compute(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        self.num_computed += len(tokens)
        return self.runner.append(tokens)

    @staticmethod
    def _require(within: bool, max_tokens: int) -> None:
        if not within:
            raise Unfinished(f"the answer is not complete after {max_tokens} tokens")


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))
