"""Loads a model with a given runtime."""

import importlib
from pathlib import Path
from types import ModuleType

from pipeline.engine.decoder import Decoder
from pipeline.engine.errors import Unsupported
from pipeline.engine.identity import DEFAULT_THREADS, digest_of, identify, part_of
from pipeline.engine.manifest import TOKENIZER, Manifest, digest_directory, verify
from pipeline.engine.runtimes import RUNTIMES, Device, Runtime
from pipeline.engine.tokens import Tokenizer


def open_generator(
    directory: Path, runtime: Runtime = "onnx", *, threads: int = DEFAULT_THREADS, device: Device = "cpu"
) -> Decoder:
    """Verify a model directory and load it.

    Raises:
        EngineError: saying what is missing, damaged or not supported, and what to do.
    """
    return open_verified(directory, verify(directory), runtime, threads=threads, device=device)


def open_verified(directory: Path, manifest: Manifest, runtime: Runtime, *, threads: int, device: Device) -> Decoder:
    """Load a model directory whose files were verified against this manifest.

    Raises:
        EngineError: saying what is missing or not supported, and what to do.
    """
    digest = digest_of(manifest, runtime, threads, device)
    part = part_of(manifest, runtime, device)
    tokenizer = Tokenizer(directory / TOKENIZER)
    where = directory / manifest.parts[part]
    spec = RUNTIMES[runtime]
    make = getattr(_import(spec.module, spec.install), spec.runner)
    return Decoder(
        make(where, context_length=manifest.context_length, threads=threads, device=device), tokenizer, digest
    )


def open_checkpoint(checkpoint: Path, *, threads: int = DEFAULT_THREADS, device: Device = "cpu") -> Decoder:
    """Load a checkpoint without a manifest, with torch: for evaluation, and for models given by path.

    Raises:
        EngineError: saying what is missing, damaged or not supported, and what to do.
    """
    module = _import("torch_runtime", "sysscan-agent[cuda]")
    config = module.read_config(checkpoint)
    quantised = "quantization_config" in config
    length = int(config["max_position_embeddings"])
    identity = identify("torch", quantised, digest_directory(checkpoint), length, threads, device)
    tokenizer = Tokenizer(checkpoint / TOKENIZER)
    return Decoder(
        module.TorchRunner(checkpoint, context_length=length, threads=threads, device=device), tokenizer, identity
    )


def _import(module: str, package: str) -> ModuleType:
    """Import a runtime when it is needed; the libraries of the other one must not be loaded."""
    try:
        return importlib.import_module(f"pipeline.engine.{module}")
    except (ImportError, OSError, RuntimeError) as error:  # the last two where a library lacks one of its own
        reason = " ".join(str(error).split())[:300]
        raise Unsupported(f"{module}: {reason}; install {package}") from error
