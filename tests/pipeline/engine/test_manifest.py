import errno
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.engine.errors import EngineError, ModelDamaged, ModelMissing, Unsupported
from pipeline.engine.manifest import MANIFEST, Manifest, read_manifest, verify, write_manifest

WEIGHTS = (2).to_bytes(8, "little") + b"{}" + bytes(64)


def describe(directory: Path) -> Manifest:
    return write_manifest(
        directory,
        name="small",
        kind="llama",
        base="scratch",
        prompt_version="prompt/1",
        context_length=512,
        parts={"onnx": "onnx", "gptq": "gptq"},
        record={"seed": 7},
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    for part in ("onnx", "gptq"):
        (directory / part).mkdir(parents=True)
    (directory / "tokenizer.json").write_text("{}")
    (directory / "onnx/model.onnx").write_bytes(b"graph")
    (directory / "onnx/model.onnx.data").write_bytes(b"weights" * 1000)
    (directory / "gptq/model.safetensors").write_bytes(WEIGHTS)
    describe(directory)
    return directory


def test_a_whole_model_is_verified_and_read_back_as_it_was_written(model: Path) -> None:
    read = verify(model)
    assert read == read_manifest(model) == describe(model)
    assert (read.name, read.kind, read.context_length, read.record) == ("small", "llama", 512, {"seed": 7})
    assert sorted(read.files) == ["gptq/model.safetensors", "onnx/model.onnx", "onnx/model.onnx.data", "tokenizer.json"]
    assert read.part_bytes("onnx") == 5 + 7000


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], object], type[EngineError], str]] = {
    "no manifest": (lambda d: (d / MANIFEST).unlink(), ModelMissing, "no such file"),
    "a manifest that is cut": (lambda d: (d / MANIFEST).write_text("{"), ModelDamaged, "cannot be read"),
    "a manifest that is no object": (lambda d: (d / MANIFEST).write_text("[]"), ModelDamaged, "not an object"),
    "a manifest of another time": (
        lambda d: (d / MANIFEST).write_text('{"schema": "sysscan.model/9"}'),
        Unsupported,
        "sysscan.model/9",
    ),
    "a manifest without files": (
        lambda d: (d / MANIFEST).write_text('{"schema": "sysscan.model/1"}'),
        ModelDamaged,
        "KeyError",
    ),
    "a missing file": (lambda d: (d / "onnx/model.onnx").unlink(), ModelDamaged, "onnx/model.onnx: missing"),
    "a flipped bit": (lambda d: flip(d / "onnx/model.onnx.data"), ModelDamaged, "sha256"),
    "a cut file": (lambda d: os.truncate(d / "onnx/model.onnx.data", 99), ModelDamaged, "99 bytes"),
    "a further file": (lambda d: (d / "gptq/more.json").write_text("{}"), ModelDamaged, "not in the manifest"),
    "a pickle": (lambda d: (d / "gptq/x.bin").write_bytes(pickle.dumps(1)), ModelDamaged, "x.bin: files of this kind"),
    "a module": (lambda d: (d / "gptq/modeling.py").write_text(""), ModelDamaged, "modeling.py: files of this kind"),
    "a pickle under another name": (
        lambda d: (d / "gptq/model.safetensors").write_bytes(pickle.dumps(list(range(99)))),
        ModelDamaged,
        "not a safetensors file",
    ),
    "a link": (lambda d: (d / "gptq/y.json").symlink_to("/etc/hostname"), ModelDamaged, "not a regular file"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_refused_with_one_line_that_says_where(name: str, model: Path) -> None:
    damage, kind, reason = DAMAGE[name]
    damage(model)
    with pytest.raises(kind) as raised:
        verify(model)
    assert reason in str(raised.value) and str(model) in str(raised.value) and "\n" not in str(raised.value)


def test_a_file_that_this_user_may_not_read_is_refused_with_one_line_that_says_where(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, opened = model / "onnx/model.onnx.data", Path.open

    def refuse(path: Path, *args: Any, **options: Any) -> Any:
        if path == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ModelDamaged, match="cannot be read: Permission denied; ") as caught:
        verify(model)
    assert str(closed) in str(caught.value)


def test_a_directory_that_is_not_there_is_a_missing_model(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        verify(tmp_path / "none")


def test_a_part_is_named_by_its_own_files_and_the_tokenizer(model: Path) -> None:
    before = read_manifest(model)
    (model / "card.md").write_text("how good it is")
    flip(model / "gptq/model.safetensors")
    after = describe(model)
    assert after.part_digest("onnx") == before.part_digest("onnx")
    assert after.part_digest("gptq") != before.part_digest("gptq")
    assert after.digest != before.digest
    (model / "tokenizer.json").write_text("{ }")
    assert describe(model).part_digest("onnx") != before.part_digest("onnx")


def test_a_part_that_the_model_lacks_is_missing(model: Path) -> None:
    with pytest.raises(ModelMissing, match="no 'float' part, only gptq, onnx"):
        read_manifest(model).part_digest("float")


def test_no_manifest_is_written_over_a_pickle_or_without_weights(model: Path) -> None:
    (model / "gptq/optimizer.pt").write_bytes(b"")
    with pytest.raises(ModelDamaged, match=r"optimizer\.pt"):
        describe(model)
    (model / "gptq/optimizer.pt").unlink()
    (model / "gptq/model.safetensors").unlink()
    with pytest.raises(ModelMissing, match="gptq"):
        describe(model)


def test_equal_directories_have_equal_manifests(model: Path) -> None:
    first = (model / MANIFEST).read_bytes()
    describe(model)
    assert (model / MANIFEST).read_bytes() == first
    assert json.loads(first)["schema"] == "sysscan.model/1"
