"""The resources: a model that cannot be used is told of, and the rules answer."""

from pathlib import Path
from typing import Any

import pytest

from daemon.resources import open_resources
from daemon.settings import ModelSettings, Settings
from pipeline.analysis.question import ANALYSIS_VERSION
from pipeline.engine.manifest import relist
from tests.pipeline.engine.directories import lay_out
from tests.pipeline.sessions import documents, lines_of, report, session_of


def settings(tmp_path: Path, **model: Any) -> Settings:
    return Settings(state_dir=tmp_path / "state", model=ModelSettings(**model))


def test_without_a_model_there_is_nothing_to_tell(tmp_path: Path) -> None:
    resources = open_resources(settings(tmp_path, enabled=False))
    assert (resources.analyst, resources.notice, resources.provenance.runtime) == (None, None, ANALYSIS_VERSION)


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
    resources = open_resources(settings(tmp_path, path=directory))
    assert resources.analyst is None
    assert resources.notice is not None and "\n" not in resources.notice
    assert str(directory) in resources.notice or "hollow" in resources.notice
    lines = documents(lines_of(session_of(report("micro-hardening.json"), resources), 256))
    assert {(line["analysis"]["origin"], line["analysis"]["fallback_reason"]) for line in lines} == {
        ("rules", "no_model")
    }


def test_a_model_that_is_whole_and_cannot_be_run_leaves_every_finding_to_the_rules(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    lay_out(directory)
    resources = open_resources(settings(tmp_path, path=directory))
    assert resources.notice is None and resources.analyst is not None
    lines = documents(lines_of(session_of(report("micro-hardening.json"), resources), 256))
    assert {line["analysis"]["fallback_reason"] for line in lines} == {"model_failed"}
    assert resources.analyst.failure
    by_rules = documents(
        lines_of(session_of(report("micro-hardening.json"), open_resources(settings(tmp_path, enabled=False))), 256)
    )
    assert [line["analysis"]["assessment"] for line in lines] == [line["analysis"]["assessment"] for line in by_rules]


def test_the_name_of_the_model_names_its_weights(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    manifest = lay_out(directory, "mine")
    resources = open_resources(settings(tmp_path, path=directory))
    assert resources.analyst is not None
    assert resources.analyst.model == f"mine@{manifest.part_digest('onnx')[:12]}"
