"""What doctor says of a model is said in a line, whatever the model does."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.cli import doctor
from daemon.cli.exits import Exit
from pipeline.engine.errors import EngineError


@pytest.mark.parametrize("when", ["loading", "measuring"])
def test_a_model_that_fails_is_a_problem_in_one_line(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing:
        """A process of a model whose library fails."""

        def __init__(self, model: Any) -> None:
            self.closed = False

        def load(self) -> float:
            if when == "loading":
                raise EngineError("out of memory\nat some address")
            return 0.1

        def measure(self) -> Any:
            raise EngineError("out of memory\nat some address")

        def close(self) -> None:
            ended.append(when)

    ended: list[str] = []
    monkeypatch.setattr(doctor, "open_model", lambda settings: SimpleNamespace())
    monkeypatch.setattr(doctor, "ModelProcess", Failing)
    code = doctor.examine({"state_dir": str(tmp_path), "model": {"enabled": True}}, None, as_json=True)
    assert code is Exit.USAGE
    checks = {check["check"]: check for check in map(json.loads, capsys.readouterr().out.splitlines())}
    assert checks["model"]["verdict"] == "problem"
    assert "out of memory" in checks["model"]["detail"] and "\n" not in checks["model"]["detail"]
    assert ended == [when]
