"""What training needs, looked at before it is begun."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.checks import Check
from pipeline.engine.memory import available_bytes
from trainer.cli.app import app
from trainer.recipes.doctor import PACKAGES, examine
from trainer.recipes.tune import PRESETS
from trainer.settings import TuneSettings

ALL = dict.fromkeys(PACKAGES, "1.0")
AMX = ("x86_64", "avx512f", "amx_bf16")
GIB = 1 << 30


def verdicts(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.verdict for check in checks}


def test_a_machine_that_has_everything_is_well(tmp_path: Path) -> None:
    found = verdicts(examine(tmp_path / "run", available=64 * GIB, sets=AMX, installed=ALL))
    del found["base"]  # whether the package is there is nobody's business here
    assert set(found.values()) == {"ok"}
    assert {f"preset {name}" for name in PRESETS} < set(found)
    assert not (tmp_path / "run").exists()


def test_each_thing_that_is_missing_is_named_with_what_to_do(tmp_path: Path) -> None:
    few = {name: version for name, version in ALL.items() if name != "peft"}
    checks = {check.name: check for check in examine(tmp_path, available=GIB, sets=("x86_64",), installed=few)}
    assert checks["packages"].verdict == "problem"
    assert checks["packages"].detail == "not installed: peft"
    assert checks["packages"].advice
    assert checks["processor"].verdict == "warning"
    assert "without AMX" in checks["processor"].detail
    assert {name: checks[f"preset {name}"].verdict for name in PRESETS} == {
        "small": "problem", "base-cut": "warning", "base": "warning",
    }  # fmt: skip
    assert "too little memory" in checks["preset small"].advice


def test_memory_decides_which_presets_fit(tmp_path: Path) -> None:
    for name, preset in PRESETS.items():
        for spare, verdict in ((0, "ok"), (-1, "problem" if name == "small" else "warning")):
            memory = preset.memory * (1 << 20) + spare
            assert verdicts(examine(tmp_path, available=memory, sets=AMX, installed=ALL))[f"preset {name}"] == verdict


def test_more_cases_and_passes_are_more_tokens() -> None:
    preset = PRESETS["small"]
    plain = preset.tokens_of(TuneSettings(size=1000, epochs=1, unknown_share=0))
    assert plain == 1000 * preset.tokens
    assert preset.tokens_of(TuneSettings(size=1000, epochs=2, unknown_share=0.5)) == 4 * plain
    assert preset.tokens_of(TuneSettings(max_steps=10)) == 10 * 16 * preset.tokens


def test_the_command_ends_with_an_error_where_nothing_can_be_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.recipes.doctor._installed", lambda: {})
    done = CliRunner().invoke(app, ["doctor", "--output", str(tmp_path / "deep" / "run")])
    assert done.exit_code == 1
    assert f"not installed: {', '.join(PACKAGES)}" in done.output
    assert f"free at {tmp_path}" in done.output
    monkeypatch.setattr("trainer.recipes.doctor._installed", lambda: ALL)
    assert available_bytes() > PRESETS["small"].memory << 20, "or this machine cannot train at all"
    assert CliRunner().invoke(app, ["doctor", "--output", str(tmp_path)]).exit_code == 0
