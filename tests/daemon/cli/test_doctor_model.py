"""What doctor says of a model is said in a line, whatever the model does."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.cli import doctor
from daemon.cli.exits import Exit
from pipeline.engine.errors import EngineError
from tests.pipeline.engine.model_server import serving


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
    monkeypatch.setattr(doctor, "model_process", Failing)
    code = doctor.examine({"state_dir": str(tmp_path), "model": {"enabled": True}}, None, as_json=True)
    assert code is Exit.USAGE
    checks = {check["check"]: check for check in map(json.loads, capsys.readouterr().out.splitlines())}
    assert checks["model"]["verdict"] == "problem"
    assert "out of memory" in checks["model"]["detail"] and "\n" not in checks["model"]["detail"]
    assert ended == [when]


def test_a_model_behind_an_endpoint_is_tried_and_one_that_is_down_is_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def checked() -> dict[str, str]:
        doctor.examine({"state_dir": str(tmp_path), "model": {"endpoint": server.address}}, None, as_json=True)
        checks = map(json.loads, capsys.readouterr().out.splitlines())
        return next(check for check in checks if check["check"] == "model")

    with serving() as server:
        up = checked()
        server.fault = "lies"
        lying = checked()
    down = checked()
    assert up["verdict"] == "ok" and f"at {server.address}; it holds an answer to a schema" in up["detail"]
    assert lying["verdict"] == "problem" and "does not hold its answers to a JSON schema" in lying["detail"]
    assert down["verdict"] == "problem" and "does the server run?" in down["detail"]
