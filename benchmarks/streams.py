"""Measure decoding of eight streams at a time with two threads, beside llama.cpp's server, in turns.

    python -m benchmarks.streams [--model DIRECTORY] [--llama PYTHON] [--rounds 9] [--streams 8] [--threads 2]

`PYTHON` is one that has ``xllamacpp`` and ``gguf`` (no dependencies of ours); without it only ours is measured. Both
get weights of the same shape in 4 bits and choose the likeliest token; ours on lanes as the model's process has them,
without a grammar, which llama.cpp has not here either. The prompts have four tokens, so nearly all of the time is
decoding.
"""

import argparse
import json
import statistics
import subprocess
import threading
import time
from pathlib import Path

from benchmarks.common import machine
from pipeline.engine.decoder import Runner
from pipeline.engine.load import open_lanes
from pipeline.models.embedded import EMBEDDED_MODEL

ANSWER_TOKENS = 64
_PROGRAM = Path(__file__).with_name("llama_cpp_streams.py")


def answer(runner: Runner, streams: int) -> None:
    """Decode so many streams on one lane."""
    chosen = {}
    for slot in range(streams):
        runner.rewind(slot, 0)
        chosen[slot] = int(runner.append(slot, [2 + slot * 7 + place for place in range(4)]).argmax())
    for _ in range(ANSWER_TOKENS - 1):
        rows = runner.step([(slot, (token,)) for slot, token in chosen.items()])
        chosen = {slot: int(row.argmax()) for slot, row in enumerate(rows)}


def ours(runners: list[Runner], streams: int) -> float:
    """Return tokens a second of all streams, spread over the lanes."""
    shares = [streams // len(runners) + (number < streams % len(runners)) for number in range(len(runners))]
    lanes = [
        threading.Thread(target=answer, args=(runner, share))
        for runner, share in zip(runners, shares, strict=True)
        if share
    ]
    begin = time.perf_counter()
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    return streams * ANSWER_TOKENS / (time.perf_counter() - begin)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=EMBEDDED_MODEL)
    parser.add_argument("--llama", help="a Python with xllamacpp and gguf")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    lanes = open_lanes(arguments.model, "onnx", threads=arguments.threads, device="cpu")
    runners = [lane.runner for lane in lanes]
    theirs: subprocess.Popen[str] | None = None
    if arguments.llama:
        shape = _shape(arguments.model)
        command = [arguments.llama, str(_PROGRAM), str(arguments.threads), str(arguments.streams), *map(str, shape)]
        theirs = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert theirs.stdout is not None and theirs.stdin is not None
        while (line := theirs.stdout.readline()) != "ready\n":
            if not line:
                raise SystemExit(f"{arguments.llama}: cannot run {_PROGRAM.name}")
    rows: dict[str, list[float]] = {"ONNX Runtime, GPTQ int4 (ours)": [], "one stream at a time (ours)": []}
    if theirs is not None:
        rows["llama.cpp's server, Q4_0"] = []
    for number in range(arguments.rounds + 1):
        figures = [ours(runners, arguments.streams), ours(runners[:1], 1)]
        if theirs is not None and theirs.stdin is not None and theirs.stdout is not None:
            theirs.stdin.write("go\n")
            theirs.stdin.flush()
            figures.append(float(theirs.stdout.readline()))
        if number:  # whatever happens once is behind it
            for row, figure in zip(rows.values(), figures, strict=True):
                row.append(figure)
    if theirs is not None:
        theirs.terminate()
    first = next(iter(rows.values()))
    print(
        f"{machine()}; {arguments.streams} streams, {arguments.threads} threads, {arguments.rounds} rounds in turns\n"
    )
    print("| runtime | tokens/s, best (median) | to ours |\n| --- | --- | --- |")
    for name, row in rows.items():
        ratio = statistics.median(value / other for value, other in zip(row, first, strict=True))
        print(f"| {name} | {max(row):,.0f} ({statistics.median(row):,.0f}) | {ratio:.2f} |")


def _shape(directory: Path) -> list[int]:
    described = json.loads((directory / "onnx/genai_config.json").read_bytes())["model"]
    decoder = described["decoder"]
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads")
    inner = 3 * int(decoder["hidden_size"])
    return [*(int(decoder[name]) for name in names), inner, int(described["vocab_size"])]


if __name__ == "__main__":
    main()
