"""A model that waits until it is needed: verified at once, loaded late, and given up once."""

import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from pipeline.engine.errors import EngineError, ModelDamaged, ModelMissing, NotEnoughMemory, RuntimeFault
from pipeline.engine.generator import Grammar
from pipeline.engine.lazy import LazyGenerator
from pipeline.engine.manifest import relist
from pipeline.engine.shipped import answer_key, write_answers
from tests.pipeline.engine.directories import lay_out

GRAMMAR = Grammar("{}")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Give a model without weights that brings one answer along."""
    weights = lay_out(tmp_path).part_digest("onnx")
    write_answers(tmp_path, weights, {answer_key("known", GRAMMAR): "said before"})
    relist(tmp_path, {})
    return tmp_path


def test_a_known_answer_needs_no_weights(directory: Path) -> None:
    generator = LazyGenerator(directory)
    assert generator.generate("known", GRAMMAR, 16) == "said before"
    assert (generator.num_known, generator.num_shipped, generator.num_fresh) == (1, 1, 0)


def test_a_known_answer_needs_no_runtime_in_the_process(directory: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pipeline.engine.generator import Grammar; "
        "from pipeline.engine.lazy import LazyGenerator; "
        f"print(LazyGenerator(Path({str(directory)!r})).generate('known', Grammar('{{}}'), 16)); "
        "print(sorted({'numpy', 'onnxruntime_genai', 'llguidance', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["said before", "[]"]


def test_what_is_not_known_is_asked_and_a_model_that_cannot_be_loaded_is_not_tried_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def fail(self: LazyGenerator) -> None:
        tries.append(self)
        raise NotEnoughMemory("too little")

    monkeypatch.setattr(LazyGenerator, "_open", fail)
    generator = LazyGenerator(directory)
    for _ in range(3):
        with pytest.raises(NotEnoughMemory):
            generator.generate("new", GRAMMAR, 16)
    assert len(tries) == 1
    assert generator.generate("known", GRAMMAR, 16) == "said before"


def test_a_model_that_cannot_be_loaded_keeps_nothing_of_each_question(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that is raised again and again collects the frames of each time, and all that they hold."""

    def fail(self: LazyGenerator) -> None:
        raise NotEnoughMemory("too little")

    monkeypatch.setattr(LazyGenerator, "_open", fail)
    generator = LazyGenerator(directory)
    depths = []
    for _ in range(4):
        with pytest.raises(NotEnoughMemory) as caught:
            generator.generate("new", GRAMMAR, 16)
        depths.append(len(list(traceback.walk_tb(caught.tb))))
    assert len(set(depths[1:])) == 1


def test_what_was_replaced_since_the_start_is_not_loaded_under_the_old_name(directory: Path) -> None:
    generator = LazyGenerator(directory)
    lay_out(directory, "newer")
    (directory / "onnx" / "model.onnx").write_bytes(b"other weights")
    relist(directory, {})
    with pytest.raises(ModelDamaged, match="start it again"):
        generator.generate("new", GRAMMAR, 16)
    assert generator.generate("known", GRAMMAR, 16) == "said before"


@pytest.mark.parametrize("fault", [RuntimeError("bad allocation\nat line 3"), MemoryError()])
def test_a_runtime_that_fails_in_an_answer_is_an_error_in_one_line(
    fault: Exception, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        def generate(self, prompt: str, grammar: Grammar, max_tokens: int) -> str:
            raise fault

    monkeypatch.setattr(LazyGenerator, "_open", lambda self: Failing())
    generator = LazyGenerator(directory)
    with pytest.raises(RuntimeFault) as caught:
        generator.generate("new", GRAMMAR, 16)
    assert "\n" not in str(caught.value)
    assert generator.num_fresh == 0


def test_weights_that_are_none_are_an_error_in_words(directory: Path) -> None:
    with pytest.raises(EngineError):
        LazyGenerator(directory).generate("new", GRAMMAR, 16)


def test_with_other_answers_it_has_another_name(directory: Path) -> None:
    names = {LazyGenerator(directory).digest, LazyGenerator(directory, shipped=False).digest}
    write_answers(directory, relist(directory, {}).part_digest("onnx"), {"0" * 24: "else"})
    relist(directory, {})
    names.add(LazyGenerator(directory).digest)
    assert len(names) == 3
    with pytest.raises(EngineError):
        LazyGenerator(directory, shipped=False).generate("known", GRAMMAR, 16)


def test_a_directory_that_is_not_whole_is_refused_before_anything_is_asked(directory: Path) -> None:
    (directory / "onnx" / "model.onnx").write_bytes(b"other weights")
    with pytest.raises(ModelDamaged):
        LazyGenerator(directory)
    with pytest.raises(ModelMissing):
        LazyGenerator(directory / "nowhere")
