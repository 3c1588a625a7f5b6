import os
import shutil
import sys
from pathlib import Path

import pytest

from pipeline.engine import identity
from pipeline.engine.errors import ModelDamaged, ModelMissing, NotEnoughMemory, Unsupported
from pipeline.engine.identity import choose_device, generator_digest
from pipeline.engine.load import open_generator
from pipeline.engine.manifest import relist, verify


@pytest.fixture
def copy(model_directory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_directory, tmp_path / "model"))


def test_a_generator_is_named_without_being_loaded(model_directory: Path) -> None:
    generator = open_generator(model_directory)
    assert generator.digest == generator_digest(model_directory)
    generator.close()


def test_the_name_changes_with_all_that_tokens_depend_on_and_with_nothing_else(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = generator_digest(copy)
    assert generator_digest(copy, threads=3) == name, "each answers for itself"
    assert generator_digest(copy, "torch", threads=3) != generator_digest(copy, "torch")
    assert generator_digest(copy, "torch") != name
    for part, tokens_change in (("gptq/config.json", False), ("onnx/genai_config.json", True)):
        path = copy / part
        path.write_text(path.read_text() + " ")
        relist(copy, {})
        assert (generator_digest(copy) != name) is tokens_change
    name = generator_digest(copy)
    monkeypatch.setattr(identity, "instruction_sets", lambda: ("x86_64", "avx2"))
    assert generator_digest(copy) != name
    monkeypatch.undo()
    monkeypatch.setattr(identity, "_version", lambda package: "0")
    assert generator_digest(copy) != name


def test_no_model_and_a_damaged_one_are_told_apart(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        open_generator(tmp_path / "none")
    data = copy / "onnx/model.onnx.data"
    os.truncate(data, data.stat().st_size - 1)
    with pytest.raises(ModelDamaged, match=r"model\.onnx\.data"):
        open_generator(copy)


@pytest.mark.parametrize("file", ["onnx/model.onnx", "onnx/genai_config.json", "tokenizer.json"])
def test_a_file_that_was_damaged_before_its_manifest_was_written_is_refused_too(file: str, copy: Path) -> None:
    (copy / file).write_bytes(b"{}" if file.endswith(".json") else b"no graph")
    before = verify_without_files(copy)
    with pytest.raises(ModelDamaged) as raised:
        open_generator(before)
    assert "\n" not in str(raised.value)


def verify_without_files(directory: Path) -> Path:
    """Write a manifest that vouches for what is there."""
    relist(directory, {})
    verify(directory)
    return directory


def test_too_little_memory_is_said_before_loading(model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.engine.memory.available_bytes", lambda: 1 << 20)
    with pytest.raises(NotEnoughMemory, match="1 MiB are available"):
        open_generator(model_directory)


def test_a_form_of_the_weights_that_the_model_lacks_is_named(model_directory: Path) -> None:
    with pytest.raises(ModelMissing, match="onnx-cuda; the model has float, gptq, onnx"):
        generator_digest(model_directory, device="cuda")


def test_a_runtime_that_is_not_installed_is_named(model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = identity._version
    monkeypatch.setattr(identity, "_version", lambda package: None if package == "torch" else installed(package))
    with pytest.raises(Unsupported, match="needs torch, which is not installed"):
        open_generator(model_directory, "torch")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "pipeline.engine.onnx_runtime", raising=False)
    with pytest.raises(Unsupported, match=r"install sysscan-agent again$"):
        open_generator(model_directory)


def test_without_a_gpu_the_cpu_is_chosen(model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert choose_device(model_directory, "onnx") == choose_device(model_directory, "torch") == "cpu"
