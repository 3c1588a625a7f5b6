"""What a GPU makes of the model and of tuning, in ten minutes: tokens a second, memory, utilisation.

Run as ``python -m benchmarks.device_check`` on a machine with an NVIDIA GPU; needs the extras ``trainer`` and ``cuda``.
Two parts:

- the embedded model under each runtime that is there: GPTQ with torch (GPTQModel chooses Marlin where it may), ONNX;
- LoRA on Llamas of 1 and 8 thousand million random weights, with Lion in 8 bits and with AdamW.

Each row has a process and a time limit of its own, and one that fails says why and stops no other. ``--tiny`` tries the
script itself on a CPU, with sizes that mean nothing.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, machine

EMBEDDED = ROOT / "pipeline" / "models" / "embedded_model"
_ROW_S = 150.0
_SAMPLE_S = 0.5


@dataclass(frozen=True)
class Size:
    """A Llama to tune."""

    name: str
    hidden: int
    layers: int
    batch: int


SIZES = (Size("1 B", 2048, 18, 8), Size("8 B", 4096, 36, 4))
TINY = (Size("tiny", 128, 2, 2),)


class Utilisation:
    """Asks the driver how busy the GPU is, twice a second; empty where there is none to ask."""

    def __init__(self) -> None:
        self.percents: list[int] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Utilisation":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _ask(self) -> None:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not self._end.wait(_SAMPLE_S):
            try:
                said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout
                self.percents.append(int(said.split()[0]))
            except (OSError, subprocess.SubprocessError, ValueError, IndexError):
                return

    def busiest(self) -> str:
        """Give the mean of the upper half: what it was while it worked, and not while it was loaded."""
        upper = sorted(self.percents)[len(self.percents) // 2 :]
        return f"{sum(upper) / len(upper):.0f} %" if upper else "-"


def run(arguments: list[str]) -> tuple[dict[str, Any] | None, str, str]:
    """Run a row; returns what it measured, how busy the GPU was, and why there is nothing."""
    with Utilisation() as utilisation:
        try:
            done = subprocess.run(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=_ROW_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None, utilisation.busiest(), f"not done after {_ROW_S:.0f} s"
    if done.returncode != 0:
        return None, utilisation.busiest(), (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]
    return json.loads(done.stdout.strip().splitlines()[-1]), utilisation.busiest(), ""


def decode(runtime: str, device: str, model: Path) -> dict[str, float]:
    """Decode holdout questions one after the other; returns tokens a second over prompts and answers."""
    from pipeline.analysis.prompt import render_prompt
    from pipeline.engine.generator import Grammar
    from pipeline.engine.load import open_generator
    from pipeline.scorecard.holdouts import read_holdouts

    cases = [one.case for kept in read_holdouts().cases.values() for one in kept][:40]
    grammar = Grammar.of({"type": "object", "properties": {"said": {"type": "string", "maxLength": 200}},
                          "required": ["said"], "additionalProperties": False})  # fmt: skip
    begin = time.perf_counter()
    generator = open_generator(model, runtime, device=device)  # type: ignore[arg-type]
    loaded = time.perf_counter() - begin
    try:
        generator.generate(render_prompt(cases[0]), grammar, 64)
        begin, tokens = time.perf_counter(), 0
        for case in cases:
            answer = generator.generate(render_prompt(case), grammar, 64)
            tokens += len(generator.tokenizer.encode(answer))
        seconds = time.perf_counter() - begin
    finally:
        generator.close()
    return {"tokens_per_s": tokens / seconds, "answers_per_s": len(cases) / seconds, "load_s": loaded}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, default=EMBEDDED, help="a model directory")
    parser.add_argument("--tiny", action="store_true", help="try the script on a CPU")
    parser.add_argument("--decode", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.decode is not None:
        runtime, device = arguments.decode.split(":")
        print(json.dumps(decode(runtime, device, arguments.model)))
        return
    device = "cpu" if arguments.tiny else "cuda"
    print(f"{machine()}; {_gpu()}")
    print(f"\n{'runtime':<8} {'answers/s':>10} {'tokens/s':>9} {'load s':>7} {'GPU':>6}", flush=True)
    for runtime in ("torch", "onnx"):
        row = ["benchmarks.device_check", "--model", str(arguments.model), "--decode", f"{runtime}:{device}"]
        found, busy, why = run(row)
        if found is None:
            print(f"{runtime:<8} {why}", flush=True)
            continue
        print(
            f"{runtime:<8} {found['answers_per_s']:>10.1f} {found['tokens_per_s']:>9.0f} {found['load_s']:>7.1f}"
            f" {busy:>6}",
            flush=True,
        )
    print(f"\n{'Llama':<6} {'optimiser':<12} {'trained':>9} {'tokens/s':>9} {'peak GB':>8} {'state MB':>9} {'GPU':>6}")
    for size in TINY if arguments.tiny else SIZES:
        for optimizer in ("lion_8bit", "adamw_torch"):
            row = [
                "benchmarks.finetune_cost", "--case", f"{optimizer}:lora", "--device", device,
                "--hidden", str(size.hidden), "--layers", str(size.layers), "--vocabulary", "32768",
                "--batch", str(size.batch), "--tokens", "512", "--steps", "4" if arguments.tiny else "12",
            ]  # fmt: skip
            found, busy, why = run(row)
            if found is None:
                print(f"{size.name:<6} {optimizer:<12} {why}", flush=True)
                continue
            print(
                f"{size.name:<6} {optimizer:<12} {found['trained_m']:>7.2f} M {found['tokens_per_s']:>9.0f} "
                f"{found['peak_mb'] / 1000:>8.1f} {found['state_mb']:>9.1f} {busy:>6}",
                flush=True,
            )


def _gpu() -> str:
    try:
        said = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, check=True, timeout=5,
        ).stdout  # fmt: skip
        return said.strip().splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "no GPU that nvidia-smi knows"


if __name__ == "__main__":
    main()
