"""What a local checkpoint is, found out without loading a weight."""

import json
import math
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from trainer.recipes.tokenizer import load_encoder

ARCHITECTURES = ("llama", "mistral")

_HEADER_LIMIT = 100 * 1024 * 1024  # the format's own
_DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
PLAN = "base.json"  # how a base was cut out of another model, where it was
# Beside weights, what a checkpoint needs to be read again.
_COMPANIONS = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model", "generation_config.json",
)  # fmt: skip


@dataclass(slots=True, frozen=True)
class Checkpoint:
    """A checkpoint on disk.

    Attributes:
        config: content of ``config.json``.
        linears: names of the linear layers inside the blocks, as an adapter targets them.
        quantised: holds integers that only a quantiser's runtime can read.
    """

    path: Path
    config: dict[str, Any]
    num_parameters: int
    num_bytes: int
    linears: tuple[str, ...]
    quantised: bool

    @property
    def num_positions(self) -> int:
        """Give the longest sequence that the model was made for."""
        return int(self.config.get("max_position_embeddings", 2048))


def inspect_checkpoint(path: Path) -> Checkpoint:
    """Look at a checkpoint, and refuse what is none that we can train on or quantise.

    Raises:
        ConfigError: if it is missing, damaged, of another architecture, brings code or pickles, or lacks its tokenizer.
    """
    if not path.is_dir():
        raise ConfigError(f"{path}: no such directory; a base is a local checkpoint of a Llama or Mistral model")
    config = _config(path)
    tensors: dict[str, tuple[str, list[int]]] = {}
    num_bytes = 0
    for shard in _shards(path):
        num_bytes += shard.stat().st_size
        tensors.update(_header(shard))
    load_encoder(path)
    return Checkpoint(
        path=path,
        config=config,
        num_parameters=sum(math.prod(shape) for _, shape in tensors.values()),
        num_bytes=num_bytes,
        linears=_linears(tensors),
        quantised="quantization_config" in config or any(name.endswith(".qweight") for name in tensors),
    )


def copy_companions(source: Path, target: Path) -> None:
    """Copy the tokenizer and the like from one checkpoint to another."""
    for name in _COMPANIONS:
        if (source / name).is_file() and not (target / name).exists():
            shutil.copyfile(source / name, target / name)


def _config(path: Path) -> dict[str, Any]:
    file = path / "config.json"
    try:
        config = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"{path}: not a checkpoint, there is no config.json") from None
    except ValueError as error:
        raise ConfigError(f"{file}: not JSON: {error}") from error
    if not isinstance(config, dict) or config.get("model_type") not in ARCHITECTURES:
        found = config.get("model_type") if isinstance(config, dict) else None
        raise ConfigError(f"{file}: model_type {found!r} is not one of {', '.join(ARCHITECTURES)}")
    if "auto_map" in config:
        raise ConfigError(f"{file}: the checkpoint brings code of its own (auto_map), which is never run; remove it")
    return config


def _shards(path: Path) -> list[Path]:
    index = path / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{index}: damaged: {error}") from error
        shards = [path / str(name) for name in names]
        if any(shard.parent != path for shard in shards):
            raise ConfigError(f"{index}: names a file outside the checkpoint")
    else:
        shards = sorted(path.glob("*.safetensors"))
    if not shards:
        pickles = sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in path.glob(pattern))
        hint = f"only {pickles[0]}, and pickles are never read; convert it" if pickles else "no weights"
        raise ConfigError(f"{path}: no *.safetensors here: {hint}")
    for shard in shards:
        if not shard.is_file():
            raise ConfigError(f"{shard}: missing, though the index names it; copy the whole checkpoint")
    return shards


def _header(shard: Path) -> dict[str, tuple[str, list[int]]]:
    """Read dtype and shape of each tensor; check that the file is as long as it says."""
    with shard.open("rb") as file:
        try:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _HEADER_LIMIT:
                raise ValueError(f"header of {length} bytes")
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            tensors = {name: (str(entry["dtype"]), list(entry["shape"])) for name, entry in header.items()}
            end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
        except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{shard}: damaged: {error}") from error
    if shard.stat().st_size != 8 + length + end:
        raise ConfigError(f"{shard}: cut short or damaged: {shard.stat().st_size} bytes, should be {8 + length + end}")
    if any(dtype not in _DTYPE_BYTES for dtype, _ in tensors.values()):
        strange = sorted({dtype for dtype, _ in tensors.values()} - set(_DTYPE_BYTES))
        raise ConfigError(f"{shard}: holds numbers of type {strange[0]}, which the recipes do not read")
    return tensors


def _linears(tensors: dict[str, tuple[str, list[int]]]) -> tuple[str, ...]:
    names = set()
    for name, (_, shape) in tensors.items():
        parts = name.split(".")
        if "layers" in parts and parts[-1] == "weight" and len(shape) == 2:
            names.add(parts[-2])
    return tuple(sorted(names))
