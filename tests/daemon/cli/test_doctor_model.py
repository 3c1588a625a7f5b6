"""What doctor says of a model is said in a line, whatever the model does."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.cli import doctor
from daemon.cli.exits import Exit
from pipeline.engine.errors import NotEnoughMemory


class Failing:
    """A runner whose library fails."""

    def rewind(self, length: int) -> None:
        raise RuntimeError("out of memory\nat some address")


@pytest.mark.parametrize("when", ["loading", "measuring"])
def test_a_model_that_fails_is_a_problem_in_one_line(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load() -> Any:
        if when == "loading":
            raise NotEnoughMemory("out of memory")
        return SimpleNamespace(runner=Failing())

    monkeypatch.setattr(doctor, "open_model", lambda settings: SimpleNamespace(load=load))
    code = doctor.examine({"state_dir": str(tmp_path), "model": {"enabled": True}}, None, as_json=True)
    assert code is Exit.USAGE
    checks = {check["check"]: check for check in map(json.loads, capsys.readouterr().out.splitlines())}
    assert checks["model"]["verdict"] == "problem"
    assert "out of memory" in checks["model"]["detail"] and "\n" not in checks["model"]["detail"]
