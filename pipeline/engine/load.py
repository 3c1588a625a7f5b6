"""Loads a model with a given runtime."""

import importlib
from pathlib import Path
from types import ModuleType

from pipeline.engine.checkpoint import checkpoint_digest, read_config
from pipeline.engine.decoder import Decoder
from pipeline.engine.errors import Unsupported
from pipeline.engine.grammar import Grammars
from pipeline.engine.identity import DEFAULT_THREADS, digest_of, part_of
from pipeline.engine.manifest import TOKENIZER, verify
from pipeline.engine.runtimes import RUNTIMES, Device, Runtime
from pipeline.engine.tokens import Tokenizer


def open_generator(
    directory: Path, runtime: Runtime = "onnx", *, threads: int = DEFAULT_THREADS, device: Device = "cpu"
) -> Decoder:
    """Verify a model directory and load it, for one thread to ask.

    Raises:
        EngineError: saying what is missing, damaged or not supported, and what to do.
    """
    first, *_ = open_lanes(directory, runtime, threads=threads, device=device)
    return first


def open_lanes(directory: Path, runtime: Runtime, *, threads: int, device: Device) -> list[Decoder]:
    """Verify a model directory and load it, for as many threads to ask as `open_runners` gives lanes.

    All lanes give the same answers.

    Raises:
        EngineError: saying what is missing, damaged or not supported, and what to do.
    """
    manifest = verify(directory)
    digest = digest_of(manifest, runtime, threads, device)
    part = part_of(manifest, runtime, device)
    tokenizer = Tokenizer(directory / TOKENIZER)
    where = directory / manifest.parts[part]
    spec = RUNTIMES[runtime]
    module = _import(spec.module, spec.remedy)
    runners = module.open_runners(where, context_length=manifest.context_length, threads=threads, device=device)
    grammars = Grammars(tokenizer)
    return [Decoder(runner, tokenizer, digest, grammars) for runner in runners]


def open_checkpoint(checkpoint: Path, *, threads: int = DEFAULT_THREADS, device: Device = "cpu") -> Decoder:
    """Load a checkpoint without a manifest, with torch: for evaluation, and for models given by path.

    Raises:
        EngineError: saying what is missing, damaged or not supported, and what to do.
    """
    module = _import("torch_runtime", RUNTIMES["torch"].remedy)
    digest = checkpoint_digest(checkpoint, threads, device)
    length = int(read_config(checkpoint)["max_position_embeddings"])
    tokenizer = Tokenizer(checkpoint / TOKENIZER)
    return Decoder(
        module.TorchRunner(checkpoint, context_length=length, threads=threads, device=device), tokenizer, digest
    )


def _import(module: str, remedy: str) -> ModuleType:
    """Import a runtime when it is needed; the libraries of the other one must not be loaded."""
    try:
        return importlib.import_module(f"pipeline.engine.{module}")
    except (ImportError, OSError, RuntimeError) as error:  # the last two where a library lacks one of its own
        reason = " ".join(str(error).split())[:300]
        raise Unsupported(f"{module}: {reason}; {remedy}") from error
