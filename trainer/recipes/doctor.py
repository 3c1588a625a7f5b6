"""Looks at what training needs before anything is begun: packages, processor, device, memory, disk, base, presets."""

import os
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.checks import Check, Verdict
from pipeline.engine.cpu import instruction_sets
from pipeline.engine.extras import how_to_install
from pipeline.engine.memory import available_bytes
from pipeline.errors import ConfigError
from trainer.recipes.package import find_package
from trainer.recipes.tune import PRESETS, duration, existing, has_gpu
from trainer.settings import TuneSettings

# As the wheels are called, which is what a person installs.
PACKAGES = ("torch", "transformers", "peft", "GPTQModel", "onnx", "onnxruntime-genai", "safetensors", "tokenizers")
_MIB = 1024 * 1024


def examine(
    output: Path,
    *,
    available: int | None = None,
    sets: Sequence[str] | None = None,
    installed: Mapping[str, str] | None = None,
) -> list[Check]:
    """Look at everything once.

    Args:
        output: where a run would be made.
        available: bytes of memory; None asks the machine.
        sets: instruction sets of the processor; None asks the machine.
        installed: version of each package by name; None asks Python.
    """
    memory = available_bytes() if available is None else available
    free = shutil.disk_usage(existing(output)).free
    return [
        _packages(_installed() if installed is None else installed),
        _processor(instruction_sets() if sets is None else sets),
        _device(),
        Check("memory", "ok", f"{memory // _MIB:,} MiB available"),
        Check("disk", "ok", f"{free // _MIB:,} MiB free at {existing(output)}"),
        _base(),
        *(_preset(name, memory, free) for name in PRESETS),
    ]


def _installed() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _packages(installed: Mapping[str, str]) -> Check:
    missing = [name for name in PACKAGES if name not in installed]
    if missing:
        return Check("packages", "problem", f"not installed: {', '.join(missing)}", how_to_install("trainer"))
    return Check("packages", "ok", ", ".join(f"{name} {installed[name]}" for name in PACKAGES))


def _processor(sets: Sequence[str]) -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    kind, *others = sets
    detail = f"{kind}, {cores} cores, {'with' if 'amx_bf16' in others else 'without'} AMX"
    if "amx_bf16" in others:
        return Check("processor", "ok", detail)
    return Check("processor", "warning", detail, "times are estimated with AMX; without it they are longer")


def _device() -> Check:
    return Check("device", "ok", "a GPU, which training uses by itself" if has_gpu() else "processor only")


def _base() -> Check:
    try:
        return Check("base", "ok", f"{find_package()}")
    except ConfigError as error:
        return Check("base", "warning", "none for base-cut and base; small needs none", str(error))


def _preset(name: str, memory: int, free: int) -> Check:
    preset, settings = PRESETS[name], TuneSettings.model_validate({"preset": name})
    takes = duration(preset.tokens_of(settings) / preset.speed)
    detail = f"{preset.memory:,} MiB of memory, {preset.disk:,} MiB of disk, about {takes} on two quiet cores"
    lacks = [
        *(["memory"] if preset.memory * _MIB > memory else []),
        *(["disk"] if preset.disk * _MIB > free else []),
    ]
    if not lacks:
        return Check(f"preset {name}", "ok", detail)
    smallest = min(PRESETS.values(), key=lambda each: each.memory)
    verdict: Verdict = "problem" if preset is smallest else "warning"
    return Check(f"preset {name}", verdict, detail, f"there is too little {' and '.join(lacks)} for it")
