"""Tokens a second and peak memory of fine-tuning: Lion in 8 bits against AdamW, with LoRA and without.

Run as ``python -m benchmarks.finetune_cost``; needs the extra ``[trainer]``. Each case runs in a process of its own,
on a Llama with random weights and sequences of random tokens: nothing here depends on what a model knows.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.common import ROOT, machine
from trainer.offline import seal

CASES = [(optimizer, adapter) for adapter in ("lora", "none") for optimizer in ("adamw_torch", "lion_8bit")]


@dataclass(frozen=True)
class Shape:
    """The model and the work."""

    hidden: int
    layers: int
    vocabulary: int
    tokens: int
    steps: int
    batch: int
    threads: int
    device: str


def measure(optimizer: str, adapter: str, shape: Shape) -> dict[str, float]:
    """Train a few steps; the first two, which allocate, are not timed."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback

    from trainer.recipes.torch.device import prepare_device
    from trainer.recipes.torch.finetune import adapt
    from trainer.recipes.torch.training import make_trainer
    from trainer.record.run_directory import RunDirectory
    from trainer.settings import FinetuneSettings, make_settings

    class Clock(TrainerCallback):  # type: ignore[misc,unused-ignore]
        """Notes when each step ended."""

        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_step_end(self, *arguments: object, **named: object) -> None:
            self.ends.append(time.perf_counter())

    settings = make_settings(
        FinetuneSettings,
        {
            "optimizer": optimizer,
            "adapter": adapter,
            "batch": shape.batch,
            "accumulation": 1,
            "max_steps": shape.steps + 2,
            "eval_every": 10_000,
            "log_every": 10_000,
            "patience": 0,
            "threads": shape.threads,
            "device": shape.device,
        },
    )
    device = prepare_device(settings)
    torch.manual_seed(0)
    heads = shape.hidden // 64
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.hidden * 8 // 3 // 64 * 64,
        num_hidden_layers=shape.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
    )
    # A GPU makes the weights itself, in the numbers that the recipe would load them in.
    frozen = device.dtype if device.kind == "cuda" and adapter == "lora" else torch.float32
    with torch.device(device.kind):
        plain = LlamaForCausalLM(config).to(frozen)
    model = adapt(plain, settings)
    generator = torch.Generator().manual_seed(0)
    rows = [
        {
            "input_ids": torch.randint(3, shape.vocabulary, (shape.tokens,), generator=generator).tolist(),
            "num_prompt": 64,
        }
        for _ in range(shape.batch * (shape.steps + 2))
    ]
    clock = Clock()
    with tempfile.TemporaryDirectory() as directory:
        run = RunDirectory(Path(directory))
        trainer = make_trainer(model, settings, device, run, train=rows, valid=rows[:1], pad=2, optimizer=optimizer)
        trainer.args.save_strategy = trainer.args.eval_strategy = "no"
        trainer.args.load_best_model_at_end = False
        trainer.add_callback(clock)
        before = _resident()
        with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
            trainer.train()
    seconds = clock.ends[-1] - clock.ends[1]
    states = [
        tensor for state in trainer.optimizer.state.values() for tensor in state.values() if torch.is_tensor(tensor)
    ]
    peak = torch.cuda.max_memory_allocated() if device.kind == "cuda" else _peak()
    return {
        "tokens_per_s": shape.batch * shape.tokens * shape.steps / seconds,
        "peak_mb": peak / 1e6,
        "before_mb": before / 1e6,
        "state_mb": sum(tensor.numel() * tensor.element_size() for tensor in states) / 1e6,
        "trained_m": sum(each.numel() for each in model.parameters() if each.requires_grad) / 1e6,
        "all_m": sum(each.numel() for each in model.parameters()) / 1e6,
    }


def main() -> None:
    """Measure all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = vars(parser.parse_args())
    case = arguments.pop("case")
    shape = Shape(**arguments)
    seal()
    if case is not None:
        optimizer, adapter = case.split(":")
        print(json.dumps(measure(optimizer, adapter, shape)))
        return
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}; {shape}")
    print(f"{'weights':<8} {'optimiser':<12} {'trained':>9} {'tokens/s':>9} {'peak MB':>8} {'state MB':>9}")
    for optimizer, adapter in CASES:
        command = [sys.executable, "-m", "benchmarks.finetune_cost", "--case", f"{optimizer}:{adapter}"]
        for name, value in asdict(shape).items():
            command += [f"--{name}", str(value)]
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        what = "LoRA" if adapter == "lora" else "all"
        print(
            f"{what:<8} {optimizer:<12} {found['trained_m']:>7.2f} M {found['tokens_per_s']:>9.0f} "
            f"{found['peak_mb']:>8.0f} {found['state_mb']:>9.1f}",
            flush=True,
        )


def _resident() -> int:
    return _status("VmRSS:")


def _peak() -> int:
    return _status("VmHWM:")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


if __name__ == "__main__":
    main()
