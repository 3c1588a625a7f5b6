"""What goes to a pipe, and what to a terminal."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.daemon.cli.invoke import COMMAND, REPORT, ROOT, SCANS, Ended, in_a_process, on_a_terminal

Cli = Callable[..., Ended]


def test_a_pipe_gets_findings_issues_and_scans_and_nothing_else(cli: Cli) -> None:
    ended = cli("analyze", REPORT, SCANS / "web01-ioc.ndjson")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    schemas = [line["schema"] for line in lines]
    assert set(schemas) == {"sysscan.enriched/1", "sysscan.issue/1", "sysscan.scan/1"}
    assert schemas.count("sysscan.scan/1") == 2
    assert schemas[-1] == "sysscan.scan/1"
    # Issues stand between the findings and the line of their scan, the worst first.
    told = [line["id"] for line in lines if line["schema"] == "sysscan.issue/1"]
    assert told == [one["id"] for line in lines if line["schema"] == "sysscan.scan/1" for one in line["issues"]]
    assert len({line["dedupe_key"] for line in lines}) == len(lines)
    assert max(len(line.encode()) for line in ended.out.splitlines()) < 30_720
    assert ended.err == ""


def test_two_runs_give_the_same_bytes(cli: Cli) -> None:
    assert cli("analyze", REPORT).out == cli("analyze", REPORT).out


def test_a_file_gets_the_bytes_that_a_pipe_would_get(cli: Cli, tmp_path: Path) -> None:
    ended = cli("analyze", "--output", tmp_path / "out.ndjson", REPORT)
    assert (ended.code, ended.out) == (0, "")
    assert (tmp_path / "out.ndjson").read_text(encoding="utf-8") == cli("analyze", REPORT).out


def test_standard_input_is_read_for_a_dash() -> None:
    with REPORT.open("rb") as report:
        done = subprocess.run([*COMMAND, "analyze", "-"], stdin=report, capture_output=True, cwd=ROOT, check=True)
    assert done.stdout.count(b"\n") > 90


def test_a_terminal_gets_a_summary_that_fits_it() -> None:
    ended = on_a_terminal("analyze", str(REPORT), columns=80)
    assert (ended.code, ended.err) == (0, "")
    assert "Do first" in ended.out
    assert "\x1b[" in ended.out
    assert '"schema"' not in ended.out
    assert max(len(line.rstrip()) for line in _plain(ended.out).splitlines()) <= 80


def test_a_summary_names_keys_that_explain_knows(cli: Cli, enriched: Path, state: Path) -> None:
    words = cli("report", "--state-dir", state, "--format", "text").out
    keys = re.findall(r"^ *(?:critical|high|medium|low|info) .* ([0-9a-f]{12}) *$", words, re.M)
    assert len(keys) == len(json.loads(cli("report", "--state-dir", state).out)["issues"])
    assert cli("explain", "--from", enriched, keys[0].upper()).code == 0


def test_standard_input_counts_as_written_when_it_was() -> None:
    """NDJSON carries no time; without one, an indicator that is valid today would match nothing."""
    report = SCANS / "web01-ioc.ndjson"
    with report.open("rb") as file:
        done = subprocess.run([*COMMAND, "analyze", "-"], stdin=file, capture_output=True, cwd=ROOT, check=True)
    wanted = datetime.fromtimestamp(int(report.stat().st_mtime), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert json.loads(done.stdout.splitlines()[-1])["as_of"] == wanted


def test_json_is_to_be_had_on_a_terminal_too(cli: Cli) -> None:
    assert on_a_terminal("analyze", "--json", str(REPORT)).out == cli("analyze", REPORT).out


@pytest.mark.parametrize("command", [["analyze", str(SCANS / "db02-full.json.gz")], ["--help"], ["doctor"]])
def test_a_reader_that_has_enough_may_leave(command: list[str]) -> None:
    """As with `| head -1`: no complaint, no traceback, no failure."""
    process = subprocess.Popen([*COMMAND, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", 0)
    process.stderr.close()


def test_explain_says_why_in_words_and_in_json(cli: Cli, enriched: Path) -> None:
    worst = max(
        (line for line in map(json.loads, enriched.read_text(encoding="utf-8").splitlines()) if "risk" in line),
        key=lambda line: line["risk"]["score"],
    )
    told = json.loads(cli("explain", "--from", enriched, worst["dedupe_key"][:10]).out)
    assert told["finding"] == worst
    assert told["explained"]["meaning"]
    words = cli("explain", "--from", enriched, "--format", "text", worst["fingerprint"]).out
    for part in (worst["class"], worst["analysis"]["assessment"][:30], "How the score comes about", "What to do"):
        assert part in words
    assert sum(factor["points"] for factor in worst["risk"]["factors"]) == worst["risk"]["score"]


@pytest.mark.parametrize("name", ["/tmp/[/bold]x", "/tmp/[red]x", "/tmp/:warning:x", "/tmp/\x1b[31mx", "/tmp/‮x"])
def test_a_name_in_a_report_is_shown_as_it_is(cli: Cli, tmp_path: Path, name: str) -> None:
    report = tmp_path / "report.json"
    content = json.loads(REPORT.read_text(encoding="utf-8"))
    for result in content["results"]:
        for finding in result["findings"] if result["scanner"] == "ioc" else []:
            finding["id"] = f"{name}:77"
            finding["metadata"]["command"] = name
            finding["description"] = f"Process with deleted executable: {name}"
    report.write_text(json.dumps(content), encoding="utf-8")
    output = tmp_path / "out.ndjson"
    assert cli("analyze", "--output", output, report).code == 0
    key = next(
        line["dedupe_key"]
        for line in map(json.loads, output.read_text(encoding="utf-8").splitlines())
        if line.get("finding", {}).get("scanner") == "ioc"
    )
    shown = cli("explain", "--from", output, "--format", "text", key)
    assert shown.code == 0
    assert "\x1b[31m" not in shown.out
    assert "‮" not in shown.out
    if name.isascii() and name.isprintable():
        assert name in "".join(shown.out.split())


def test_the_name_of_a_scanner_acts_on_no_terminal(cli: Cli, tmp_path: Path) -> None:
    report, output = tmp_path / "report.json", tmp_path / "out.ndjson"
    content = json.loads(REPORT.read_text(encoding="utf-8"))
    finding = {"id": "x", "title": "t", "severity": "low", "description": "d", "metadata": {}}
    content["results"] = [{"scanner": "s\x1b[2J", "findings": [finding]}]
    report.write_text(json.dumps(content), encoding="utf-8")
    cli("analyze", "--output", output, report)
    key = json.loads(output.read_text(encoding="utf-8").splitlines()[0])["dedupe_key"]
    shown = cli("explain", "--from", output, "--format", "text", key).out
    assert "s\\x1b[2J reports x" in shown
    assert "\x1b" not in shown


def test_the_output_is_for_its_owner(cli: Cli, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cli("analyze", "--output", tmp_path / "out.ndjson", REPORT)
    finally:
        os.umask(before)
    assert (tmp_path / "out.ndjson").stat().st_mode & 0o777 == 0o600


def test_what_analyze_records_leaves_the_ledger_in_order(cli: Cli, tmp_path: Path) -> None:
    drift = [SCANS / "db02-drift-1.json", SCANS / "db02-drift-2.json"]
    assert cli("analyze", "--record", *drift, "--state-dir", tmp_path).code == 0
    assert json.loads(cli("ledger", "fsck", "--state-dir", tmp_path).out) == {"problems": []}


def test_report_shows_the_latest_scan_in_words_and_in_json(cli: Cli, state: Path) -> None:
    record = json.loads(cli("report", "--state-dir", state).out)
    assert (record["schema"], record["host"]) == ("sysscan.scan/1", "web01")
    words = cli("report", "--state-dir", state, "--format", "text").out
    assert words.startswith("web01")
    listed = json.loads(cli("report", "--state-dir", state, "--list").out)
    assert listed["scan_id"] == record["scan_id"]
    assert cli("report", "--state-dir", state, record["scan_id"][:8]).code == 0


@pytest.mark.parametrize("arguments", [["0000dead"], ["--host", "nobody"]])
def test_a_scan_that_is_not_there_is_not_found(cli: Cli, state: Path, arguments: list[str]) -> None:
    ended = cli("report", "--state-dir", state, *arguments)
    assert (ended.code, ended.out) == (4, "")
    assert "`report --list` shows those there are" in ended.err


def test_the_ledger_tells_its_state(cli: Cli, state: Path) -> None:
    status = json.loads(cli("ledger", "status", "--state-dir", state).out)
    assert isinstance(status, dict)
    assert status
    assert json.loads(cli("ledger", "fsck", "--state-dir", state).out) == {"problems": []}
    assert cli("ledger", "fsck", "--state-dir", state).code == 0


def test_quarantine_lists_shows_retries_and_dismisses(cli: Cli, state: Path) -> None:
    def quarantine(*arguments: str) -> Ended:
        return cli("ledger", "quarantine", *arguments, "--state-dir", state)

    listed = sorted(map(json.loads, quarantine("list").out.splitlines()), key=lambda entry: str(entry["source"]))
    assert [Path(entry["source"]).name for entry in listed] == ["notes.json", "other.json"]
    first, second = (str(entry["id"]) for entry in listed)
    shown = json.loads(quarantine("show", first).out)
    assert shown["reason"] == listed[0]["reason"]
    assert "[/bold] :smile:" in shown["excerpt"]
    terminal = on_a_terminal("ledger", "quarantine", "list", "--state-dir", str(state), columns=200)
    assert terminal.out.count(listed[0]["reason"]) == 2
    assert quarantine("list", "--reason", "empty").out == ""
    assert "notes.json will be read again" in quarantine("retry", first).out
    assert quarantine("dismiss", second).code == 0
    states = [json.loads(quarantine("show", number).out)["state"] for number in (first, second)]
    assert states == ["retried", "dismissed"]
    assert "will be read again" in quarantine("retry", second).out
    missing = quarantine("show", "999")
    assert (missing.code, missing.err.count("\n")) == (4, 1)


def test_the_daemon_is_reachable_by_its_option_alone(tmp_path: Path) -> None:
    # In a process of its own: the daemon sets up logging and the umask for the whole process.
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / REPORT.name).write_bytes(REPORT.read_bytes())
    output = tmp_path / "findings.ndjson"
    ended = in_a_process(
        "--watch", str(tmp_path / "in"), "--once", "--state-dir", str(tmp_path / "state"), "--output", str(output)
    )
    assert (ended.code, ended.out) == (0, "")
    assert output.read_bytes().count(b"\n") > 90


def test_doctor_names_what_is_wrong_and_what_to_do(cli: Cli, tmp_path: Path) -> None:
    well = [json.loads(line) for line in cli("doctor", "--state-dir", tmp_path).out.splitlines()]
    assert {check["check"] for check in well} >= {"agent", "machine", "settings", "knowledge", "disk", "output"}
    policy = tmp_path / "policy.yaml"
    policy.write_text("profile: paranoid\n", encoding="utf-8")
    ended = cli("doctor", "--state-dir", tmp_path, "--policy", policy)
    assert ended.code == 2
    (bad,) = [check for check in map(json.loads, ended.out.splitlines()) if check["verdict"] == "problem"]
    assert (bad["check"], str(policy) in bad["detail"]) == ("knowledge", True)


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_scan_that_was_told_to_be_silent_is_not_called_clean(cli: Cli) -> None:
    filtered = _plain(on_a_terminal("analyze", str(SCANS / "web01-base-min-high.json")).out)
    assert "The scanner left out everything below high." in filtered
    assert "Nothing is open." not in filtered
