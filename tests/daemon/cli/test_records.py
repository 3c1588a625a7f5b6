"""The commands that read records back: earlier versions' are shown, and what is none is said in one line."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from daemon.cli.show import show_record
from daemon.cli.summary import Shown
from pipeline.output.read import read_scan
from tests.daemon.cli.invoke import Ended
from tests.pipeline.sessions import record_of, report, resources, session_of

Cli = Callable[..., Ended]


def _shown(document: object) -> str:
    console = Console(file=io.StringIO(), width=100)
    show_record(console, read_scan(json.dumps(document).encode()), Shown(), detail=True)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_scan_record_of_the_first_version_is_shown() -> None:
    document = record_of(session_of(report("web01-ioc.json"), resources(), {}))
    now = _shown(document)
    told = document["issues"][0]["assessment"]
    assert told.split(".")[0][:40] in now
    del document["min_severity"]
    for issue in document["issues"]:
        del issue["assessment"], issue["impact"]
    before = _shown(document)
    assert told.split(".")[0][:40] not in before
    assert [issue["title"] for issue in document["issues"] if issue["title"] not in before] == []
    assert "What to do first" in before


def test_a_finding_from_before_a_model_could_answer_is_explained(cli: Cli, enriched: Path, tmp_path: Path) -> None:
    line = json.loads(enriched.read_text(encoding="utf-8").splitlines()[0])
    for key in ("text_by", "action", "controls", "techniques"):
        del line["analysis"][key]
    old = tmp_path / "old.ndjson"
    old.write_text(json.dumps(line, separators=(",", ":")) + "\n", encoding="utf-8")
    ended = cli("explain", "--from", old, "--format", "text", line["dedupe_key"])
    assert (ended.code, ended.err) == (0, "")
    assert f"analysis by {line['analysis']['origin']}" in ended.out


def test_what_is_explained_is_the_line_as_it_stands(cli: Cli, enriched: Path, tmp_path: Path) -> None:
    """A key that a newer version added is no reason to leave it out."""
    line = json.loads(enriched.read_text(encoding="utf-8").splitlines()[0])
    newer = tmp_path / "newer.ndjson"
    newer.write_text(json.dumps({**line, "added": 1}, separators=(",", ":")) + "\n", encoding="utf-8")
    told = json.loads(cli("explain", "--from", newer, line["dedupe_key"]).out)
    assert told["finding"] == {**line, "added": 1}


@pytest.mark.parametrize("format_", ["text", "json"])
def test_a_line_that_is_no_finding_is_named_with_the_reason(cli: Cli, tmp_path: Path, format_: str) -> None:
    file = tmp_path / "broken.ndjson"
    file.write_text('{"dedupe_key":"0123456789abcdef","schema":"sysscan.enriched/1"}\n', encoding="utf-8")
    ended = cli("explain", "--from", file, "--format", format_, "0123456789ab")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert f"{file}: the line of 0123456789ab cannot be read: fingerprint: is missing" in ended.err


def test_a_line_that_is_still_being_written_is_passed_over(cli: Cli, enriched: Path, tmp_path: Path) -> None:
    line = enriched.read_bytes().splitlines()[0]
    key = json.loads(line)["dedupe_key"]
    file = tmp_path / "growing.ndjson"
    file.write_bytes(line + b"\n" + line[: line.index(b'"finding"')])
    assert cli("explain", "--from", file, key).code == 0
