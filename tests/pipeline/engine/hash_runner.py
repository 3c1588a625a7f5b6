"""A model whose scores are a pure function of the tokens it has seen; stands in where weights do not matter."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class HashRunner:
    """Counts what it is made to compute, and holds its caller to the contract.

    Attributes:
        computed: every call's tokens.
        fail_after: calls until one fails, as a kill or a broken device would.
    """

    def __init__(self, vocab_size: int, context_length: int = 4096) -> None:
        self.context_length = context_length
        self.computed: list[tuple[int, ...]] = []
        self.fail_after: int | None = None
        self._vocab_size = vocab_size
        self._seen: list[int] = []

    def rewind(self, length: int) -> None:
        assert length >= 0
        del self._seen[length:]

    def append(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        assert len(tokens) > 0
        if self.fail_after is not None:
            self.fail_after -= 1
            if self.fail_after < 0:
                self._seen += tokens[: len(tokens) // 2]
                raise OSError("device lost")
        self.computed.append(tuple(tokens))
        self._seen += tokens
        assert len(self._seen) <= self.context_length
        seed = hashlib.sha256(np.array(self._seen, dtype=np.int64).tobytes()).digest()[:8]
        return np.random.default_rng(int.from_bytes(seed)).standard_normal(self._vocab_size, dtype=np.float32)

    def close(self) -> None:
        self._seen.clear()
