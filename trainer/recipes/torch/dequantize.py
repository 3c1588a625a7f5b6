"""Recipe: the weights of a GPTQ checkpoint as floats again, so that they can be trained further."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.errors import ConfigError
from trainer.preflight import check_disk, check_empty
from trainer.recipes.checkpoint import copy_companions, inspect_checkpoint

_BITS = 4
_PACKED = 32 // _BITS  # weights in an integer
_PACKED_NAMES = ("qweight", "qzeros", "scales", "g_idx")
_WEIGHTS = "model.safetensors"


def dequantize(base: Path, output: Path) -> Path:
    """Write a float32 checkpoint whose layers are what the quantised ones compute with.

    Raises:
        ConfigError: if the base is no GPTQ checkpoint of ours, or the output is not empty.
    """
    check_empty(output)
    found = inspect_checkpoint(base)
    quantization = found.config.get("quantization_config")
    if not isinstance(quantization, dict) or quantization.get("quant_method") != "gptq":
        raise ConfigError(f"{base}: not a GPTQ checkpoint; its weights are floats already, if it is a checkpoint")
    form = quantization.get("checkpoint_format", "gptq")
    if quantization.get("bits") != _BITS or form not in ("gptq", "gptq_v2"):
        raise ConfigError(f"{base}: only GPTQ of {_BITS} bits is read, not {quantization.get('bits')} bits as {form}")
    check_disk(8 * found.num_bytes, output)
    tensors: dict[str, Tensor] = {}
    for shard in sorted(base.glob("*.safetensors")):
        tensors |= load_file(shard)
    # Zero points of the first format are stored less one.
    floats = _floats(tensors, 1 if form == "gptq" else 0)
    output.mkdir(parents=True, exist_ok=True)
    save_file(floats, output / _WEIGHTS, metadata={"format": "pt"})
    (output / _WEIGHTS).chmod(0o644)
    (output / "config.json").write_text(json.dumps(_plain(found.config), indent=2, sort_keys=True) + "\n")
    copy_companions(base, output)
    return output


def unpack(qweight: Tensor, qzeros: Tensor, scales: Tensor, g_idx: Tensor, offset: int) -> Tensor:
    """Compute a layer's weights out of what GPTQ stores.

    Args:
        qweight: ``[I / 8, O]`` int32, eight weights of a column in one, the lowest bits first.
        qzeros: ``[G, O / 8]`` int32, likewise of a row.
        scales: ``[G, O]``.
        g_idx: ``[I]``, the group of each input.
        offset: added to the stored zero points.

    Returns:
        ``[O, I]`` float32.
    """
    shifts = torch.arange(0, 32, _BITS, dtype=torch.int32)
    weights = (qweight[:, None, :] >> shifts[None, :, None]) & (2**_BITS - 1)  # [I / 8, 8, O]
    zeros = (qzeros[:, :, None] >> shifts[None, None, :]) & (2**_BITS - 1)  # [G, O / 8, 8]
    groups = g_idx.long()
    whole = weights.reshape(-1, qweight.shape[1]).float()  # [I, O]
    middle = zeros.reshape(qzeros.shape[0], -1).float() + offset  # [G, O]
    return (scales.float()[groups] * (whole - middle[groups])).t().contiguous()


def _floats(tensors: dict[str, Tensor], offset: int) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        if kind == "qweight":
            parts = {one: tensors[f"{layer}.{one}"] for one in _PACKED_NAMES if f"{layer}.{one}" in tensors}
            if len(parts) < len(_PACKED_NAMES):
                raise ConfigError(f"{layer}: one of {', '.join(_PACKED_NAMES)} is missing")
            found[f"{layer}.weight"] = unpack(**parts, offset=offset)
        elif kind not in _PACKED_NAMES:
            found[name] = tensor.float().contiguous() if tensor.is_floating_point() else tensor
    return found


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in config.items() if name != "quantization_config"}
    for key in ("dtype", "torch_dtype"):
        if key in plain:
            plain[key] = "float32"
    return plain
