"""The command with a model that another program on this machine runs."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from daemon.settings import load_settings
from pipeline.errors import ConfigError
from tests.pipeline.engine.model_server import serving
from tests.pipeline.sessions import SCANS

SCAN = SCANS / "micro-sockets.json"


def analyze(address: str, state: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "SYSSCAN_MODEL__ENDPOINT": address, "SYSSCAN_STATE_DIR": str(state), **more}
    script = "from daemon.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, "analyze", str(SCAN)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def analyses(output: str) -> list[dict[str, Any]]:
    return [found["analysis"] for line in output.splitlines() if "analysis" in (found := json.loads(line))]


def test_its_answers_are_those_of_a_model_and_are_kept(tmp_path: Path) -> None:
    with serving(socket=tmp_path / "model.sock") as server:
        first = analyze(server.address, tmp_path / "state")
        asked = len(server.asked)
        again = analyze(server.address, tmp_path / "state")
    said = analyses(first.stdout)
    assert (first.returncode, first.stderr) == (0, "")
    assert Counter((one["origin"], one["model"].partition("@")[0]) for one in said) == {("model", "tiny"): len(said)}
    assert again.stdout == first.stdout
    assert asked > 1 and len(server.asked) == asked, "the second run asks nothing"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (None, "does the server run?"),
        ("lies", "does not hold its answers to a JSON schema"),
        ("broken", "out of memory"),
        ("redirects", "which is not followed"),
    ],
)
def test_without_an_answer_of_it_the_rules_answer_and_one_line_says_why(
    fault: str | None, says: str, tmp_path: Path
) -> None:
    with serving() as server:
        server.fault = fault
        done = analyze(server.address, tmp_path) if fault is not None else None
    done = done or analyze(server.address, tmp_path)
    said = analyses(done.stdout)
    assert done.returncode == 0
    assert {one["origin"] for one in said} == {"rules"}
    assert {one["fallback_reason"] for one in said} <= {"no_model", "model_failed"}
    (line,) = done.stderr.splitlines()
    assert says in line


def test_another_address_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    done = analyze("http://192.0.2.1:8080", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "setting model: http://192.0.2.1:8080 is not an address of this machine alone" in line


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"endpoint": "http://127.0.0.1:1", "threads": 2}, "threads has no effect beside endpoint"),
        ({"endpoint": "http://127.0.0.1:1", "path": "/models/one"}, "path has no effect beside endpoint"),
        ({"endpoint_model": "llama"}, "endpoint_model has no effect without endpoint"),
    ],
)
def test_what_has_no_effect_beside_it_is_named(model: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_settings({}, {"state_dir": "/nonexistent", "model": model})
