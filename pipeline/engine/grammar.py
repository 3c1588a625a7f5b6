"""Constrained decoding: which tokens a grammar allows next, and which it forces."""

import json
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from pipeline.engine.errors import ModelDamaged, Unsupported
from pipeline.engine.generator import Grammar
from pipeline.engine.tokens import Tokenizer

# A greedy model that may write blanks between the parts of a JSON text may write them without end.
_JSON_OPTIONS: Any = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":", "lenient": False}


class Constraint:
    """The state of one answer in its grammar."""

    def __init__(self, matcher: LLMatcher, tokenizer: Tokenizer) -> None:
        self._matcher = matcher
        self._end = tokenizer.end
        self._vocab_size = tokenizer.vocab_size
        self._mask = np.zeros((tokenizer.vocab_size + 31) // 32, dtype=np.uint32)

    @property
    def done(self) -> bool:
        """Say whether the answer is complete and nothing can follow."""
        stopped: bool = self._matcher.is_stopped()
        return stopped

    def forced(self) -> list[int]:
        """Return the tokens that nothing else can come before, and count them as chosen."""
        tokens: list[int] = self._matcher.compute_ff_tokens()
        if tokens:
            self._consume(tokens)
        return tokens

    def take(self, logits: NDArray[np.float32]) -> list[int]:
        """Choose the most likely allowed token, the lowest of equals; return it and what the grammar forces after it.

        Nothing at the end of the answer.

        Raises:
            ModelDamaged: if the model's logits are not numbers.
        """
        likeliest = int(logits.argmax())
        # It is nearly always allowed, and trying one token is much cheaper than computing the mask of all.
        usual = likeliest < self._vocab_size and likeliest != self._end and bool(np.isfinite(logits[likeliest]))
        if usual and self._matcher.try_consume_tokens([likeliest]) == 1:
            return [likeliest, *self.forced()]
        return self.take_among_all(logits)

    def take_among_all(self, logits: NDArray[np.float32]) -> list[int]:
        """Choose as `take` does, from the mask of all tokens."""
        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        if self._matcher.is_error():
            raise Unsupported(f"grammar stopped: {self._matcher.get_error()}")
        bits = np.unpackbits(self._mask.view(np.uint8), bitorder="little")
        allowed = np.flatnonzero(bits[: self._vocab_size])
        scores = logits[allowed]
        best = int(scores.argmax())
        if not np.isfinite(scores[best]):
            raise ModelDamaged(f"the model's score for token {allowed[best]} is {scores[best]}")
        token = int(allowed[best])
        if token == self._end:
            return []
        self._consume([token])
        return [token, *self.forced()]

    def _consume(self, tokens: list[int]) -> None:
        if not self._matcher.consume_tokens(tokens):
            raise Unsupported(f"grammar stopped: {self._matcher.get_error()}")


class Grammars:
    """Compiles grammars for a tokenizer, and caches the last ones; each takes half a megabyte and a millisecond.

    Any thread may begin an answer.
    """

    def __init__(self, tokenizer: Tokenizer, capacity: int = 16) -> None:
        self._tokenizer = tokenizer
        self._capacity = capacity
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, grammar: Grammar) -> Constraint:
        """Begin an answer.

        Raises:
            Unsupported: if it is not a JSON schema, or uses what cannot be enforced.
        """
        with self._lock:
            compiled = self._compiled.get(grammar.digest)
            if compiled is None:
                compiled = self._compile(grammar)
                if len(self._compiled) >= self._capacity:
                    self._compiled.popitem(last=False)
                self._compiled[grammar.digest] = compiled
            else:
                self._compiled.move_to_end(grammar.digest)
            return Constraint(compiled.deep_copy(), self._tokenizer)

    def _compile(self, grammar: Grammar) -> LLMatcher:
        try:
            schema = json.loads(grammar.schema)
            text = LLMatcher.grammar_from_json_schema(schema, overrides=_JSON_OPTIONS)
        except ValueError as error:
            raise Unsupported(f"not a JSON schema: {error}") from error
        matcher = LLMatcher(self._tokenizer.constrained, text)
        if matcher.is_error():
            raise Unsupported(f"schema that cannot be enforced: {' '.join(matcher.get_error().split())[:300]}")
        return matcher
