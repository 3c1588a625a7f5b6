"""Digests of generators: of everything that a model's answers depend on, computed without loading it.

Answers are cached under this digest, so it must be known even when no model is loaded because all answers are cached.
Nothing here imports a runtime or numpy.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from pipeline.engine.cpu import instruction_sets
from pipeline.engine.errors import ModelMissing, Unsupported
from pipeline.engine.manifest import Manifest, read_manifest
from pipeline.engine.runtimes import RUNTIMES, Device, Runtime

DEFAULT_THREADS = 2  # that answer; each computes by itself, so a busy machine costs no more than its share
CHUNK = 32  # tokens of a prompt at a time; smaller reuses more, larger computes faster: from 32 on, little is gained
DECODING = "greedy/2"  # change it with anything in the engine that changes tokens


def choose_device(directory: Path, runtime: Runtime) -> Device:
    """Return ``cuda`` if there is a GPU that the installed packages can use with this model; loads nothing."""
    if not Path("/dev/nvidia0").exists() or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "cpu"
    spec = RUNTIMES[runtime]
    versions = [_version(package) for package in spec.packages["cuda"]]
    if any(version is None or "+cpu" in version for version in versions):
        return "cpu"
    same = spec.parts["cuda"] == spec.parts["cpu"]  # then it is not asked: a checkpoint has no manifest
    return "cuda" if same or set(spec.parts["cuda"]) & set(read_manifest(directory).parts) else "cpu"


def generator_digest(
    directory: Path, runtime: Runtime = "onnx", *, threads: int = DEFAULT_THREADS, device: Device = "cpu"
) -> str:
    """Compute the digest of what `open_generator` would return, from the manifest and the installed versions.

    Raises:
        ModelMissing, ModelDamaged, Unsupported: as `read_manifest`, and if the runtime is not installed.
    """
    return digest_of(read_manifest(directory), runtime, threads, device)


def digest_of(manifest: Manifest, runtime: Runtime, threads: int, device: Device) -> str:
    """Compute the digest of a generator from a manifest."""
    part = part_of(manifest, runtime, device)
    return identify(runtime, part == "gptq", manifest.part_digest(part), manifest.context_length, threads, device)


def identify(runtime: Runtime, quantised: bool, model: str, context_length: int, threads: int, device: Device) -> str:
    """Compute the digest of everything that a generator's tokens depend on.

    Args:
        model: digest of weights and tokenizer.

    Raises:
        Unsupported: if what it runs on is not installed.
    """
    spec = RUNTIMES[runtime]
    versions: dict[str, str | int] = {}
    for package in ("llguidance", *spec.packages[device], *(spec.for_quantised if quantised else ())):
        version = _version(package)
        if version is None:
            raise Unsupported(
                f"the {runtime} runtime needs {package}, which is not installed; install it, or choose another "
                "model.runtime or model.device"
            )
        versions[package] = version
    return _hash(
        {
            **versions,
            "runtime": runtime,
            "model": model,
            "context_length": context_length,
            "device": f"cuda {_gpu()}" if device == "cuda" else "cpu",
            "instruction_sets": " ".join(instruction_sets()),
            # Threads of ONNX Runtime answer different questions, and change no token.
            "threads": threads if runtime == "torch" else 1,
        }
    )


def part_of(manifest: Manifest, runtime: Runtime, device: Device) -> str:
    """Return the part of a model (the form of its weights) that a runtime reads.

    Raises:
        ModelMissing: if the model does not have it.
    """
    wanted = RUNTIMES[runtime].parts[device]
    for part in wanted:
        if part in manifest.parts:
            return part
    raise ModelMissing(
        f"model {manifest.name}: the {runtime} runtime on {device} reads {' or '.join(wanted)}; "
        f"the model has {', '.join(sorted(manifest.parts)) or 'no weights'}"
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _gpu() -> str:
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in path.read_text().splitlines():
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return "unknown"


def _hash(parts: Mapping[str, str | int]) -> str:
    body = json.dumps({**parts, "decoding": DECODING, "chunk": CHUNK}, sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()
