"""Mistakes end in one line that says what, where and what to do; never in a traceback."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.cli import app as module
from daemon.cli.exits import Exit
from tests.daemon.cli.invoke import REPORT, ROOT, SCANS, Ended, in_a_process

Cli = Callable[..., Ended]
NOWHERE = "/nowhere/at-all"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nonsense"], 2, "No such command 'nonsense'; see `sysscan-agent --help`"),
        (["analyse", REPORT], 2, "analyze"),
        (["--nonsense"], 2, "No such option: --nonsense (Possible options: --once)"),
        (["analyze", "--nonsense", REPORT], 2, "No such option: --nonsense; see `sysscan-agent analyze --help`"),
        (["analyze"], 2, "Missing argument 'REPORT...'; see `sysscan-agent analyze --help`"),
        (["analyze", "--as-of", "yesterday", REPORT], 2, "--as-of yesterday: not a time in RFC 3339 form"),
        (["analyze", "--output", f"{NOWHERE}/x", REPORT], 2, f"{NOWHERE}/x: cannot be written: No such file"),
        (
            ["analyze", "--config", NOWHERE, REPORT],
            2,
            f"{NOWHERE}: cannot be read: No such file or directory; check the name",
        ),
        (["analyze", "--policy", NOWHERE, REPORT], 2, f"{NOWHERE}: no such file; check the name"),
        (["analyze", "--intel", NOWHERE, REPORT], 2, f"{NOWHERE}: no such file; check the name"),
        (["analyze", "--knowledge", NOWHERE, REPORT], 2, f"{NOWHERE}: no such directory; check the name"),
        (["analyze", "--verdicts", NOWHERE, REPORT], 3, f"{NOWHERE}: there are no verdicts yet; check the path"),
        (["analyze", "--host", "", REPORT], 2, "setting host: must have at least 1 character"),
        (["analyze", NOWHERE], 1, f"{NOWHERE}: unreadable: No such file or directory; check the name"),
        (["analyze", SCANS], 1, f"{SCANS}: unreadable: Is a directory; name a file"),
        (["analyze", "/dev/null"], 1, "/dev/null: not_regular: neither a file nor a pipe; name a file"),
        (["analyze", SCANS / "malformed" / "empty.json"], 1, "nothing but white space; the scan may have failed; run"),
        (["export", "--format", "csv", SCANS], 2, f"{SCANS}: cannot be read: Is a directory; name a file"),
        (["remediate", "--format", "bash", NOWHERE], 2, f"{NOWHERE}: cannot be read: No such file or directory; check"),
        (["report", "--output", "x"], 2, "--output x: has no effect on text or --list; add --format json"),
        (["review", "undo", "abc"], 2, "'NUMBER': needed is a whole number; see `sysscan-agent review undo --help`"),
        (["kafka", "topics", "--partitions", "3"], 2, "--partitions 3: has no effect without --create; add it"),
        (["review", "undo", "0"], 2, "'NUMBER': needed is 1 or more; see"),
        (["review", "list", "--limit", str(1 << 63)], 2, f"'--limit': needed is {(1 << 63) - 1} or less; see"),
        (["ledger", "aside", "retry", "1.5"], 2, "'NUMBER': needed is a whole number; see"),
        (["review", "accept", "abcdef", "--reason", "r", "--until", "soon"], 2, "--until soon: not a day; give one"),
        (["review", "accept", "abcdef", "--reason", "r", "--until", "2020-01-01"], 2, "that day is over; give today"),
        (["analyze", SCANS / "malformed" / "not-json.json"], 1, "not-json.json: not_a_report"),
        (["run"], 2, "nothing to watch; give --watch DIRECTORY"),
        (["run", "--watch"], 2, "Option '--watch' requires an argument"),
        (["report", "--state-dir", NOWHERE], 3, "there is no ledger here yet"),
        (["report", "--format", "pdf"], 2, "'--format'"),
        (["explain", "xyz"], 2, "xyz: give at least 6 hex digits"),
        (["explain", "abc"], 2, "abc: give at least 6 hex digits"),
        (["explain", "abcdef01", "--from", NOWHERE], 2, f"{NOWHERE}: cannot be read: "),
        (["ledger"], 2, "Missing command; see `sysscan-agent ledger --help`"),
        (["ledger", "status", "--state-dir", NOWHERE], 3, "there is no ledger here yet"),
        (["ledger", "fsck", "--state-dir", NOWHERE], 3, "there is no ledger here yet"),
        (["ledger", "quarantine", "show", "one"], 2, "'NUMBER'"),
        (["ledger", "quarantine", "list", "--state-dir", NOWHERE], 3, "there is no ledger here yet"),
        (["ledger", "quarantine", "retry", "1", "--state-dir", NOWHERE], 3, "there is no ledger here yet"),
        (["ledger", "quarantine", "dismiss", "1", "--state-dir", NOWHERE], 3, "there is no ledger here yet"),
        (["ledger", "quarantine", "list", "--reason", "bad"], 2, "no such reason: bad; there are: empty, "),
        (["--state-dir", NOWHERE, "report"], 2, "--state-dir stands before `report`; put it behind the command"),
        (["review", "--state-dir", NOWHERE, "list"], 2, "--state-dir stands before `list`; put it behind the command"),
    ],
    ids=lambda value: " ".join(map(str, value)).replace(str(ROOT), "") if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line_on_standard_error(cli: Cli, arguments: list[str | Path], code: int, said: str) -> None:
    ended = cli(*arguments)
    assert ended.code == code
    assert ended.err.startswith("sysscan-agent: ")
    assert ended.err.count("\n") == 1
    assert said in ended.err
    assert ended.out == ""


def test_looking_for_a_ledger_makes_none(cli: Cli, tmp_path: Path) -> None:
    assert cli("ledger", "quarantine", "retry", "1", "--state-dir", tmp_path).code == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("profile: paranoid\n", 1, "no such profile: paranoid (there are: "),
        ("profile: default\nallow:\n  - class: ioc.deleted_executable\n    owner: me\n", 3, "Field required"),
        ("allow:\n  - owner: me\n    reason: x\n    expires: 2030-01-01\n", 2, "needs a class or a fingerprint"),
        ("overrides:\n  - class: nothing.like_it\n    severity: low\n    reason: x\n", 2, "no such class"),
        ("allow: [\n", 2, "not YAML"),
        ("profile: default\nprofile: cis\n", 2, "'profile' stands twice"),
    ],
)
def test_a_bad_policy_is_refused_with_its_line(cli: Cli, tmp_path: Path, text: str, line: int, said: str) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(text, encoding="utf-8")
    ended = cli("analyze", "--policy", policy, REPORT)
    assert ended.code == 2
    assert re.match(rf"sysscan-agent: {re.escape(str(policy))}:{line}: ", ended.err), ended.err
    assert said in ended.err
    assert (ended.err.count("\n"), ended.out) == (1, "")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("classes:\n  mine.one:\n    scanner: x\n", 2, "Field required"),
        ("klasses: {}\n", 1, "no such section: klasses"),
        ("units:\n  a.service: {role: nonsense, kind: daemon}\n", 2, "nonsense"),
        ("units:\n  a.service: [\n", 3, "not YAML"),
    ],
)
def test_bad_knowledge_is_refused_with_its_line(cli: Cli, tmp_path: Path, text: str, line: int, said: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    ended = cli("analyze", "--knowledge", tmp_path, REPORT)
    assert ended.code == 2
    assert re.match(rf"sysscan-agent: {re.escape(str(file))}:{line}: ", ended.err), ended.err
    assert said in ended.err
    assert (ended.err.count("\n"), ended.out) == (1, "")


def test_a_bad_report_does_not_keep_the_good_one_beside_it_from_coming_out(cli: Cli) -> None:
    ended = cli("analyze", SCANS / "malformed" / "not-json.json", REPORT)
    assert ended.code == 1
    assert ended.out == cli("analyze", REPORT).out


def test_a_report_is_never_overwritten_by_what_comes_of_it(cli: Cli, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_bytes(REPORT.read_bytes())
    (tmp_path / "link").symlink_to(report)
    for output in (report, tmp_path / "link"):
        ended = cli("analyze", REPORT, report, "--output", output)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert "is a report to be read" in ended.err
    assert report.read_bytes() == REPORT.read_bytes()


def test_an_output_without_room_is_said_in_one_line_and_one_that_cannot_be_synced_is_well() -> None:
    full = in_a_process("analyze", "--output", "/dev/full", str(REPORT))
    assert (full.code, full.err) == (2, "sysscan-agent: /dev/full: cannot be written: No space left on device\n")
    assert in_a_process("analyze", "--output", "/dev/null", str(REPORT)).code == 0


def test_no_malformed_file_ends_in_a_traceback(cli: Cli) -> None:
    """All in one call; what becomes of each is held by the tests of the parser."""
    paths = sorted(path for path in (SCANS / "malformed").iterdir() if path.name != "index.json")
    ended = cli("analyze", *paths)
    assert ended.code == 1
    lines = ended.err.splitlines()
    assert len({line.split(": ")[1] for line in lines}) > 25
    assert [line for line in lines if not re.match(r"sysscan-agent: \S*/malformed/\S+: [a-z_]+(?: |:)", line)] == []
    assert all(line.startswith('{"') for line in ended.out.splitlines())


def test_every_exit_code_is_written_down() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for code in Exit:
        assert re.search(rf"^\| {int(code)} \|", text, re.M), code
        if code is not Exit.FORCED:
            assert re.search(rf"\b{int(code)} ", module._EPILOG), code


def test_a_mistake_in_a_process_of_its_own_is_one_line_too() -> None:
    ended = in_a_process("run", "--watch", "/tmp", SYSSCAN_WATHC__ROOTS="/x")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "sysscan-agent: environment variable SYSSCAN_WATHC__ROOTS: no such setting: wathc; did you mean watch?\n"
    )
