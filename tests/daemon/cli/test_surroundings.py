"""Starts where something that is usually there is missing: streams, a home, a directory, descriptors."""

import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.cli.invoke import COMMAND, REPORT, ROOT

QUIET = {"SYSSCAN_MODEL__ENABLED": "false"}


def start(arguments: list[str], redirect: str = "", **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = " ".join(f"'{part}'" for part in (*COMMAND, *arguments))
    options.setdefault("env", {**os.environ, **QUIET, "PYTHONPATH": str(ROOT)})
    options.setdefault("cwd", ROOT)
    return subprocess.run(["/bin/sh", "-c", f"{command} {redirect}"], capture_output=True, check=False, **options)


def once(tmp_path: Path) -> list[str]:
    reports = tmp_path / "reports"
    reports.mkdir()
    shutil.copy(REPORT, reports / "a.json")
    state = str(tmp_path / "state")
    return ["run", "--once", "--watch", str(reports), "--state-dir", state, "--output", str(tmp_path / "out.ndjson")]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full", "2>&1 | true"])
def test_the_daemon_needs_no_standard_stream(tmp_path: Path, closed: str) -> None:
    done = start(once(tmp_path), closed)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert (tmp_path / "out.ndjson").read_bytes().count(b"sysscan.scan/1") == 1


@pytest.mark.parametrize("command", [["analyze", str(REPORT)], ["doctor"], ["--help"]])
@pytest.mark.parametrize("redirect", [">&-", ">/dev/full"])
def test_what_needs_standard_output_says_so_in_one_line(tmp_path: Path, command: list[str], redirect: str) -> None:
    environment = {**os.environ, **QUIET, "SYSSCAN_STATE_DIR": str(tmp_path)}
    done = start(command, redirect, env=environment)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"standard output: cannot be written" in done.stderr


def test_a_closed_standard_input_is_named() -> None:
    done = start(["analyze", "-"], "<&-")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"unreadable" in done.stderr


def test_a_dash_is_standard_output_for_analyze_and_refused_by_the_daemon(tmp_path: Path) -> None:
    done = start(["analyze", str(REPORT), "--output", "-"], cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.count(b"sysscan.scan/1") == 1
    for arguments in (["run", "--watch", str(tmp_path), "--output", "-"], ["doctor", "--state-dir", "-"]):
        done = start(arguments, cwd=tmp_path)
        assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_a_working_directory_that_is_gone_is_no_traceback(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    arguments = " ".join(f"'{part}'" for part in (*COMMAND, "run", "--once", "--watch", "reports"))
    done = subprocess.run(
        ["/bin/sh", "-c", f"rmdir {gone}; {arguments}"], cwd=gone, capture_output=True, check=False,
        env={**os.environ, **QUIET, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("files", [48, 64])
def test_few_descriptors_are_enough(tmp_path: Path, files: int) -> None:
    done = start(once(tmp_path), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)))
    assert (done.returncode, b"internal_error" in (tmp_path / "out.ndjson").read_bytes()) == (0, False)


@pytest.mark.parametrize("files", [5, 6, 7, 8, 9, 10])
def test_too_few_descriptors_are_nobodys_mistake(tmp_path: Path, files: int) -> None:
    """Neither of the person who wrote the settings (2), nor is the ledger damaged or in use (3)."""
    done = start(once(tmp_path), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)))
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith(b"sysscan-agent: ")]
    assert b"Too many open files" in line and line.endswith(b"nothing is lost; give it more, and start again")


def test_a_locale_without_characters_is_enough(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        **QUIET,
        "LC_ALL": "C",
        "PYTHONIOENCODING": "ascii",
        "SYSSCAN_STATE_DIR": str(tmp_path),
    }
    done = start(["analyze", str(REPORT)], env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
