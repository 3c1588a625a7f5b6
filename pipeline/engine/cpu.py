"""The CPU features that decide which kernels compute a model."""

import platform
from pathlib import Path

# int4 and float kernels are chosen by these, and kernels for different sets round differently.
_SETS = (
    # x86-64
    *("avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16"),
    # aarch64
    *("asimd", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm"),
)


def instruction_sets(proc: Path = Path("/proc")) -> tuple[str, ...]:
    """Return the architecture and the relevant instruction sets of the CPU, in a fixed order."""
    known: set[str] = set()
    try:
        for line in (proc / "cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                known = set(line.partition(":")[2].split())
                break
    except OSError:
        pass
    return (platform.machine(), *(name for name in _SETS if name in known))
