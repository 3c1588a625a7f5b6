"""What a command prints as JSON may be looked at on a terminal: what turns or hides text is spelt in escapes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.display import UNSAFE, printable
from tests.daemon.cli.invoke import REPORT, Ended, in_a_process

Cli = Callable[..., Ended]
NAME = "/opt/\u202egnp.\u200bsh\u2028\x7f\x9b\U000e0041"
HOST = "web\u202e01"
NDJSON_LINE = 30_720


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = REPORT.read_text(encoding="utf-8")
    for plain, odd in (("/usr/local/bin/updater", NAME), ('"web01"', json.dumps(HOST))):
        text = text.replace(plain, odd if odd[0] == '"' else json.dumps(odd)[1:-1])
    report = json.loads(text)
    long = next(finding for result in report["results"] for finding in result["findings"])
    long["metadata"]["note"] = "\U000e0041" * 9_000  # 108,000 bytes as it is spelt
    path = tmp_path_factory.mktemp("hostile") / "report.json"
    path.write_text(json.dumps(report), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def state(hostile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("daemon") / "state"
    done = in_a_process(
        "run", "--once", "--watch", str(hostile), "--state-dir", str(state), SYSSCAN_MODEL__ENABLED="false"
    )
    assert done.code == 0, done.err
    return state


@pytest.fixture(autouse=True)
def without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers is of no matter here, and the rules are there at once."""
    monkeypatch.setenv("SYSSCAN_MODEL__ENABLED", "false")


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [one for pair in value.items() for part in pair for one in strings(part)]
    if isinstance(value, list):
        return [one for part in value for one in strings(part)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize(
    "command",
    [
        ["analyze", "REPORT"],
        ["analyze", "--format", "json", "REPORT"],
        ["analyze", "--format", "ocsf", "REPORT"],
        ["analyze", "--format", "sarif", "REPORT"],
        ["export", "--format", "oscal", "STATE"],
        ["export", "--format", "ndjson", "STATE"],
        ["report", "STATE"],
        ["report", "--list", "STATE"],
        ["review", "list", "--json", "--limit", "0", "STATE"],
        ["review", "list", "--json", "--text", NAME, "STATE"],
    ],
    ids=lambda command: " ".join(command).encode("ascii", "backslashreplace").decode(),
)
def test_no_command_prints_what_turns_or_hides_text(cli: Cli, hostile: Path, state: Path, command: list[str]) -> None:
    places = {"REPORT": [str(hostile)], "STATE": ["--state-dir", str(state)]}
    ended = cli(*[word for part in command for word in places.get(part, [part])])
    assert ended.code == 0, ended.err
    shown = ended.out.replace("\n", "")
    assert UNSAFE.search(shown) is None
    said = [text for line in ended.out.split("\n") if line for text in strings(json.loads(line))]
    # The strings are what they were, or, in what is told to people, made printable before.
    assert any(name in text for text in said for name in (HOST, NAME, printable(HOST), printable(NAME)))


def test_lines_keep_their_length_with_characters_that_take_twelve_bytes(cli: Cli, hostile: Path) -> None:
    lines = cli("analyze", hostile).out.encode().split(b"\n")
    assert max(map(len, lines)) < NDJSON_LINE
    cut = [json.loads(line)["cut"] for line in lines if b'"cut":' in line]
    assert any(part["what"] == "finding.metadata" for one in cut for part in one["parts"])
