"""The first screen: how bad it is, three things to do, a line an issue, and nothing that is in no count."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from daemon.cli.commands import command_lines
from daemon.cli.phrases import in_words
from daemon.cli.show import show_record
from daemon.cli.summary import Shown
from pipeline.output.records import ScanRecord
from tests.daemon.cli.invoke import REPORT, SCANS, Ended, on_a_terminal
from tests.pipeline.output.formats.exported import real_scan, real_scans
from tests.pipeline.output.plan.planned import kinds, knowledge

Cli = Callable[..., Ended]
NAMES = [name for name, _ in real_scans()]
BASH = shutil.which("bash") or "bash"


def on_screen(rows: int, columns: int, *arguments: str) -> str:
    """Give what a terminal of this size shows of a command, colours left out."""
    ended = on_a_terminal(*arguments, rows=rows, columns=columns)
    assert ended.code == 0, ended.err
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", ended.out)


def record_of(name: str) -> ScanRecord:
    record = real_scan(name).record
    assert record is not None
    return record


def screen(name: str, width: int = 80, *, detail: bool = False, limit: int | None = None) -> str:
    console = Console(width=width, no_color=True, markup=False, highlight=False, emoji=False, force_terminal=False)
    with console.capture() as shown:
        show_record(console, record_of(name), Shown("r.json", limit), detail=detail)
    return shown.get()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", NAMES)
def test_every_scan_fits_its_terminal_and_counts_every_finding(name: str, width: int) -> None:
    text, record = screen(name, width), record_of(name)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert text.startswith(f"{record.host}: ")
    rows = re.findall(r"^ *(?:critical|high|medium|low|info) .* ([\d,]+) ([0-9a-f]{12}) *$", text, re.M)
    assert [key for _, key in rows] == [issue.examples[0][:12] for issue in record.issues]
    assert [int(count.replace(",", "")) for count, _ in rows] == [issue.lines for issue in record.issues]
    flat = " ".join(text.split())
    counts = record.counts
    assert f"{counts.distinct:,} finding" in flat
    parts = re.findall(r"[:,] ([\d,]+) (?:to be dealt with|passed|for information|acc|cal)", flat)
    said = [int(one.replace(",", "")) for one in parts]
    assert sum(said) == counts.distinct


@pytest.mark.parametrize("name", ["web01-ioc.json", "db02-full.json.gz"])
def test_what_is_not_listed_is_counted(name: str) -> None:
    text, record = screen(name, limit=3), record_of(name)
    rest = sum(issue.lines for issue in record.issues[3:])
    assert (
        f"… and {len(record.issues) - 3:,} more issues ({rest:,} findings), none of them worse: sysscan-agent" in text
    )
    assert "--all" in text


def test_the_verdict_and_three_things_to_do_come_first() -> None:
    lines = screen("web01-ioc.json").splitlines()
    assert lines[0] == "web01: 2 critical issues, 3 high, 1 medium, 6 low. Signs of intrusion, act now."
    first = "\n".join(lines[:24])
    for number in (1, 2, 3):
        assert re.search(rf"^ {number}\. (critical|high): ", first, re.M)
    assert first.count("    $ ") == 3


@pytest.mark.parametrize("size", ["24x80", "24x100", "40x100", "60x120"])
@pytest.mark.parametrize(
    "name",
    ["db02-default.json", "db02-full.json.gz", "web01-fs-hygiene.json", "web01-ioc.json", "web01-containers.json"],
)
def test_on_a_terminal_the_verdict_and_what_to_do_first_stay_on_the_screen(name: str, size: str) -> None:
    rows, columns = map(int, size.split("x"))
    text = on_screen(rows, columns, "analyze", str(SCANS / name))
    lines = text.splitlines()
    assert len(lines) < rows, "the prompt of the shell takes a row, too"
    assert max(map(len, map(str.rstrip, lines))) <= columns
    assert re.match(r"(db02|web01): ", lines[0])
    record = record_of(name)
    if record.issues:
        listed = re.findall(r" [\d,]+ ([0-9a-f]{12}) *$", text, re.M)
        assert len(listed) >= min(3, len(record.issues))
        assert text.count("    $ ") == min(3, len(listed)) or len(record.issues) < 3
        assert len(listed) == len(record.issues) or f"… and {len(record.issues) - len(listed)} more issue" in text
        assert "--detail" in text


def test_what_is_asked_for_is_shown_whole_on_a_terminal() -> None:
    text = on_screen(24, 80, "analyze", str(SCANS / "web01-ioc.json"), "--all")
    assert len(text.splitlines()) > 40 and "A scan cannot prove compliance" in " ".join(text.split())


def test_nothing_at_stake_says_what_ran() -> None:
    text = " ".join(screen("web01-containers.json").split())
    assert text.startswith("web01: nothing is at stake.")
    assert 'Parts of the scanner that ran: "processes", "containers".' in text


def test_two_processes_with_one_program_are_both_counted() -> None:
    row = next(line for line in screen("web01-ioc.json").splitlines() if "LD_PRELOAD" in line and "  70 " in line)
    assert re.search(r" 2 [0-9a-f]{12}", row)


@pytest.mark.parametrize("name", NAMES)
def test_features_are_words(name: str) -> None:
    assert not re.search(r"\b(advice|relation|owner|place|match|rights|reading)\b:", screen(name, 120, detail=True))
    for issue in record_of(name).issues:
        assert not re.search(r"[a-z]_[a-z]|unknown feature", in_words(issue.split)), issue.split


def worst_of(ended: Ended) -> str:
    """The key of the worst issue of the scan: of the first line of an issue, or the first in a whole record."""
    *_, last = lines = [orjson.loads(line) for line in ended.out.splitlines()]
    issues = [one for one in lines if one["schema"].startswith("sysscan.issue")] or last["issues"]
    key: str = issues[0]["examples"][0]
    return key[:12]


def every_command() -> list[str]:
    found = {
        line
        for _, scan in real_scans()
        for finding in scan.findings()
        for action in finding.remediation
        for line in (action.command, action.check, action.rollback)
        if line
    }
    return sorted(found)


def test_a_command_that_is_broken_is_the_same_command() -> None:
    """What bash makes of it is compared: it prints a function back in one form, however it was laid out."""
    commands = every_command()
    assert len(commands) > 200
    for width in (40, 80):
        whole, broken = [], []
        for number, command in enumerate(commands):
            lines = command_lines(command, width)
            whole.append(f"f{number}() {{ {command}\n}}")
            laid_out = "\n      ".join(lines)
            broken.append(f"f{number}() {{ {laid_out}\n}}")
        told = [
            subprocess.run(
                [BASH], input="\n".join([*one, "declare -f"]).encode(), capture_output=True, check=True
            ).stdout
            for one in (whole, broken)
        ]
        assert told[0] == told[1]


@given(st.lists(st.sampled_from(["a", "b b", "'", '"', "\\", " ", "$(", ")", "`", "é"]), max_size=30).map("".join))
def test_breaking_loses_nothing(command: str) -> None:
    lines = command_lines(command, 10)
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert " ".join([*(line[:-2] for line in lines[:-1]), lines[-1]]) == command


def test_show_and_explain_take_a_report_lines_and_the_ledger(
    cli: Cli, state: Path, enriched: Path, tmp_path: Path
) -> None:
    key = worst_of(cli("analyze", REPORT))
    shown = cli("show", key, "--from", REPORT, "--format", "text")
    assert shown.code == 0
    assert "What to do" in shown.out and "How the score comes about" not in shown.out
    assert cli("show", key, "--from", enriched, "--format", "text").out == shown.out
    kept = tmp_path / "state"
    shutil.copytree(state, kept)
    (kept / "findings.ndjson").unlink()
    key = worst_of(cli("report", "--state-dir", kept))
    assert cli("explain", key, "--state-dir", kept, "--format", "text").code == 0
    missing = cli("show", "0000dead", "--state-dir", kept)
    assert (missing.code, missing.err.count("\n")) == (4, 1)
    assert "what the ledger of" in missing.err


@pytest.mark.parametrize("which", [[], ["--host", "web01"], ["SCAN"]])
def test_the_commands_that_a_report_names_find_what_it_is_about(
    cli: Cli, state: Path, monkeypatch: pytest.MonkeyPatch, which: list[str]
) -> None:
    monkeypatch.delenv("SYSSCAN_STATE_DIR", raising=False)
    scan = orjson.loads(cli("report", "--state-dir", state).out)["scan_id"]
    text = cli(
        "report", *(word.replace("SCAN", scan[:9]) for word in which), "--state-dir", state, "--format", "text"
    ).out
    key = re.findall(r" ([0-9a-f]{12}) *$", text, re.M)[0]
    commands = [
        line.replace("KEY", key).split()[2:]
        for line in text.replace(" \\\n", "").splitlines()
        if "$ sysscan-agent " in line
    ]
    assert {"report", "show", "remediate"} <= {command[0] for command in commands}
    for command in commands:
        ended = cli(*command, *([] if "--format" in command else ["--format", "text"]))
        assert (ended.code, ended.err) == (0, "")


def test_a_report_lists_the_worst_issues_and_counts_the_others(
    cli: Cli, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.cli.report.LISTED", 5)
    report = ["report", "--state-dir", state, "--format", "text"]
    short, whole = cli(*report).out, cli(*report, "--all").out
    listed = [re.findall(r" ([0-9a-f]{12}) *$", text, re.M) for text in (short, whole)]
    assert listed[0] == listed[1][:5] and f"… and {len(listed[1]) - 5} more issues" in short
    assert "more issues" not in whole
    assert cli("report", "--state-dir", state, "--all").code == 2  # the record has all


def test_a_list_of_scans_names_each_file_in_one_piece(cli: Cli, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for width in ("100", "200"):
        monkeypatch.setenv("COLUMNS", width)
        lines = cli("report", "--list", "--state-dir", state, "--format", "text").out.splitlines()
        assert len(lines) == 2 and REPORT.name in lines[1]


def test_a_list_of_indicators_that_cannot_be_used_is_named(cli: Cli, tmp_path: Path) -> None:
    feed = tmp_path / "feed.bin"
    feed.write_bytes(b"\x7fELF\xff\xfe\n" * 100)
    ended = cli("analyze", "--intel", feed, REPORT)
    assert (ended.code, ended.err) == (0, "sysscan-agent: --intel: feed.bin: 100 not used: not UTF-8 (first: line 1)\n")


def test_explain_names_the_finding_as_a_policy_file_does(cli: Cli, tmp_path: Path) -> None:
    """What it prints is pasted into a policy, and counts."""
    report = SCANS / "web01-weird-names.json"
    key = worst_of(cli("analyze", report))
    text = cli("explain", key, "--from", report, "--format", "text").out
    entry = text.partition("As an entry of a policy file names it\n")[2].partition("\n\n")[0]
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        f"allow:\n  -\n{entry}\n    owner: ops\n    reason: known\n    expires: 2027-06-30\n", encoding="utf-8"
    )
    lines = [orjson.loads(line) for line in cli("analyze", "--policy", policy, report).out.splitlines()]
    assert [one["status"] for one in lines if one.get("dedupe_key", "").startswith(key)] == ["accepted"]
    without = tmp_path / "slots.yaml"
    without.write_text(re.sub(r" *fingerprint: .*\n", "", policy.read_text(encoding="utf-8")), encoding="utf-8")
    lines = [orjson.loads(line) for line in cli("analyze", "--policy", without, report).out.splitlines()]
    assert [one["status"] for one in lines if one.get("dedupe_key", "").startswith(key)] == ["accepted"]


def test_text_goes_into_a_pipe_where_it_is_asked_for(cli: Cli, tmp_path: Path, state: Path) -> None:
    assert "ok " in cli("doctor", "--format", "text", "--state-dir", tmp_path).out
    assert cli("doctor", "--format", "json", "--state-dir", tmp_path).out.startswith("{")
    assert "scans done" in cli("ledger", "status", "--format", "text", "--state-dir", state).out
    assert cli("ledger", "status", "--state-dir", state).out.startswith("{")


def test_the_services_state_is_found_by_whoever_has_none(
    cli: Cli, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.cli.settings_to_read.SERVICE_STATE", state)
    monkeypatch.setattr("daemon.settings.SERVICE_STATE", tmp_path / "no")
    monkeypatch.delenv("SYSSCAN_STATE_DIR", raising=False)
    found = cli("report")
    assert (found.code, orjson.loads(found.out)["host"]) == (0, "web01")
    assert cli("report", "--state-dir", tmp_path / "other").code == 3  # what was named is what is meant


def test_what_is_known_can_be_listed(cli: Cli) -> None:
    def listed(*arguments: str) -> list[dict[str, str]]:
        return [orjson.loads(line) for line in cli("list", *arguments).out.splitlines()]

    assert {one["class"] for one in listed("classes")} == set(knowledge().classes)
    assert {one["action"] for one in listed("remediations")} == set(kinds())
    assert {one["kind"] for one in listed("remediations", "--kind", "sysctl")} == {"sysctl"}
    assert {one["correlation"] for one in listed("correlations")} == set(knowledge().correlations)
    hipaa = listed("controls", "--framework", "hipaa", "--search", "audit")
    assert hipaa and all(one["framework"] == "hipaa" for one in hipaa)
    assert all(one["class"].startswith("mounts.") for one in listed("classes", "--scanner", "mounts"))
    assert "mounts.tmp_noexec_missing" in cli("list", "classes", "--search", "noexec", "--format", "text").out
    assert cli("list", "classes", "--search", "no such thing").code == 4
    assert cli("list", "remediations", "--kind", "magic").code == 2


@pytest.mark.parametrize("columns", [72, 80, 120])
def test_a_framework_has_one_line_of_the_compliance_table(
    columns: int, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.setenv("SYSSCAN_MODEL__ENABLED", "false")
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = cli("analyze", "--format", "text", "--detail", REPORT).out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Compliance: controls with evidence"))
    table = lines[start + 1 : next(number for number, line in enumerate(lines) if line.startswith("  Failing: "))]
    names = ["NIST 800-53", "NIST CSF 2.0", "PCI DSS 4.0", "HIPAA"]
    assert [next(name for name in names if name in line) for line in table[-4:]] == names
    assert all(re.search(r" \d+ +\d+ +\d+ +\d+ +\d+ of \d+ *$", line) for line in table[-4:])
    assert all(len(line) <= columns for line in table)
    heading = " ".join(" ".join(table[:-4]).split())
    assert sorted(heading.replace(",", "").split()) == sorted(
        ["framework", "failing", "sourced", "failing", "other", "supporting", "disputed", "covered"]
    )
