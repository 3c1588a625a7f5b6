import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engine import onnx_runtime
from pipeline.engine.decoder import Decoder
from pipeline.engine.errors import ModelDamaged, NotEnoughMemory, Unsupported
from pipeline.engine.generator import Grammar
from pipeline.engine.identity import CHUNK
from pipeline.engine.load import open_generator, open_lanes
from pipeline.engine.memory import require_memory
from pipeline.engine.onnx_runtime import OnnxRunner
from tests.depth import examples
from tests.pipeline.engine import tiny_model

CASES = tiny_model.cases(50, seed=3)
PROMPTS = [tiny_model.prompt(case) for case in CASES]
GRAMMARS = [Grammar.of(tiny_model.schema(case)) for case in CASES]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def generator(model_directory: Path) -> Iterator[Decoder]:
    opened = open_generator(model_directory)
    yield opened
    opened.close()


def answer(generator: Decoder, number: int) -> str:
    return generator.generate(PROMPTS[number], GRAMMARS[number], max_tokens=300)


def ask(directory: Path, numbers: list[int], home: Path, *before: str) -> dict[str, Any]:
    """Ask in a new process whose environment does not ask for silence."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), "XDG_CACHE_HOME": str(home)}
    done = subprocess.run(
        [*before, sys.executable, "-m", "tests.pipeline.engine.ask", str(directory), *map(str, numbers)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_every_answer_meets_its_schema(generator: Decoder) -> None:
    for number, case in enumerate(CASES[:20]):
        text = answer(generator, number)
        body = json.loads(text)
        properties = tiny_model.schema(case)["properties"]
        assert list(body) == list(properties)
        assert body["level"] in properties["level"]["enum"] and body["action"] in properties["action"]["enum"]
        assert set(body["controls"].split()) <= set(case["controls"])
        assert 16 <= len(body["assessment"]) <= 60
        assert text == json.dumps(body, separators=(",", ":"))


def test_what_was_asked_before_changes_no_answer(generator: Decoder, model_directory: Path) -> None:
    used = [answer(generator, number) for number in (4, 2, 9, 4, 0)]
    for number, text in zip((4, 2, 9, 4, 0), used, strict=True):
        fresh = open_generator(model_directory)
        assert answer(fresh, number) == text
        fresh.close()


def test_processes_agree_load_no_torch_and_leave_nothing_behind(
    generator: Decoder, model_directory: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    first, second = ask(model_directory, [5, 6, 7], home), ask(model_directory, [7, 5, 6], home)
    assert first["answers"] == second["answers"] == {str(number): answer(generator, number) for number in (5, 6, 7)}
    assert first["digest"] == generator.digest
    assert first["foreign"] == []
    # With telemetry the runtime keeps an identifier and a queue of events in its user's cache.
    assert list(home.rglob("*")) == []
    assert first["sockets"] == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_not_one_system_call_of_the_network_is_made(model_directory: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    try:
        ask(model_directory, [1], tmp_path, "strace", "-f", "-e", "trace=network", "-o", str(trace))
    except AssertionError as error:
        if "ptrace" in str(error):
            pytest.skip("tracing is not permitted here")
        raise
    lines = trace.read_text().splitlines()
    assert lines and [line for line in lines if "(" in line and "exited" not in line] == []


def test_cutting_back_gives_the_bits_of_computing_anew(generator: Decoder) -> None:
    runner, tokens = generator.runner, generator.tokenizer.encode(PROMPTS[0])[: 3 * CHUNK]
    runner.rewind(0, 0)
    pieces = [tokens[start : start + CHUNK] for start in range(0, len(tokens), CHUNK)]
    anew = [runner.append(0, piece).copy() for piece in pieces]
    for keep in (2, 1, 0):
        runner.rewind(0, keep * CHUNK)
        for index in range(keep, len(pieces)):
            assert (runner.append(0, pieces[index]) == anew[index]).all()
    generator._forget()


@pytest.fixture(scope="module")
def lanes(model_directory: Path) -> Iterator[list[Decoder]]:
    opened = open_lanes(model_directory, "onnx", threads=2, device="cpu")
    yield opened
    for lane in opened:
        lane.close()


@settings(max_examples=examples(15), deadline=None)
@given(st.lists(st.integers(0, 19), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_what_is_answered_beside_it_changes_no_byte_of_an_answer(
    generator: Decoder, lanes: list[Decoder], numbers: list[int], dice: Random
) -> None:
    alone = {number: answer(generator, number) for number in numbers}
    waiting = list(numbers)
    begun: dict[Any, tuple[Decoder, int]] = {}
    while waiting or begun:
        lane = dice.choice(lanes)
        if waiting and lane.num_free and dice.random() < 0.5:
            number = waiting.pop()
            begun[lane.begin(PROMPTS[number], GRAMMARS[number], 300)] = (lane, number)
        elif lane.num_free < lane.slots:
            lane.advance()
        for one in [one for one in begun if one.done]:
            lane, number = begun.pop(one)
            assert lane.text(one) == alone[number]


def test_rows_of_batches_of_the_sizes_that_are_trusted_have_equal_bits(lanes: list[Decoder]) -> None:
    """Whatever the other sequences are, how long they are, and in which slot it is."""
    runner = lanes[0].runner
    assert isinstance(runner, OnnxRunner) and runner._sizes[-1] == runner.slots
    tokens = lanes[0].tokenizer.encode(PROMPTS[0])
    dice = Random(5)
    seen: list[Any] = []
    for size in runner._sizes:
        for slot in (0, size - 1):
            for other in range(runner.slots):
                runner.rewind(other, 0)
                if other != slot:
                    runner.append(other, [dice.randrange(2, 1000) for _ in range(dice.randrange(1, 90))])
            runner.append(slot, tokens[:CHUNK])
            for token in tokens[CHUNK : CHUNK + 5]:
                entries = [(each, (token if each == slot else dice.randrange(2, 1000),)) for each in range(size)]
                row = runner.step(entries)[slot].copy()
            seen.append(row)
    assert all((row == seen[0]).all() for row in seen)
    for slot in range(runner.slots):
        runner.rewind(slot, 0)
    lanes[0]._kept = [[] for _ in range(runner.slots)]


def test_a_session_starts_no_threads_of_its_own(model_directory: Path) -> None:
    before = len(list(Path("/proc/self/task").iterdir()))
    opened = open_lanes(model_directory, "onnx", threads=4, device="cpu")
    assert len(opened) == 4
    assert len(list(Path("/proc/self/task").iterdir())) == before
    for lane in opened:
        lane.close()


def test_where_memory_is_short_fewer_are_answered_at_a_time_and_at_last_none(
    model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(megabytes: int) -> tuple[int, int]:
        monkeypatch.setattr(onnx_runtime, "available_bytes", lambda: megabytes << 20)
        monkeypatch.setattr(
            onnx_runtime, "require_memory", lambda needed, what: require_memory(needed, what, megabytes << 20)
        )
        opened = onnx_runtime.open_runners(model_directory / "onnx", context_length=1024, threads=2, device="cpu")
        try:
            return len(opened), opened[0].slots
        finally:
            for one in opened:
                one.close()

    assert load(4096) == (2, 8)
    found = [load(megabytes) for megabytes in (100, 90, 78, 74)]  # of which 64 are the runtime's, and 2 a sequence's
    assert found == [(2, 8), (1, 8), (1, 4), (1, 4)]
    with pytest.raises(NotEnoughMemory, match="free memory"):
        load(40)


def test_another_architecture_and_a_bad_description_are_refused(model_directory: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model_directory / "onnx", tmp_path / "onnx"))
    path = copy / "genai_config.json"
    described = json.loads(path.read_bytes())

    def load() -> OnnxRunner:
        (only,) = onnx_runtime.open_runners(copy, context_length=512, threads=1, device="cpu")
        return only

    load().close()
    path.write_text(json.dumps({"model": {**described["model"], "type": "whisper"}}))
    with pytest.raises(Unsupported, match="whisper"):
        load()
    path.write_text("{}")
    with pytest.raises(ModelDamaged, match="genai_config"):
        load()
    path.write_text(json.dumps(described))
    (copy / "model.onnx.data").write_bytes(b"short")
    with pytest.raises(ModelDamaged, match="cannot load it"):
        load()


@pytest.mark.parametrize(
    "model",
    [
        {"type": "llama", "decoder": {"filename": "model.onnx"}},
        {"type": "llama", "context_length": 64, "decoder": {"filename": "model.onnx"}},
        {"type": "llama", "context_length": "long", "decoder": {"filename": "model.onnx"}},
    ],
)
def test_a_description_that_leaves_out_what_memory_depends_on_is_refused(model: Any, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no weights")
    (tmp_path / "genai_config.json").write_text(json.dumps({"model": model}))
    with pytest.raises(ModelDamaged, match="not the description"):
        onnx_runtime.open_runners(tmp_path, context_length=64, threads=1, device="cpu")
