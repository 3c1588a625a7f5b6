"""A checkpoint without a manifest: what torch would load, looked at without torch."""

from pathlib import Path
from typing import Any

from pipeline.engine.errors import ModelDamaged, ModelMissing, Unsupported
from pipeline.engine.identity import identify
from pipeline.engine.manifest import digest_directory
from pipeline.engine.reading import read_json
from pipeline.engine.runtimes import Device

ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM")

# Formats that run code when they are read, and code itself.
_REFUSED_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".py", ".so")


def checkpoint_digest(directory: Path, threads: int, device: Device) -> str:
    """Compute the digest of the generator that `open_checkpoint` returns.

    Raises:
        ModelMissing, ModelDamaged, Unsupported: as `read_config`, and if what it runs on is not installed.
    """
    config = read_config(directory)
    quantised, length = "quantization_config" in config, int(config["max_position_embeddings"])
    return identify("torch", quantised, digest_directory(directory), length, threads, device)


def read_config(directory: Path) -> dict[str, Any]:
    """Read a checkpoint's configuration, and refuse what must not be loaded.

    Raises:
        ModelMissing, ModelDamaged: if it cannot be read, or there are no weights.
        Unsupported: if it is of another architecture or quantisation, brings code, or keeps weights in pickles.
    """
    path = directory / "config.json"
    try:
        config = read_json(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelMissing(f"{path}: no such file; name a directory that holds a checkpoint") from error
    except (OSError, ValueError) as error:
        raise ModelDamaged(f"{path}: cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ModelDamaged(f"{path}: not an object")
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or len(architectures) != 1 or architectures[0] not in ARCHITECTURES:
        raise Unsupported(f"{path}: architecture {architectures}; supported are {', '.join(ARCHITECTURES)}")
    if "auto_map" in config:
        raise Unsupported(f"{path}: the checkpoint brings its own code (auto_map), which is never run")
    method = (config.get("quantization_config") or {"quant_method": "gptq"}).get("quant_method")
    if method != "gptq":
        raise Unsupported(f"{path}: quantised by {method}; supported are GPTQ and float checkpoints")
    for each in sorted(directory.iterdir()):
        if each.name.endswith(_REFUSED_SUFFIXES):
            raise Unsupported(f"{each}: files of this kind may run code; convert the weights to safetensors")
    if not any(directory.glob("*.safetensors")):
        raise ModelMissing(f"{directory}: no weights in safetensors format")
    return config
