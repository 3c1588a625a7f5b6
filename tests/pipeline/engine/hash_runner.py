"""A model whose scores are a pure function of the tokens it has seen; stands in where weights do not matter."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class HashRunner:
    """Counts what it is made to compute, and holds its caller to the contract.

    Attributes:
        computed: every call's tokens: of a piece of a prompt, or of one sequence in a step.
        steps: how many sequences each step had.
        fail_after: calls until one fails, as a kill or a broken device would.
    """

    def __init__(
        self, vocab_size: int, context_length: int = 4096, *, slots: int = 1, burst: int = 1 << 30, copies: bool = True
    ) -> None:
        self.context_length = context_length
        self.slots = slots
        self.burst = burst
        self.computed: list[tuple[int, ...]] = []
        self.steps: list[int] = []
        self.fail_after: int | None = None
        self._vocab_size = vocab_size
        self._copies = copies
        self._seen: list[list[int]] = [[] for _ in range(slots)]

    def rewind(self, slot: int, length: int) -> None:
        assert length >= 0
        del self._seen[slot][length:]

    def copy(self, source: int, target: int, length: int) -> int:
        assert source != target and length <= len(self._seen[source])
        self._seen[target] = self._seen[source][:length] if self._copies else []
        return len(self._seen[target])

    def append(self, slot: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        assert len(tokens) > 0
        seen = self._seen[slot]
        if self.fail_after is not None:
            self.fail_after -= 1
            if self.fail_after < 0:
                seen += tokens[: len(tokens) // 2]
                raise OSError("device lost")
        self.computed.append(tuple(tokens))
        seen += tokens
        assert len(seen) <= self.context_length
        seed = hashlib.sha256(np.array(seen, dtype=np.int64).tobytes()).digest()[:8]
        return np.random.default_rng(int.from_bytes(seed)).standard_normal(self._vocab_size, dtype=np.float32)

    def step(self, entries: Sequence[tuple[int, Sequence[int]]]) -> list[NDArray[np.float32]]:
        slots = [slot for slot, _ in entries]
        assert slots == sorted(set(slots)) and all(len(tokens) <= self.burst for _, tokens in entries)
        self.steps.append(len(entries))
        return [self.append(slot, tokens) for slot, tokens in entries]

    def close(self) -> None:
        self._seen.clear()
