"""`analyze --host` and `--as-of`: what a report says itself counts, and an option that does not count is named."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.cli.invoke import REPORT, SCANS, Ended

Cli = Callable[..., Ended]
NAMELESS = SCANS / "web01-wk2-rules.sarif"  # of no host, and of no time
GIVEN = "2026-12-01T10:00:00.5+02:00"
TAKEN = "2026-12-01T08:00:00Z"


@pytest.fixture(autouse=True)
def without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers is of no matter here, and the rules are there at once."""
    monkeypatch.setenv("SYSSCAN_MODEL__ENABLED", "false")


def record(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended.err
    found: dict[str, Any] = json.loads(ended.out.splitlines()[-1])
    return found


def test_a_report_that_says_neither_takes_both(cli: Cli) -> None:
    ended = cli("analyze", "--host", "db9", "--as-of", GIVEN, NAMELESS)
    assert (record(ended)["host"], record(ended)["as_of"], ended.err) == ("db9", TAKEN, "")


def test_a_report_that_says_both_keeps_them_and_that_is_said(cli: Cli) -> None:
    plain = record(cli("analyze", REPORT))
    ended = cli("analyze", "--host", "db9", "--as-of", GIVEN, REPORT, NAMELESS)
    lines = [json.loads(line) for line in ended.out.splitlines()]
    first, second = (line for line in lines if line["schema"] == "sysscan.scan/1")
    assert (first["host"], first["as_of"]) == ("web01", plain["as_of"])
    assert (second["host"], second["as_of"]) == ("db9", TAKEN)
    host, time = ended.err.splitlines()
    assert host == f"sysscan-agent: --host db9: {REPORT} names its host, web01, and that counts"
    assert time.startswith(
        f"sysscan-agent: --as-of {TAKEN}: {REPORT} says when it was made, {plain['as_of']}, and that"
    )


def test_what_the_report_says_too_needs_no_word(cli: Cli) -> None:
    time = record(cli("analyze", REPORT))["as_of"]
    assert cli("analyze", "--host", "web01", "--as-of", time, REPORT).err == ""


def test_a_report_that_no_baseline_can_be_kept_of_is_named(cli: Cli, tmp_path: Path) -> None:
    ended = cli("analyze", "--record", "--state-dir", tmp_path, NAMELESS)
    assert ended.code == 0
    assert ended.err.startswith(f"sysscan-agent: --record: {NAMELESS} does not say of which host it is")
    assert cli("analyze", "--record", "--state-dir", tmp_path, REPORT).err == ""


def test_times_have_one_form_whoever_says_them(cli: Cli) -> None:
    """A reader that compares them as texts must not find the same second earlier or later."""
    for arguments in ([REPORT], [NAMELESS], ["--as-of", GIVEN, NAMELESS]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record(cli("analyze", *arguments))["as_of"])


def test_an_acceptance_ends_by_when_the_report_came_in_too(cli: Cli, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("allow: [{class: 'ioc.*', owner: ops, reason: known, expires: 2026-11-20}]\n", encoding="utf-8")

    def accepted(*options: str) -> int:
        return int(record(cli("analyze", "--policy", policy, *options, REPORT))["counts"]["status"].get("accepted", 0))

    assert accepted("--as-of", "2026-11-10T00:00:00Z") > 0
    assert accepted("--as-of", "2026-11-21T00:00:00Z") == 0
