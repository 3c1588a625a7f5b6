"""`evaluate`: a scorecard of a model directory, and one line where there is none to be had."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.cli.invoke import Ended, in_a_process, on_a_terminal
from tests.pipeline.engine.conftest import model_directory  # noqa: F401  (a fixture)
from tests.pipeline.engine.directories import lay_out

Cli = Callable[..., Ended]
NOWHERE = "/nowhere/at-all"


@pytest.fixture
def hollow(tmp_path: Path) -> Path:
    lay_out(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", NOWHERE], f"{NOWHERE}/manifest.json: no such file"),
        (["--data", NOWHERE], f"{NOWHERE}/dataset.json: No such file or directory; name a directory that"),
        (["--limit", "0"], "'--limit'"),
        (["--threads", "0"], "'--threads'"),
        (["--runtime", "magic"], "'--runtime'"),
        (["--runtime", "torch"], "the model has onnx"),
        ([], ""),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_said_in_one_line(cli: Cli, hollow: Path, arguments: list[str], said: str) -> None:
    model = [] if "--model" in arguments else ["--model", str(hollow)]
    ended = cli("evaluate", *model, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("sysscan-agent: ")
    assert ended.err.count("\n") == 1
    assert said in ended.err


def test_a_damaged_model_is_refused(cli: Cli, hollow: Path) -> None:
    (hollow / "tokenizer.json").write_text("[]")
    ended = cli("evaluate", "--model", hollow)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "its sha256 is not that of the manifest" in ended.err


def measured(*arguments: str) -> dict[str, Any]:
    ended = in_a_process("evaluate", *arguments)
    # The holdouts are frozen, and knowledge goes on: then a line says so, and nothing else does.
    said = [line for line in ended.err.splitlines() if not line.endswith("their right answers may differ")]
    assert (ended.code, said) == (0, [])
    body: dict[str, Any] = json.loads(ended.out)
    return body


def without_times(body: dict[str, Any]) -> dict[str, Any]:
    for card in body["holdouts"].values():
        del card["milliseconds"]
    return body


def test_a_pipe_gets_the_scorecard_and_another_process_the_same(model_directory: Path) -> None:  # noqa: F811
    one, other = (measured("--model", str(model_directory), "--limit", "3") for _ in range(2))
    assert one["schema"] == "sysscan.scorecard/1"
    assert {name: card["cases"] for name, card in one["holdouts"].items()} == {"instance": 3, "class": 3}
    assert all(card["valid"] == 1 for card in one["holdouts"].values())  # random weights under the grammar
    assert one["repeated"] == {"asked": 6, "same": 6}
    assert (one["hostile"]["changed"], one["hostile"]["asked"], one["hostile"]["said"]) == ([], [], [])
    assert without_times(one) == without_times(other)


def test_a_terminal_gets_a_table(model_directory: Path) -> None:  # noqa: F811
    ended = on_a_terminal("evaluate", "--model", str(model_directory), "--limit", "1")
    assert (ended.code, ended.err) == (0, "")
    assert "controls and techniques, F1" in ended.out
    assert "asked again in another process: 2 of 2 answers are the same" in ended.out
