"""Measure how long a model takes for answers of the usual length, whether it was trained or not.

    python benchmarks/answer_time.py MODEL_DIRECTORY [--findings 250]

The questions are those of novel_finding.py: findings of all kinds, none asked twice. What is answered is what the model
that comes with the program says, and the measured model is made to say the same: it reads the prompt in its own
tokens, computes each token of that answer, and its grammar takes them, as if it had chosen them. So the time is that
of a trained model whose answers are as long, without the daemon around it: one answer at a time on one thread, as a
daemon asks about a single new finding. Prompt and answer are counted in the measured model's tokens; the memory is
what loading and answering added to a process of its own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, machine, resident_mb
from novel_finding import burst, novel_lines
from numpy.typing import NDArray

from pipeline.analysis.model import MAX_TOKENS, ModelAnalyst
from pipeline.engine.decoder import Decoder
from pipeline.engine.generator import Grammar
from pipeline.engine.grammar import Constraint, Grammars
from pipeline.engine.load import open_generator
from pipeline.engine.tokens import Tokenizer
from pipeline.features import load_features
from pipeline.graph.resources import Resources
from pipeline.intel.match import Intel
from pipeline.intel.skipped import SkipLog
from pipeline.knowledge.load import load_knowledge
from pipeline.models.embedded import EMBEDDED_MODEL
from pipeline.rules.policy import Policy
from trainer.data.cases import questions


@dataclass(frozen=True)
class Said:
    """A question and its answer."""

    prompt: str
    schema: str
    text: str


class Dictated(Grammars):
    """Grammars whose next answer is the text that was set, token by token."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer)
        self._tokens = tokenizer
        self.text = ""

    def start(self, grammar: Grammar) -> Constraint:
        """Begin an answer that will be the text."""
        return Dictation(super().start(grammar), self._tokens, self.text)


class Dictation(Constraint):
    """A constraint under which a token is the next one of a text, whatever the model would choose."""

    def __init__(self, real: Constraint, tokenizer: Tokenizer, text: str) -> None:
        super().__init__(real._matcher, tokenizer)
        self._tokens = tokenizer.constrained
        self._left = text.encode()

    def forced(self) -> list[int]:
        """Return what the grammar forces, which the text has, too."""
        tokens = super().forced()
        written = self._tokens.decode_bytes(tokens) if tokens else b""
        if not self._left.startswith(written):
            raise SystemExit(f"the grammar wants {written!r} where the answer goes on with {self._left[:40]!r}")
        self._left = self._left[len(written) :]
        return tokens

    def take(self, logits: NDArray[np.float32]) -> list[int]:
        """Look for the likeliest token as usual, and take the next one of the text."""
        logits.argmax()
        if not self._left:
            return []
        token, *_ = self._tokens.tokenize_bytes(self._left)
        self._left = self._left[len(self._tokens.decode_bytes([token])) :]
        self._consume([token])
        return [token, *self.forced()]


class Recorder:
    """The model that comes along, and what it was asked and said."""

    def __init__(self) -> None:
        self._model = open_generator(EMBEDDED_MODEL)
        self.digest = self._model.digest
        self.close = self._model.close
        self.said: list[Said] = []

    def generate(self, prompt: str, grammar: Grammar, max_tokens: int) -> str:
        """Answer, and keep it."""
        text = self._model.generate(prompt, grammar, max_tokens)
        self.said.append(Said(prompt, grammar.schema, text))
        return text


def real_answers(count: int) -> list[Said]:
    """Have the model that comes along answer questions about so many findings."""
    knowledge = load_knowledge(load_features)
    resources = Resources(knowledge, Policy(), Intel("", (), (), SkipLog()), version="benchmark")
    recorder = Recorder()
    analyst = ModelAnalyst(recorder, knowledge, "recorded")
    for line in novel_lines(count):
        for asked in questions(burst("host", line), resources):
            analyst.analyse(asked.question, 0).result()
    return recorder.said


def measure(directory: Path, said: list[Said]) -> dict[str, Any]:
    """Have a model say these answers; returns what it took."""
    _, before = resident_mb(os.getpid())
    begin = time.perf_counter()
    loaded = open_generator(directory, threads=1)
    load_s = time.perf_counter() - begin
    grammars = Dictated(loaded.tokenizer)
    decoder = Decoder(loaded.runner, loaded.tokenizer, loaded.digest, grammars)
    took: list[float] = []
    for one in said:
        grammars.text = one.text
        begin = time.perf_counter()
        text = decoder.generate(one.prompt, Grammar(one.schema), 2 * MAX_TOKENS)
        took.append((time.perf_counter() - begin) * 1000)
        if text != one.text:
            raise SystemExit(f"not the answer that was dictated: {text!r}, {one.text!r}")
    encode = loaded.tokenizer.encode
    return {
        "load_s": load_s,
        "ms": took,
        "prompt": statistics.median(len(encode(one.prompt)) for one in said),
        "answer": statistics.median(len(encode(one.text)) for one in said),
        "model_mb": resident_mb(os.getpid())[1] - before,
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, nargs="+", help="model directories")
    parser.add_argument("--findings", type=int, default=250)
    parser.add_argument("--replay", type=Path, help=argparse.SUPPRESS)  # the measured process itself
    arguments = parser.parse_args()
    if arguments.replay is not None:
        said = [Said(*one) for one in json.loads(arguments.replay.read_text())]
        sys.stdout.write(json.dumps(measure(arguments.model[0], said)))
        return
    said = real_answers(arguments.findings)
    print(f"{machine()}\n{len(said)} answers, one at a time on one thread\n")
    head = "".join(f"{name:>9}" for name in ("p50 ms", "p90", "p99", "max", "prompt", "answer", "load s", "MB"))
    print(f"{'model':<24}{head}", flush=True)
    for directory in arguments.model:
        found = _replayed(directory, said)
        ordered = sorted(found["ms"])
        figures = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.9, 0.99, 1.0)]
        row = "".join(f"{value:>9.0f}" for value in (*figures, found["prompt"], found["answer"]))
        print(f"{directory.name[:23]:<24}{row}{found['load_s']:>9.2f}{found['model_mb']:>9.0f}", flush=True)


def _replayed(directory: Path, said: list[Said]) -> dict[str, Any]:
    """Measure in a process of its own."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([(one.prompt, one.schema, one.text) for one in said], file)
        file.flush()
        command = [sys.executable, str(Path(__file__).resolve()), str(directory.resolve()), "--replay", file.name]
        made = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(made.stdout)
    return found


if __name__ == "__main__":
    main()
