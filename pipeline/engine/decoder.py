"""Greedy decoding under a grammar, of several answers at a time, over any model that maps tokens to logits.

An answer must not depend on what was asked before it, nor on what is answered beside it. Kernels round differently for
different numbers of tokens, so a prompt is always computed in the same chunks, of `CHUNK` tokens from its beginning,
and an answer a token at a time, in batches of which the runner promises that no row changes another. The cache of a
chunk up to which two prompts agree is bit for bit what computing it again would give, and is reused.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.engine.errors import EngineError, TooLong, Unfinished, Unsupported
from pipeline.engine.generator import Grammar
from pipeline.engine.grammar import Constraint, Grammars
from pipeline.engine.identity import CHUNK
from pipeline.engine.probe import Speed, measure
from pipeline.engine.tokens import Tokenizer

_PROBED_TOKENS = 4


class Runner(Protocol):
    """A model with the key-value caches of a few sequences, each in a slot.

    Attributes:
        slots: how many sequences it holds.
        burst: tokens of one sequence that a step takes at most.
    """

    context_length: int
    slots: int
    burst: int

    def rewind(self, slot: int, length: int) -> None:
        """Forget all but the first `length` tokens of a sequence."""

    def copy(self, source: int, target: int, length: int) -> int:
        """Let a sequence be the first tokens of another one; return how many, at most `length`."""

    def append(self, slot: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Process tokens of one sequence, at least one; return the logits ``[V]`` after the last."""

    def step(self, entries: Sequence[tuple[int, Sequence[int]]]) -> Sequence[NDArray[np.float32]]:
        """Process 1 to `burst` tokens of each of these slots, in rising order; return the logits ``[V]`` after each.

        A row is the same, bit for bit, whichever slot it is in and whatever is in the others.
        """

    def close(self) -> None:
        """Give the memory back."""


@dataclass(eq=False)
class Answering:
    """An answer in the making.

    Attributes:
        slot: of its sequence.
        tokens: of the answer so far.
        pending: its last ones, which the model has not seen.
        computed: how many tokens the model was given for it.
        error: why there will be no answer.
    """

    slot: int
    constraint: Constraint
    max_tokens: int
    tokens: list[int]
    pending: list[int] = field(default_factory=list)
    computed: int = 0
    done: bool = False
    error: EngineError | None = None


class Decoder:
    """A `Generator` over a `Runner`; `begin` and `advance` answer several questions at a time."""

    def __init__(self, runner: Runner, tokenizer: Tokenizer, digest: str, grammars: Grammars | None = None) -> None:
        """Take ownership of a runner; nothing else may use it between two answers.

        Args:
            grammars: for this tokenizer, which others may share.
        """
        self.runner = runner
        self.tokenizer = tokenizer
        self._grammars = grammars or Grammars(tokenizer)
        self._digest = digest
        self._kept: list[list[int]] = [[] for _ in range(runner.slots)]  # whole chunks of prompts, by slot
        self._active: dict[int, Answering] = {}

    @property
    def digest(self) -> str:
        """A digest of everything that answers depend on besides prompt, grammar and limit."""
        return self._digest

    @property
    def slots(self) -> int:
        """How many questions are answered at a time."""
        return self.runner.slots

    @property
    def num_free(self) -> int:
        """How many more answers can be begun now."""
        return self.runner.slots - len(self._active)

    def close(self) -> None:
        """Give the memory back."""
        self.runner.close()

    def probe(self) -> float:
        """Write some tokens, and return how many a second it wrote."""
        begin = time.perf_counter()
        for token in range(2, 2 + _PROBED_TOKENS):
            self.runner.step([(0, (token,))])
        self._forget()
        return _PROBED_TOKENS / (time.perf_counter() - begin)

    def measure(self, rounds: int) -> Speed:
        """Measure the speed of prompt and answer; nothing may be in the making."""
        try:
            return measure(self.runner, rounds=rounds)
        finally:
            self._forget()

    def _forget(self) -> None:
        self.runner.rewind(0, 0)
        self._kept[0] = []

    def generate(self, prompt: str, grammar: Grammar, max_tokens: int) -> str:
        """Answer a prompt, with nothing else in the making; see `Generator`."""
        try:
            answering = self.begin(prompt, grammar, max_tokens)
            while not answering.done:
                self.advance()
        finally:
            self.abandon()
        return self.text(answering)

    def text(self, answering: Answering) -> str:
        """Return what was answered.

        Raises:
            EngineError: why there is no answer.
        """
        if answering.error is not None:
            raise answering.error
        return self.tokenizer.decode(answering.tokens)

    def begin(self, prompt: str, grammar: Grammar, max_tokens: int) -> Answering:
        """Read a prompt, and choose the first token; `num_free` must not be 0.

        What the grammar forces at the beginning is computed together with the end of the prompt.

        Raises:
            TooLong, Unsupported: as `Generator.generate`.
        """
        tokens = [*self.tokenizer.start, *self.tokenizer.encode(prompt)]
        if not tokens:
            raise Unsupported("a prompt without any token")
        if len(tokens) + max_tokens > self.runner.context_length:
            raise TooLong(
                f"a prompt of {len(tokens)} tokens and an answer of {max_tokens} do not fit in the model's context of "
                f"{self.runner.context_length}"
            )
        constraint = self._grammars.start(grammar)
        forced = constraint.forced()
        slot = next(number for number in range(self.runner.slots) if number not in self._active)
        answering = Answering(slot, constraint, max_tokens, list(forced))
        whole, kept = self._prefill(slot, tokens)
        rest = tokens[whole:] + forced
        logits = self.runner.append(slot, rest)
        answering.computed = whole - kept + len(rest)
        self._active[slot] = answering
        self._choose(answering, logits)
        return answering

    def advance(self) -> list[Answering]:
        """Take one step with all answers in the making; return those that are done with it.

        Tokens that the grammar forces are computed as any others, but not at all at the end of an answer.
        """
        taken = [self._active[slot] for slot in sorted(self._active)]
        burst = self.runner.burst
        logits = self.runner.step([(one.slot, one.pending[:burst]) for one in taken])
        for one, scores in zip(taken, logits, strict=True):
            one.computed += len(one.pending[:burst])
            del one.pending[:burst]
            if not one.pending:
                self._choose(one, scores)
        return [one for one in taken if one.done]

    def abandon(self) -> list[Answering]:
        """Let go of all answers in the making, as after a fault of the runner; return them."""
        left = list(self._active.values())
        self._active.clear()
        if left:
            self._kept = [[] for _ in self._kept]
        return left

    def _choose(self, one: Answering, logits: NDArray[np.float32]) -> None:
        """Choose the next token, and what the grammar forces after it; the answer may be done with that."""
        try:
            one.pending = [] if one.constraint.done else one.constraint.take(logits)
            one.tokens += one.pending
            ended = not one.pending or one.constraint.done
            if len(one.tokens) > one.max_tokens or (not ended and len(one.tokens) >= one.max_tokens):
                raise Unfinished(f"the answer is not complete after {one.max_tokens} tokens")
        except EngineError as error:
            one.error = error
            ended = True
        if ended:
            one.done = True
            del self._active[one.slot]
            self.runner.rewind(one.slot, len(self._kept[one.slot]))

    def _prefill(self, slot: int, tokens: list[int]) -> tuple[int, int]:
        """Process the whole chunks of a prompt, except its last token.

        Returns:
            How many tokens that is, and how many of them were there already.
        """
        last = max(0, (len(tokens) - 1) // CHUNK * CHUNK)  # at least one token remains, for its logits
        common = [min(_common(kept, tokens) // CHUNK * CHUNK, last) for kept in self._kept]
        best = max(range(len(common)), key=lambda number: (common[number], number == slot))
        keep = common[best]
        self._kept[slot] = []  # until it is known to be whole again
        if best == slot:
            self.runner.rewind(slot, keep)
        else:
            keep = self.runner.copy(best, slot, keep)
        for start in range(keep, last, CHUNK):
            self.runner.append(slot, tokens[start : start + CHUNK])
        self._kept[slot] = tokens[:last]
        return last, keep


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))
