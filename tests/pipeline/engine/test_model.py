"""A model on disk: verified at once, named, and with answers that need neither weights nor a runtime."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.engine.errors import EngineError, ModelDamaged, ModelMissing
from pipeline.engine.generator import Grammar
from pipeline.engine.manifest import relist
from pipeline.engine.model import Checkpoint, Model
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


def test_shipped_answers_are_found_by_prompt_and_grammar(directory: Path) -> None:
    model = Model(directory)
    assert model.num_shipped == 1
    assert model.shipped_answer("known", GRAMMAR) == "said before"
    assert model.shipped_answer("known", Grammar('{"type":"string"}')) is None
    assert model.shipped_answer("new", GRAMMAR) is None
    assert Model(directory, shipped=False).shipped_answer("known", GRAMMAR) is None


def test_looking_at_a_model_needs_no_runtime(directory: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pipeline.engine.generator import Grammar; "
        "from pipeline.engine.model import Model; "
        f"print(Model(Path({str(directory)!r})).shipped_answer('known', Grammar('{{}}'))); "
        "print(sorted({'numpy', 'onnxruntime', 'llguidance', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["said before", "[]"]


def test_with_other_answers_it_has_another_name(directory: Path) -> None:
    names = {Model(directory).digest, Model(directory, shipped=False).digest}
    write_answers(directory, relist(directory, {}).part_digest("onnx"), {"0" * 24: "else"})
    relist(directory, {})
    names.add(Model(directory).digest)
    assert len(names) == 3
    assert Model(directory).generator_digest == Model(directory, shipped=False).digest


def test_a_directory_that_is_not_whole_is_refused(directory: Path) -> None:
    (directory / "onnx" / "model.onnx").write_bytes(b"other weights")
    with pytest.raises(ModelDamaged):
        Model(directory)
    with pytest.raises(ModelMissing):
        Model(directory / "nowhere")


def test_a_checkpoint_that_is_none_is_refused(directory: Path) -> None:
    with pytest.raises(ModelMissing):
        Checkpoint(directory)
    (directory / "config.json").write_text('{"architectures": ["Other"]}')
    with pytest.raises(EngineError, match="Other"):
        Checkpoint(directory)
