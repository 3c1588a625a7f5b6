"""The record of a run, and what is refused before one begins."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from trainer.preflight import check_disk, check_memory
from trainer.record.run_directory import RunDirectory, code_version, files_digest
from trainer.settings import FinetuneSettings, PretrainSettings, QuantizeSettings, make_settings

SETTINGS = {"seed": 3, "batch": 4, "threads": 1}
INPUTS = {"data": "abc"}


def test_a_run_records_settings_inputs_code_and_versions(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.begin("pretrain", SETTINGS, INPUTS, resume=False)
    run.finish({"steps": 7})
    record = run.record()
    assert record["settings"] == SETTINGS
    assert record["inputs"] == INPUTS
    assert record["outcome"] == {"steps": 7}
    assert record["code"] == code_version()
    assert "pydantic" in record["versions"]


def test_a_directory_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(ConfigError, match=r"not empty; name another output$"):
        RunDirectory(tmp_path).begin("pretrain", SETTINGS, INPUTS, resume=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(ConfigError, match="not a directory"):
        RunDirectory(tmp_path / "run").begin("pretrain", SETTINGS, INPUTS, resume=False)


def test_a_run_goes_on_with_the_same_settings_and_other_threads(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.begin("pretrain", SETTINGS, INPUTS, resume=False)
    run.begin("pretrain", {**SETTINGS, "threads": 2}, INPUTS, resume=True)


@pytest.mark.parametrize(
    ("recipe", "settings", "inputs", "message"),
    [
        ("finetune", SETTINGS, INPUTS, "a run of pretrain, not of finetune"),
        ("pretrain", {**SETTINGS, "seed": 4}, INPUTS, "begun with seed=3, cannot go on with seed=4"),
        ("pretrain", SETTINGS, {"data": "other"}, "data has changed since the run began"),
    ],
)
def test_a_run_does_not_go_on_as_another(
    tmp_path: Path, recipe: str, settings: dict[str, int], inputs: dict[str, str], message: str
) -> None:
    run = RunDirectory(tmp_path / "run")
    run.begin("pretrain", SETTINGS, INPUTS, resume=False)
    with pytest.raises(ConfigError, match=message):
        run.begin(recipe, settings, inputs, resume=True)


def test_a_finished_run_does_not_go_on(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.begin("pretrain", SETTINGS, INPUTS, resume=False)
    run.finish({})
    with pytest.raises(ConfigError, match="this run is finished"):
        run.begin("pretrain", SETTINGS, INPUTS, resume=True)


def test_there_has_to_be_something_to_resume(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to resume"):
        RunDirectory(tmp_path).begin("pretrain", SETTINGS, INPUTS, resume=True)


def test_the_digest_of_files_changes_with_a_byte_and_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = files_digest(tmp_path)
    (tmp_path / "a").write_text("2")
    second = files_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, files_digest(tmp_path)}) == 3


def test_too_little_memory_or_disk_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs 2 MiB of memory, 1 MiB are available; take a smaller base"):
        check_memory(2 << 20, 1 << 20, "training", "take a smaller base")
    check_memory(1 << 20, 1 << 20, "training", "")
    with pytest.raises(ConfigError, match=r"needs \d+ MiB of disk"):
        check_disk(1 << 60, tmp_path / "not" / "there")
    check_disk(0, tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bits": 3}, "bits: "),
        ({"group_size": 100}, "group_size: "),
        ({"examples": 0}, "examples: .*not 0"),
        ({"groups": 128}, "groups: unknown setting; there are .*group_size"),
    ],
)
def test_options_of_the_quantiser_are_checked(values: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_settings(QuantizeSettings, values)


def test_shapes_that_are_no_model_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"hidden \(102\) is no multiple of heads \(4\)"):
        make_settings(PretrainSettings, {"hidden": 102})
    with pytest.raises(ConfigError, match="min_learning_rate is above learning_rate"):
        make_settings(FinetuneSettings, {"learning_rate": 1e-6})


def test_the_defaults_of_finetuning_are_those_of_the_design() -> None:
    settings = make_settings(FinetuneSettings, {})
    assert (settings.rank, settings.alpha, settings.dropout) == (16, 32, 0.05)
    assert (settings.beta1, settings.beta2, settings.weight_decay) == (0.9, 0.99, 0.01)
    assert (settings.learning_rate, settings.min_learning_rate, settings.warmup) == (1e-4, 1e-5, 0.1)
    assert (settings.batch, settings.accumulation, settings.max_tokens) == (4, 8, 512)
    assert (settings.optimizer, settings.gradient_checkpointing) == ("lion_8bit", True)
