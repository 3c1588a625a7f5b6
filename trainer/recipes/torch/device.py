"""Where a recipe computes, and in which numbers."""

import ctypes
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers.trainer_utils import set_seed
from transformers.utils import logging

from pipeline.errors import ConfigError
from trainer.settings import ComputeSettings

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h


@dataclass(slots=True, frozen=True)
class Device:
    """Where a recipe computes, and in which numbers."""

    kind: str  # cpu or cuda
    precision: str  # bf16, fp16 (with a dynamic scale of the loss) or fp32
    tf32: bool

    @property
    def attention(self) -> str:
        """Name the attention of transformers that is fastest here.

        On a CPU plain products are: sequences are short, and torch's fused kernel takes a quarter of a step for its way
        back (measured: a fifth more tokens a second without it).
        """
        return "eager" if self.kind == "cpu" else "sdpa"

    @property
    def dtype(self) -> torch.dtype:
        """Give the dtype of the arithmetic."""
        return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[self.precision]


def prepare_device(settings: ComputeSettings, precision: str = "auto") -> Device:
    """Choose the device and the precision, and set threads and seed.

    Raises:
        ConfigError: if what is asked for is not there.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(settings.threads or len(os.sched_getaffinity(0)))
    set_seed(settings.seed)
    kind = settings.device
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cpu":
        _keep_memory()
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError("--device cuda: torch sees no GPU here; use --device cpu, or install torch for CUDA")
        if torch.cuda.device_count() > 1 and "WORLD_SIZE" not in os.environ:
            raise ConfigError(
                f"{torch.cuda.device_count()} GPUs are visible: start with `torchrun --nproc-per-node "
                f"{torch.cuda.device_count()} -m trainer ...`, or choose one with CUDA_VISIBLE_DEVICES=0"
            )
        if precision == "auto":
            precision = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        return Device(kind, precision, tf32=torch.cuda.get_device_capability() >= (8, 0))
    if precision == "fp16":
        raise ConfigError("--precision fp16 needs a GPU; on a CPU use bf16 or fp32")
    if precision == "auto":
        precision = "bf16" if _cpu_has_bf16() else "fp32"
    return Device(kind, precision, tf32=False)


def _keep_memory() -> None:
    """Have glibc keep what a step gives back: each step asks for the same large pieces again.

    At its defaults it maps them anew from the kernel, page by page, and nearly all time of a step goes there.
    """
    if platform.libc_ver()[0] == "glibc":
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_M_MMAP_MAX, 0)
        allocator.mallopt(_M_TRIM_THRESHOLD, -1)


def _cpu_has_bf16() -> bool:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("flags", "Features")):
            flags = set(line.partition(":")[2].split())
            return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})
    return False
