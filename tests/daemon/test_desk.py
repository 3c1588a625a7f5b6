"""The desk: a model that cannot be used is told of, and the rules answer."""

from pathlib import Path
from typing import Any

import pytest

from daemon.desk import open_desk
from daemon.settings import ModelSettings, Settings
from pipeline.analysis import ANALYSIS_VERSION
from pipeline.engine.manifest import relist
from tests.pipeline.benches import bench_of, documents, lines_of, report
from tests.pipeline.engine.directories import lay_out


def settings(tmp_path: Path, **model: Any) -> Settings:
    return Settings(state_dir=tmp_path / "state", model=ModelSettings(**model))


def test_without_a_model_there_is_nothing_to_tell(tmp_path: Path) -> None:
    desk = open_desk(settings(tmp_path, enabled=False))
    assert (desk.analyst, desk.notice, desk.provenance.runtime) == (None, None, ANALYSIS_VERSION)


def break_file(directory: Path) -> None:
    (directory / "onnx" / "model.onnx").write_bytes(b"something else")


def remove_file(directory: Path) -> None:
    (directory / "tokenizer.json").unlink()


def remove_manifest(directory: Path) -> None:
    (directory / "manifest.json").unlink()


def add_pickle(directory: Path) -> None:
    (directory / "onnx" / "weights.bin").write_bytes(b"\x80\x04.")


def misname_classes(directory: Path) -> None:
    relist(directory, {"classes": [5]})


@pytest.mark.parametrize("harm", [break_file, remove_file, remove_manifest, add_pickle, misname_classes])
def test_a_damaged_model_is_told_of_in_one_line_and_the_rules_answer(harm: Any, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    lay_out(directory)
    harm(directory)
    desk = open_desk(settings(tmp_path, path=directory))
    assert desk.analyst is None
    assert desk.notice is not None and "\n" not in desk.notice
    assert str(directory) in desk.notice or "hollow" in desk.notice
    lines = documents(lines_of(bench_of(report("micro-hardening.json"), desk), 256))
    assert {(line["analysis"]["origin"], line["analysis"]["fallback_reason"]) for line in lines} == {
        ("rules", "no_model")
    }


def test_a_model_that_is_whole_and_cannot_be_run_leaves_every_finding_to_the_rules(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    lay_out(directory)
    desk = open_desk(settings(tmp_path, path=directory))
    assert desk.notice is None and desk.analyst is not None
    lines = documents(lines_of(bench_of(report("micro-hardening.json"), desk), 256))
    assert {line["analysis"]["fallback_reason"] for line in lines} == {"model_failed"}
    assert desk.analyst.failure
    by_rules = documents(
        lines_of(bench_of(report("micro-hardening.json"), open_desk(settings(tmp_path, enabled=False))), 256)
    )
    assert [line["analysis"]["assessment"] for line in lines] == [line["analysis"]["assessment"] for line in by_rules]


def test_the_name_of_the_model_names_its_weights(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    manifest = lay_out(directory, "mine")
    desk = open_desk(settings(tmp_path, path=directory))
    assert desk.analyst is not None
    assert desk.analyst.model == f"mine@{manifest.part_digest('onnx')[:12]}"
