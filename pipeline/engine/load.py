"""Opens a model with the runtime that is asked for."""

import importlib
from pathlib import Path
from types import ModuleType

from pipeline.engine.decoder import Decoder
from pipeline.engine.errors import ModelDamaged, Unsupported
from pipeline.engine.identity import DEFAULT_THREADS, Device, Runtime, digest_of, identify, part_of
from pipeline.engine.manifest import TOKENIZER, Manifest, digest_directory, verify
from pipeline.engine.tokens import Tokenizer


def open_generator(
    directory: Path, runtime: Runtime = "onnx", *, threads: int = DEFAULT_THREADS, device: Device = "cpu"
) -> Decoder:
    """Verify a model directory and load it.

    Raises:
        EngineError: saying what is missing, damaged or not supported, and what to do.
    """
    return open_verified(directory, verify(directory), runtime, threads=threads, device=device)


def open_unchanged(directory: Path, runtime: Runtime, *, threads: int, device: Device, digest: str) -> Decoder:
    """Verify a model directory that was verified before, perhaps days ago, and load it.

    Raises:
        EngineError: also if its generator is not the one with this digest any more, because the model or what runs it
            was upgraded meanwhile: it must not answer under the old name.
    """
    manifest = verify(directory)
    if digest_of(manifest, runtime, threads, device) != digest:
        raise ModelDamaged(f"{directory}: not what it was when this program began; start it again")
    return open_verified(directory, manifest, runtime, threads=threads, device=device)


def open_verified(directory: Path, manifest: Manifest, runtime: Runtime, *, threads: int, device: Device) -> Decoder:
    """Load a model directory whose files were held to this manifest.

    Raises:
        EngineError: saying what is missing or not supported, and what to do.
    """
    digest = digest_of(manifest, runtime, threads, device)
    part = part_of(manifest, runtime, device)
    tokenizer = Tokenizer(directory / TOKENIZER)
    where = directory / manifest.parts[part]
    if runtime == "onnx":
        runner = _import("onnx_runtime", "sysscan-agent").OnnxRunner(
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
    identity = identify("torch", quantised, digest_directory(checkpoint), length, threads, device)
    tokenizer = Tokenizer(checkpoint / TOKENIZER)
    return Decoder(
        module.TorchRunner(checkpoint, context_length=length, threads=threads, device=device), tokenizer, identity
    )


def _import(module: str, package: str) -> ModuleType:
    """Import a runtime only when it is asked for: the other one's libraries must stay out of the process."""
    try:
        return importlib.import_module(f"pipeline.engine.{module}")
    except (ImportError, OSError, RuntimeError) as error:  # the last two of libraries that lack one of theirs
        reason = " ".join(str(error).split())[:300]
        raise Unsupported(f"{module}: {reason}; install {package}") from error
