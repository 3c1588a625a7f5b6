"""`model …`: what a person sees of the registry, and what the daemon makes of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.models.embedded import EMBEDDED_MODEL
from pipeline.models.registry import EMBEDDED
from tests.daemon.cli.invoke import REPORT, Ended, in_a_process, on_a_terminal
from tests.pipeline.engine.directories import lay_out

Cli = Callable[..., Ended]


@pytest.fixture
def place(tmp_path: Path) -> tuple[str, str]:
    return "--state-dir", str(tmp_path / "state")


def rows(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def test_one_is_added_tried_promoted_named_by_every_line_and_rolled_back(
    cli: Cli, place: tuple[str, str], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(EMBEDDED_MODEL, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "name": "tuned"}))
    (added,) = rows(cli("model", "add", copy, *place))
    assert (added["name"], added["incumbent"]) == ("tuned", False)

    (promoted,) = rows(cli("model", "promote", added["digest"][:8], "--reason", "a test", "--author", "me", *place))
    assert (promoted["digest"], promoted["by"], promoted["reason"]) == (added["digest"], "me", "a test")
    assert [row["name"] for row in rows(cli("model", "list", *place)) if row["incumbent"]] == ["tuned"]
    assert models(tmp_path) == {"tuned"}

    (back,) = rows(cli("model", "rollback", *place))
    assert (back["digest"], back["kind"]) == (EMBEDDED, "rollback")
    assert models(tmp_path) == {"sysscan-small"}
    (shown,) = rows(cli("model", "show", added["digest"], *place))
    assert [change["kind"] for change in shown["changes"]] == ["promote"]


def models(tmp_path: Path) -> set[str]:
    """Run the daemon on a report, and give the names of the models that its lines name."""
    inbox, output = tmp_path / "in", tmp_path / "out.ndjson"
    inbox.mkdir(exist_ok=True)
    output.unlink(missing_ok=True)
    state = tmp_path / "state"
    for left in state.glob("ledger*"):
        left.unlink()
    shutil.copy(REPORT, inbox)
    done = in_a_process("run", "--once", "--watch", str(inbox), "--state-dir", str(state), "-o", str(output))
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    named = {line["analysis"]["model"] for line in lines if line["schema"] == "sysscan.enriched/1"} - {None}
    return {name.partition("@")[0] for name in named}


def test_one_that_cannot_run_here_is_not_promoted(cli: Cli, place: tuple[str, str], tmp_path: Path) -> None:
    lay_out(tmp_path / "hollow")
    (added,) = rows(cli("model", "add", tmp_path / "hollow", *place))
    ended = cli("model", "promote", added["digest"], *place)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith(f"sysscan-agent: model {added['digest'][:12]}: ")
    assert rows(cli("model", "list", *place))[-1]["incumbent"]  # that of the program


def test_one_that_was_trained_on_other_prompts_is_not_promoted(
    cli: Cli, place: tuple[str, str], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(EMBEDDED_MODEL, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "prompt_version": "prompt/0"}))
    (added,) = rows(cli("model", "add", copy, *place))
    ended = cli("model", "promote", added["digest"], *place)
    assert ended.code == 2
    assert "trained on prompt/0" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show", "nosuchmodel"], 4, "no such model"),
        (["promote", "nosuchmodel"], 4, "no such model"),
        (["verify", "nosuchmodel"], 4, "no such model"),
        (["add", "/nowhere/at-all"], 2, "/nowhere/at-all/manifest.json: no such file"),
        (["rollback"], 2, "nothing was promoted"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_one_line(
    cli: Cli, place: tuple[str, str], arguments: list[str], code: int, said: str
) -> None:
    ended = cli("model", *arguments, *place)
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert said in ended.err


def test_a_damaged_one_is_found_and_as_incumbent_leaves_its_place_to_the_rules(
    cli: Cli, place: tuple[str, str], tmp_path: Path
) -> None:
    (added,) = rows(cli("model", "add", EMBEDDED_MODEL, *place))
    cli("model", "promote", added["digest"], *place)
    weights = tmp_path / "state" / "models" / added["digest"] / "onnx" / "model.onnx.data"
    with weights.open("r+b") as file:
        file.write(b"\0\0\0\0")
    ended = cli("model", "verify", *place)
    assert ended.code == 1
    assert [row["fault"] is None for row in rows(ended)] == [False, True]
    assert models(tmp_path) == set()
    doctor = cli("doctor", "--json", *place)
    assert "its sha256 is not that of the manifest" in doctor.out


def test_a_setting_that_beats_the_registry_is_named(
    cli: Cli, place: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYSSCAN_MODEL__PATH", str(EMBEDDED_MODEL))
    assert "model.path is set" in cli("model", "list", *place).err
    monkeypatch.setenv("SYSSCAN_MODEL__ENABLED", "false")
    assert "model.enabled is off" in cli("model", "list", *place).err


def test_a_terminal_gets_words(place: tuple[str, str]) -> None:
    listed = on_a_terminal("model", "list", *place)
    assert (listed.code, listed.err) == (0, "")
    assert "answers" in listed.out
    assert "sysscan-small" in listed.out
    shown = on_a_terminal("model", "show", *place)
    assert "random weights" in shown.out
