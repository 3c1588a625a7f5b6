"""What this machine offers a model, and how fast a loaded one is: for `doctor`, and for the names of generators."""

import platform
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.engine.decoder import CHUNK, Runner

# What int4 and float kernels choose their code by; kernels for different sets round differently.
_SETS = (
    # x86-64
    *("avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16"),
    # aarch64
    *("asimd", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm"),
)


@dataclass(frozen=True, slots=True)
class Speed:
    """Measured tokens a second, one stream."""

    prefill: float
    decode: float


def instruction_sets(proc: Path = Path("/proc")) -> tuple[str, ...]:
    """Give the architecture and those of the CPU's instruction sets that matter, in a fixed order."""
    known: set[str] = set()
    try:
        for line in (proc / "cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                known = set(line.partition(":")[2].split())
                break
    except OSError:
        pass
    return (platform.machine(), *(name for name in _SETS if name in known))


def measure(runner: Runner, *, prompt_tokens: int = 8 * CHUNK, answer_tokens: int = 64, rounds: int = 3) -> Speed:
    """Measure a loaded model; the best of some rounds, since whatever else runs only slows it down.

    The runner's cache is empty afterwards: measure before the first question, not between two.
    """
    prompt = [2 + index % 97 for index in range(prompt_tokens)]
    prefill = decode = float("inf")
    for _ in range(rounds):
        runner.rewind(0)
        begin = time.perf_counter()
        for start in range(0, prompt_tokens, CHUNK):
            runner.append(prompt[start : start + CHUNK])
        middle = time.perf_counter()
        for token in prompt[:answer_tokens]:
            runner.append((token,))
        prefill, decode = min(prefill, middle - begin), min(decode, time.perf_counter() - middle)
    runner.rewind(0)
    return Speed(prefill=prompt_tokens / prefill, decode=answer_tokens / decode)
