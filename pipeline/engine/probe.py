"""Measures the speed of a loaded model, for `doctor`."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.engine.identity import CHUNK

if TYPE_CHECKING:  # it brings numpy along
    from pipeline.engine.decoder import Runner


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second of a single stream."""

    prefill: float
    decode: float


def measure(runner: "Runner", *, prompt_tokens: int = 8 * CHUNK, answer_tokens: int = 64, rounds: int = 3) -> Speed:
    """Measure a loaded model; the best of several rounds, because other load only slows it down.

    The runner's cache is empty afterwards, so measure before the first question.
    """
    prompt = [2 + index % 97 for index in range(prompt_tokens)]
    prefill = decode = float("inf")
    for _ in range(rounds):
        runner.rewind(0, 0)
        begin = time.perf_counter()
        for start in range(0, prompt_tokens, CHUNK):
            runner.append(0, prompt[start : start + CHUNK])
        middle = time.perf_counter()
        for token in prompt[:answer_tokens]:
            runner.step([(0, (token,))])
        prefill, decode = min(prefill, middle - begin), min(decode, time.perf_counter() - middle)
    runner.rewind(0, 0)
    return Speed(prefill=prompt_tokens / prefill, decode=answer_tokens / decode)
