"""Measures the same weights under several runtimes, side by side: decode and prefill tokens a second, one stream.

Run as ``python -m benchmarks.runtime_speed MODEL_DIRECTORY --float CHECKPOINT [--texts valid.jsonl]``. The model
directory gives the ONNX export and the GPTQ checkpoint; the float checkpoint that they were made from gives llama.cpp's
files and the row that the tokens are compared with. Needs ``the extra `cuda``` for torch, and the packages ``gguf``
and ``llama-cpp-python`` for llama.cpp, which are no dependencies of ours; a row whose packages are not there is left
out, with the reason.

Every runtime has a process of its own, and they take turns in rounds, so that whatever else the machine does meets all
of them: a ratio is the median over the rounds. All get the same tokens and give the same thing, logits as an array;
choosing a token is in no row.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from benchmarks.common import machine
from pipeline.engine.cpu import instruction_sets
from pipeline.engine.decoder import Runner
from pipeline.engine.identity import CHUNK, DEFAULT_THREADS
from pipeline.engine.load import open_checkpoint, open_generator
from pipeline.engine.manifest import read_manifest
from pipeline.engine.tokens import Tokenizer

PROMPT_TOKENS = 256
ANSWER_TOKENS = 64
_PAUSE_S = 0.1  # threads of the one before may still spin
_LONGEST_S = 1.0  # of decoding in a round: on a busy machine threads that wait for one another take for ever

Kind = Literal["onnx", "torch", "float", "gguf"]
Text = tuple[list[int], list[int]]  # tokens of a prompt and of its response


@dataclass(frozen=True)
class Round:
    """Tokens a second of one round."""

    decode: float
    prefill: float  # in the engine's pieces
    whole: float  # in one call


@dataclass(frozen=True)
class Loaded:
    """What a process says once, when it is ready."""

    load_s: float
    peak_mb: float
    choices: list[int]


class Contestant:
    """A process with one runtime in it."""

    def __init__(self, name: str, kind: Kind, path: Path, threads: int, texts: Sequence[Text]) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = name
        self.rounds: list[Round] = []
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, kind, path, threads, texts))
        self._process.start()
        theirs.close()
        try:
            loaded = self._pipe.recv()
        except EOFError:
            loaded = "its process ended"
        if isinstance(loaded, str):
            self.close()
            raise RuntimeError(loaded)
        self.loaded: Loaded = loaded

    def measure(self) -> None:
        """Measure one round."""
        self._pipe.send(True)
        self.rounds.append(self._pipe.recv())

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()


def _serve(pipe: Connection, kind: Kind, path: Path, threads: int, texts: Sequence[Text]) -> None:
    try:
        begin = time.perf_counter()
        runner = _open(kind, path, threads)
        load_s = time.perf_counter() - begin
        choices = [choice for text in texts for choice in _follow(runner, text)]
        _measure(runner)  # not counted: whatever a runtime does once is behind it
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    except (Exception, SystemExit) as error:
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send(Loaded(load_s, peak_mb, choices))
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        pipe.send(_measure(runner))


def _open(kind: Kind, path: Path, threads: int) -> Runner:
    if kind == "float":
        return open_checkpoint(path, threads=threads).runner
    if kind == "gguf":
        from benchmarks.llama_cpp_runner import LlamaCppRunner

        return LlamaCppRunner(path, context_length=1024, threads=threads)
    return open_generator(path, kind, threads=threads).runner


def _measure(runner: Runner) -> Round:
    prompt = [2 + index % 97 for index in range(PROMPT_TOKENS)]
    whole = _timed(runner, prompt, PROMPT_TOKENS)
    prefill = _timed(runner, prompt, CHUNK)
    begin, count = time.perf_counter(), 0
    while count < ANSWER_TOKENS and time.perf_counter() - begin < _LONGEST_S:
        runner.step([(0, (prompt[count],))])
        count += 1
    return Round(count / (time.perf_counter() - begin), prefill, whole)


def _timed(runner: Runner, prompt: Sequence[int], piece: int) -> float:
    runner.rewind(0, 0)
    begin = time.perf_counter()
    for start in range(0, len(prompt), piece):
        runner.append(0, prompt[start : start + piece])
    return len(prompt) / (time.perf_counter() - begin)


def _follow(runner: Runner, text: Text) -> list[int]:
    """Give the tokens that a runner would choose at each place of a response that is given."""
    prompt, response = text
    runner.rewind(0, 0)
    for start in range(0, len(prompt), CHUNK):
        logits = runner.append(0, prompt[start : start + CHUNK])
    return [int(logits.argmax()), *(int(runner.step([(0, (token,))])[0].argmax()) for token in response)]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path, help="model directory")
    parser.add_argument("--float", type=Path, help="the checkpoint that it was made from")
    parser.add_argument("--texts", type=Path, help="examples of the training data; the first ones are followed")
    parser.add_argument("--follow", type=int, default=20, help="how many of them")
    parser.add_argument("--threads", type=int, default=DEFAULT_THREADS)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    tokenizer = Tokenizer(arguments.directory / "tokenizer.json")
    texts = _texts(arguments.texts, tokenizer, arguments.follow) if arguments.texts else []
    wanted: list[tuple[str, Kind, Path]] = [("ONNX Runtime, GPTQ int4 (ours)", "onnx", arguments.directory)]
    if "gptq" in read_manifest(arguments.directory).parts:
        wanted.append(("transformers + GPTQModel, GPTQ int4", "torch", arguments.directory))
    with TemporaryDirectory() as temporary:
        if arguments.float is not None:
            wanted += _llama_cpp(arguments.float, Path(temporary))
            wanted.append(("transformers, float32", "float", arguments.float))
        rows = _run(wanted, arguments.threads, arguments.rounds, texts)
    print(f"{machine()}; {' '.join(instruction_sets())}")
    print(
        f"{arguments.threads} threads, {arguments.rounds} rounds; best (median); ratios are medians over the rounds\n"
    )
    _print(rows, sum(1 + len(response) for _, response in texts))


def _texts(path: Path, tokenizer: Tokenizer, count: int) -> list[Text]:
    texts: list[Text] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            if len(texts) == count:
                break
            example = json.loads(line)
            prompt = [*tokenizer.start, *tokenizer.encode(example["prompt"])]
            texts.append((prompt, tokenizer.encode(example["response"])))
    return texts


def _llama_cpp(checkpoint: Path, place: Path) -> list[tuple[str, Kind, Path]]:
    full, small = place / "f32.gguf", place / "q4_0.gguf"
    try:
        from benchmarks.gguf_of import convert, quantise

        convert(checkpoint, full)
        quantise(full, small)
    except ImportError as error:
        print(f"llama.cpp is left out: {error}")
        return []
    return [("llama.cpp, Q4_0", "gguf", small), ("llama.cpp, float32", "gguf", full)]


def _run(
    wanted: Sequence[tuple[str, Kind, Path]], threads: int, rounds: int, texts: Sequence[Text]
) -> list[Contestant]:
    rows: list[Contestant] = []
    for name, kind, path in wanted:
        try:
            rows.append(Contestant(name, kind, path, threads, texts))
        except RuntimeError as error:
            print(f"{name} is left out: {error}")
    for _ in range(rounds):
        for row in rows:
            time.sleep(_PAUSE_S)
            row.measure()
    for row in rows:
        row.close()
    return rows


def _print(rows: Sequence[Contestant], places: int) -> None:
    ours, floats = rows[0], rows[-1]
    figures: list[tuple[str, Callable[[Round], float]]] = [
        ("decode/s", lambda one: one.decode),
        (f"prefill/s, {CHUNK} at a time", lambda one: one.prefill),
        ("prefill/s, one call", lambda one: one.whole),
    ]
    head = ["runtime", *(text for name, _ in figures for text in (name, "to ours")), "load s", "peak MB", "same token"]
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    for row in rows:
        cells = [row.name]
        for _, figure in figures:
            values = [figure(one) for one in row.rounds]
            ratio = statistics.median(value / figure(other) for value, other in zip(values, ours.rounds, strict=True))
            cells += [f"{max(values):,.0f} ({statistics.median(values):,.0f})", f"{ratio:.2f}"]
        same = sum(one == other for one, other in zip(row.loaded.choices, floats.loaded.choices, strict=True))
        cells += [
            f"{row.loaded.load_s:.2f}",
            f"{row.loaded.peak_mb:.0f}",
            f"{100 * same / places:.2f} %" if places else "",
        ]
        print("| " + " | ".join(cells) + " |")
    if places:
        print(f"\nsame token: as {floats.name}, at {places} places of responses of the data")


if __name__ == "__main__":
    main()
