"""Measures the runtimes of a model directory: prefill and decode tokens a second, milliseconds for an answer.

Run as ``python -m benchmarks.engine_speed MODEL_DIRECTORY [--runtime onnx torch]``. The answers are those of the
engine's tests: prompts of some 140 tokens, no two alike but with a common beginning, and answers of some 80 to 100
tokens under a grammar, most of them forced. "again" asks the same prompt twice: what is left is decoding.
"""

import argparse
import statistics
import time
from pathlib import Path

from pipeline.engine.cpu import instruction_sets
from pipeline.engine.generator import Grammar
from pipeline.engine.identity import DEFAULT_THREADS, Runtime, choose_device
from pipeline.engine.load import open_generator
from pipeline.engine.probe import measure
from tests.pipeline.engine import tiny_model


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--runtime", nargs="+", choices=["onnx", "torch"], default=["onnx"])
    parser.add_argument("--threads", type=int, nargs="+", default=[DEFAULT_THREADS])
    parser.add_argument("--answers", type=int, default=40)
    arguments = parser.parse_args()

    print(f"instruction sets: {' '.join(instruction_sets())}\n")
    head = "| runtime | threads | device | load | prefill/s | decode/s | prompt | answer | ms fresh | CPU | ms again |"
    print(f"{head}\n|" + " --- |" * (head.count("|") - 1))
    for runtime in arguments.runtime:
        for threads in arguments.threads:
            row = _measure(arguments.directory, runtime, threads, arguments.answers)
            print("| " + " | ".join(row) + " |", flush=True)


def _measure(directory: Path, runtime: Runtime, threads: int, answers: int) -> tuple[str, ...]:
    device = choose_device(directory, runtime)
    begin = time.perf_counter()
    generator = open_generator(directory, runtime, threads=threads, device=device)
    load_s = time.perf_counter() - begin
    speed = measure(generator.runner, rounds=5 if runtime == "onnx" else 1)
    fresh_ms, again_ms, cpu_ms, prompts, lengths = [], [], [], [], []
    for case in tiny_model.cases(answers, seed=11):
        prompt, grammar = tiny_model.prompt(case), Grammar.of(tiny_model.schema(case))
        for times in (fresh_ms, again_ms):
            begin, cpu = time.perf_counter(), time.process_time()
            text = generator.generate(prompt, grammar, max_tokens=300)
            times.append(1000 * (time.perf_counter() - begin))
            cpu_ms.append(1000 * (time.process_time() - cpu))
        prompts.append(len(generator.tokenizer.encode(prompt)))
        lengths.append(len(generator.tokenizer.encode(text)))
    generator.close()
    return (
        runtime,
        str(threads),
        device,
        f"{load_s:.2f}",
        f"{speed.prefill:.0f}",
        f"{speed.decode:.0f}",
        f"{statistics.median(prompts):.0f}",
        f"{statistics.median(lengths):.0f}",
        f"{statistics.median(fresh_ms):.1f}",
        f"{statistics.median(cpu_ms[::2]):.1f}",
        f"{statistics.median(again_ms):.1f}",
    )


if __name__ == "__main__":
    main()
