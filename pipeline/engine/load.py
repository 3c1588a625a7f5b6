"""Opens a model directory with the runtime that is asked for; names a generator without loading one."""

import importlib
import os
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Literal

from pipeline.engine.decoder import Decoder, digest_of
from pipeline.engine.errors import ModelMissing, Unsupported
from pipeline.engine.manifest import TOKENIZER, Manifest, digest_directory, read_manifest, verify
from pipeline.engine.probe import instruction_sets
from pipeline.engine.tokens import Tokenizer

Runtime = Literal["onnx", "torch"]
Device = Literal["cpu", "cuda"]

DEFAULT_THREADS = 2  # one stream of a small model gains little from more, and a sidecar is no tenant of its own
_ONNX_PARTS: dict[Device, str] = {"cpu": "onnx", "cuda": "onnx-cuda"}  # the kernels need different forms
_TORCH_PARTS = ("gptq", "float")


def choose_device(directory: Path, runtime: Runtime) -> Device:
    """Take the GPU where there is one and what is installed can use it with this model; loads nothing."""
    if not Path("/dev/nvidia0").exists() or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "cpu"
    if runtime == "onnx":
        built = _version("onnxruntime-genai-cuda") is not None
        return "cuda" if built and _ONNX_PARTS["cuda"] in read_manifest(directory).parts else "cpu"
    torch = _version("torch")
    return "cuda" if torch is not None and "+cpu" not in torch else "cpu"


def generator_digest(
    directory: Path, runtime: Runtime = "onnx", *, threads: int = DEFAULT_THREADS, device: Device = "cpu"
) -> str:
    """Give the digest that `open_generator` would give, from the manifest and the installed versions alone.

    Raises:
        ModelMissing, ModelDamaged, Unsupported: as `read_manifest`, and if the runtime is not installed.
    """
    return _digest(read_manifest(directory), runtime, threads, device)


def open_generator(
    directory: Path, runtime: Runtime = "onnx", *, threads: int = DEFAULT_THREADS, device: Device = "cpu"
) -> Decoder:
    """Verify a model directory and load it.

    Raises:
        EngineError: saying what is missing, damaged or not supported, and what to do.
    """
    manifest = verify(directory)
    digest = _digest(manifest, runtime, threads, device)
    part = _part(manifest, runtime, device)
    tokenizer = Tokenizer(directory / TOKENIZER)
    where = directory / manifest.parts[part]
    if runtime == "onnx":
        runner = _import("onnx_runtime", "onnxruntime-genai").OnnxRunner(
            where, context_length=manifest.context_length, threads=threads, provider=device
        )
    else:
        runner = _import("torch_runtime", "sysscan-agent[cuda]").TorchRunner(
            where, context_length=manifest.context_length, threads=threads, device=device
        )
    return Decoder(runner, tokenizer, digest)


def open_checkpoint(checkpoint: Path, *, threads: int = DEFAULT_THREADS, device: Device = "cpu") -> Decoder:
    """Load a checkpoint that has no manifest yet, with torch: for evaluation, and for models brought by path.

    Raises:
        EngineError: saying what is missing, damaged or not supported, and what to do.
    """
    module = _import("torch_runtime", "sysscan-agent[cuda]")
    config = module.read_config(checkpoint)
    quantised = "quantization_config" in config
    length = int(config["max_position_embeddings"])
    identity = _identity("torch", quantised, digest_directory(checkpoint), length, threads, device)
    tokenizer = Tokenizer(checkpoint / TOKENIZER)
    return Decoder(
        module.TorchRunner(checkpoint, context_length=length, threads=threads, device=device), tokenizer, identity
    )


def _digest(manifest: Manifest, runtime: Runtime, threads: int, device: Device) -> str:
    part = _part(manifest, runtime, device)
    return _identity(runtime, part == "gptq", manifest.part_digest(part), manifest.context_length, threads, device)


def _identity(runtime: Runtime, quantised: bool, model: str, context_length: int, threads: int, device: Device) -> str:
    gpu = device == "cuda"
    if runtime == "onnx":
        packages = ["onnxruntime-gpu", "onnxruntime-genai-cuda"] if gpu else ["onnxruntime", "onnxruntime-genai"]
    else:
        packages = ["torch", "transformers", *(["gptqmodel"] if quantised else [])]
    versions: dict[str, str | int] = {}
    for package in ("llguidance", *packages):
        version = _version(package)
        if version is None:
            raise Unsupported(f"the {runtime} runtime needs {package}, which is not installed")
        versions[package] = version
    return digest_of(
        {
            **versions,
            "runtime": runtime,
            "model": model,
            "context_length": context_length,
            "device": f"cuda {_gpu()}" if gpu else "cpu",
            "instruction_sets": " ".join(instruction_sets()),
            "threads": threads,
        }
    )


def _part(manifest: Manifest, runtime: Runtime, device: Device) -> str:
    wanted = (_ONNX_PARTS[device],) if runtime == "onnx" else _TORCH_PARTS
    for part in wanted:
        if part in manifest.parts:
            return part
    raise ModelMissing(
        f"model {manifest.name}: the {runtime} runtime on {device} reads {' or '.join(wanted)}; "
        f"the model has {', '.join(sorted(manifest.parts)) or 'no weights'}"
    )


def _import(module: str, package: str) -> ModuleType:
    """Import a runtime only when it is asked for: the other one's libraries must stay out of the process."""
    try:
        return importlib.import_module(f"pipeline.engine.{module}")
    except ImportError as error:
        raise Unsupported(f"{module}: {error}; install {package}") from error


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
