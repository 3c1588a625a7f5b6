"""`--fail-on` and the filters: what is too bad has an exit code of its own, and what was not asked for is left out."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.cli.invoke import REPORT, SCANS, Ended

Cli = Callable[..., Ended]
ROOT = Path(__file__).parents[3]
CALM = SCANS / "web01-containers.json"


def findings(text: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, text.splitlines()) if line["schema"] == "sysscan.enriched/1"]


@pytest.mark.parametrize("form", ["text", "ndjson", "sarif", "markdown"])
def test_two_criticals_do_not_end_well_where_a_gate_was_asked_for(cli: Cli, form: str) -> None:
    assert cli("analyze", "--format", form, REPORT).code == 0
    ended = cli("analyze", "--format", form, "--fail-on", "critical", REPORT)
    assert (ended.code, ended.out) == (5, cli("analyze", "--format", form, REPORT).out)
    assert ended.err == "sysscan-agent: --fail-on critical: 2 issues (2 findings) of this level or worse\n"
    assert cli("analyze", "--format", form, "--fail-on", "info", CALM).code == 0


def test_report_and_export_have_the_same_gate(cli: Cli, state: Path, enriched: Path) -> None:
    of_ledger = ["--state-dir", state, "--fail-on"]
    assert cli("report", "--format", "text", *of_ledger, "critical").code == 5
    assert cli("report", *of_ledger, "high").code == 5
    assert cli("export", "--format", "csv", *of_ledger, "critical").code == 5
    assert cli("export", "--format", "csv", "--fail-on", "critical", enriched).code == 5
    assert cli("export", "--format", "csv", "--class", "mac.*", "--fail-on", "high", enriched).code == 0


def test_what_is_accepted_stops_no_gate(cli: Cli, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    entries = ", ".join(
        f"{{class: '{name}', owner: ops, reason: known, expires: 2027-06-30}}" for name in ("ioc.*", "mac.*")
    )
    policy.write_text(f"allow: [{entries}]\n", encoding="utf-8")
    ended = cli("analyze", "--policy", policy, "--fail-on", "medium", REPORT)
    assert (ended.code, ended.err) == (0, "")
    text = cli("analyze", "--format", "text", "--policy", policy, "--show-accepted", REPORT).out
    assert "Accepted, or called a false positive" in text
    assert text.count("  accepted, ops until 2027-06-30  ") == len(
        [one for one in findings(cli("analyze", "--policy", policy, REPORT).out) if one["status"] == "accepted"]
    )


def test_a_gate_on_lines_that_are_cut_off_goes_by_the_record(cli: Cli, enriched: Path, tmp_path: Path) -> None:
    *_, record = enriched.read_bytes().splitlines(keepends=True)
    cut = tmp_path / "cut.ndjson"
    cut.write_bytes(record)
    ended = cli("export", "--format", "csv", "--fail-on", "critical", cut)
    assert ended.code == 5
    assert "2 findings of this level or worse; 2 of the findings are not in the input" in ended.err


def test_a_gate_counts_more_than_input_that_cannot_be_used(cli: Cli, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{", encoding="utf-8")
    assert cli("analyze", bad, CALM).code == 1
    assert cli("analyze", "--fail-on", "critical", bad, REPORT).code == 5


def test_filters_give_what_they_say(cli: Cli) -> None:
    every = findings(cli("analyze", REPORT).out)
    high = findings(cli("analyze", "--level", "high", REPORT).out)
    assert high == [one for one in every if one["risk"]["level"] in ("high", "critical")]
    assert 0 < len(high) < len(every)
    some = findings(cli("analyze", "--class", "ioc.*", "--class", "mac.apparmor", REPORT).out)
    assert some == [one for one in every if one["class"].startswith("ioc.") or one["class"] == "mac.apparmor"]
    text = cli("analyze", "--format", "text", "--level", "high", REPORT).out
    assert "issues of --level high, " in text
    assert "Left out, not of --level high: 7 issues" in text
    said = cli("analyze", "--format", "markdown", "--level", "high", REPORT).out
    assert "Only findings of --level high were asked for" in said.replace("\\", "")


def test_new_means_new_since_the_scan_before(cli: Cli, tmp_path: Path) -> None:
    def recorded(report: str, *options: str) -> Ended:
        return cli("analyze", "--record", "--state-dir", tmp_path, *options, SCANS / report)

    assert recorded("db02-drift-1.json").code == 0
    second = recorded("db02-drift-2.json", "--new")
    states = {one["baseline"]["state"] for one in findings(second.out)}
    assert states <= {"new", "regressed"}
    assert states
    again = recorded("db02-drift-2.json", "--new", "--fail-on", "info")
    assert (again.code, findings(again.out)) == (0, [])
    without = cli("analyze", "--new", "--fail-on", "low", SCANS / "db02-drift-2.json")
    assert without.code == 5  # nothing is known of earlier scans, so nothing is old
    assert "no earlier scans are known of some findings" in without.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["analyze", "--detail", str(REPORT)],
        ["analyze", "--show-accepted", "--format", "csv", str(REPORT)],
        ["analyze", "--format", "text", "--output", "x", str(REPORT)],
        ["analyze", "--fail-on", "severe", str(REPORT)],
        ["doctor", "--json", "--format", "text"],
    ],
)
def test_what_has_no_effect_is_refused(cli: Cli, arguments: list[str]) -> None:
    ended = cli(*arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)


def run_in_a_pipe(reader: str, *arguments: object) -> tuple[int, str]:
    """Run the program with its output in a pipe; give its exit code and what it said."""
    command = " ".join(shlex.quote(str(one)) for one in (sys.executable, "-m", "daemon.cli", *arguments))
    script = f"{command} 2>said | {reader} >/dev/null; echo ${{PIPESTATUS[0]}}; cat said"
    with tempfile.TemporaryDirectory() as place:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "SYSSCAN_STATE_DIR": place}
        done = subprocess.run(
            ["bash", "-c", script], cwd=place, capture_output=True, text=True, check=True, env=environment
        )
    code, _, said = done.stdout.partition("\n")
    return int(code), said


@pytest.mark.parametrize("reader", ["head -1", "true", "cat"])
def test_a_reader_that_leaves_early_does_not_open_the_gate(reader: str) -> None:
    code, said = run_in_a_pipe(reader, "analyze", SCANS / "db02-full.json.gz", "--fail-on", "low")
    assert code == 5 and said.startswith("sysscan-agent: --fail-on low: ")
    assert run_in_a_pipe(reader, "analyze", SCANS / "db02-full.json.gz")[0] == 0


@pytest.mark.parametrize("kept", ["sysscan.enriched", "sysscan.issue"])
def test_saved_lines_without_their_record_do_not_pass(kept: str, cli: Cli, enriched: Path, tmp_path: Path) -> None:
    lines = [
        line
        for line in enriched.read_bytes().splitlines(keepends=True)
        if f'"schema":"{kept}'.encode() in line and b'"level":"critical"' not in line
    ]
    cut = tmp_path / "cut.ndjson"
    cut.write_bytes(b"".join(lines))
    ended = cli("export", "--format", "csv", "--fail-on", "critical", cut)
    assert ended.code == 1
    assert "--fail-on critical: 1 scan is not whole, so worse may be missing from the input" in ended.err


def test_a_report_that_lost_findings_does_not_pass(cli: Cli, tmp_path: Path) -> None:
    report = json.loads(REPORT.read_bytes())
    for section in report["results"]:
        section["findings"] = [one for one in section["findings"] if one["severity"] == "info"]
    stripped = tmp_path / "stripped.json"
    stripped.write_text(json.dumps(report))
    ended = cli("analyze", "--fail-on", "critical", stripped)
    assert ended.code == 1 and "1 scan is not whole" in ended.err


def test_what_a_filter_hides_from_the_gate_is_said(cli: Cli) -> None:
    ended = cli("analyze", "--fail-on", "critical", "--class", "containers.*", REPORT)
    assert ended.code == 0
    assert "--fail-on critical: 2 findings of this level or worse left out by a filter" in ended.err
