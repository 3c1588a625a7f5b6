"""Recipe: GPTQ to 4 bits, with findings of the training split to measure the layers on."""

import contextlib
import json
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pipeline.engine.memory import available_bytes
from pipeline.errors import ConfigError
from trainer.data.calibration import choose_calibration
from trainer.data.dataset import dataset_digest
from trainer.data.examples import read_split
from trainer.offline import seal
from trainer.preflight import check_disk, check_empty, check_memory
from trainer.quiet import quiet
from trainer.recipes.checkpoint import Checkpoint, copy_companions, inspect_checkpoint
from trainer.recipes.encode import encode_examples
from trainer.recipes.tokenizer import load_encoder
from trainer.recipes.torch.device import prepare_device
from trainer.record.run_directory import RunDirectory, files_digest
from trainer.settings import QuantizeSettings

seal()  # it reads the environment when it is imported
with quiet():  # and greets on standard output
    from gptqmodel import BACKEND, GPTQModel, QuantizeConfig

_MIN_TOKENS = 8  # shorter ones measure nothing
_OUT_MULTIPLE = 32  # packed rows of the quantised layers


class Quantize:
    """Quantise a float checkpoint; `run` does all of it.

    Args:
        base: local float checkpoint.
        data: data set directory; its training split is drawn from.
        output: run directory; the GPTQ checkpoint ends up in its ``model/``.
    """

    def __init__(self, base: Path, data: Path, output: Path, settings: QuantizeSettings) -> None:
        self.base = base
        self.data = data
        self.settings = settings
        self.directory = RunDirectory(output)

    def run(self) -> Path:
        """Check the input, quantise, and give the checkpoint's directory."""
        check_empty(self.directory.path)
        base = inspect_checkpoint(self.base)
        self._check_base(base)
        examples = choose_calibration(read_split(self.data, "train"), self.settings.examples, self.settings.seed)
        encoder = load_encoder(self.base)
        limit = min(self.settings.max_tokens, base.num_positions)
        rows = encode_examples(examples, encoder, limit).rows
        calibration = [{"input_ids": row["input_ids"], "attention_mask": [1] * len(row["input_ids"])} for row in rows]
        device = prepare_device(self.settings)
        if device.kind == "cpu":
            check_memory(base.num_parameters * 4, available_bytes(), "quantising", "take a smaller base")
        check_disk(base.num_bytes, self.directory.path)
        self.directory.begin(
            "quantize",
            self.settings.plain(),
            {"data": dataset_digest(self.data), "base": files_digest(self.base)},
            resume=False,
        )
        losses = self._quantise(calibration, device.kind)
        _tidy(self.base, self.directory.model)
        self.directory.finish(
            {
                "calibration_examples": len(examples),
                "calibration_classes": len({example.class_id for example in examples}),
                "calibration_tokens": sum(len(each["input_ids"]) for each in calibration),
                "layers": len(losses),
                "mean_loss": float(f"{fmean(losses):.6g}") if losses else None,
                "bytes": sum(file.stat().st_size for file in self.directory.model.iterdir()),
            }
        )
        return self.directory.model

    def _check_base(self, base: Checkpoint) -> None:
        if base.quantised:
            raise ConfigError(f"{self.base}: already quantised; give the float checkpoint")
        group = self.settings.group_size
        for name in ("hidden_size", "intermediate_size"):
            size = int(base.config.get(name, 0))
            if size % group:
                raise ConfigError(
                    f"{self.base}: {name} {size} is no multiple of a group of {group}; choose --group-size 32 or 64"
                    if group > 32
                    else f"{self.base}: {name} {size} is no multiple of {group}, the smallest group"
                )

    def _quantise(self, calibration: list[dict[str, list[int]]], device: str) -> list[float]:
        # It chooses bfloat16 on a CPU by itself, and would lose bits of embeddings, norms and scales.
        dtype = torch.float16 if device == "cuda" else torch.float32
        base, output = self.base.resolve(), self.directory.model.resolve()
        # It leaves a log where it stands, and offloaded layers in a temporary directory.
        with TemporaryDirectory() as temporary, contextlib.chdir(temporary), quiet():
            config = QuantizeConfig(
                bits=self.settings.bits,
                group_size=self.settings.group_size,
                sym=True,
                desc_act=False,  # reordered columns are what the exporter and the fast kernels do not read
                damp_percent=self.settings.damp,
                offload_to_disk_path=temporary,
            )
            model = GPTQModel.load(
                str(base),
                config,
                device=device,
                backend=BACKEND.TORCH,
                dtype=dtype,
                trust_remote_code=False,  # nor can it reach a hub: the path was looked at, and the process is sealed
            )
            log = model.quantize(calibration, batch_size=1, calibration_data_min_length=_MIN_TOKENS)
            model.save(str(output))
        return _losses(log)


def _losses(log: Any) -> list[float]:
    losses = []
    for entries in log.values() if isinstance(log, dict) else ():
        for entry in entries:
            with contextlib.suppress(KeyError, TypeError, ValueError):
                losses.append(float(entry["loss"]))
    return losses


def _tidy(base: Path, output: Path) -> None:
    """Leave what readers need, and make the bytes depend on nothing but the input."""
    for path in output.iterdir():
        if path.suffix not in (".json", ".safetensors"):
            path.unlink()
    for path in sorted(output.glob("*.safetensors")):
        _halve(path)
    for name in ("config.json", "quantize_config.json"):
        path = output / name
        content = json.loads(path.read_bytes())
        for entry in (content, content.get("quantization_config", {})):
            if isinstance(entry.get("meta"), dict):
                entry["meta"].pop("offload_to_disk_path", None)  # a random temporary directory
        if name == "config.json":
            content["use_cache"] = True
        for key in ("dtype", "torch_dtype"):
            if key in content:
                content[key] = "float16"
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    # The tokenizer as it was: a library that reads and writes it adds settings of its own.
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (output / name).unlink(missing_ok=True)
    copy_companions(base, output)


def _halve(path: Path) -> None:
    """Store floats of four bytes in two: what 4-bit weights are beside needs no more."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if tensor.dtype in (torch.float32, torch.bfloat16):
            half = tensor.to(torch.float16)
            if not torch.isfinite(half).all():
                raise ConfigError(f"{path}: {name} does not fit in float16; the base has weights out of proportion")
            tensors[name] = half
    save_file(tensors, path, metadata=metadata)
    path.chmod(0o644)  # the library makes it readable for its owner only
