"""Structured logs, in the process that they are made in."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_SAY = """
import logging, sys
import structlog
from daemon.log import configure
configure(sys.argv[1], sys.argv[2])
log = structlog.get_logger("x").bind(scan_id="ab12")
log.debug("scan.looked_at")
log.info("scan.finished", findings=3, path=b"/tmp/\\xff", where={1: "a"}, text="two\\nlines \\x1b[31m", name="\\x1b[2J")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("scan.failed")
logging.getLogger("some.library").warning("odd")
"""


def run(level: str, format_: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", _SAY, level, format_], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == ""  # standard output belongs to findings
    return done


@pytest.mark.parametrize("format_", ["json", "auto"])
def test_each_event_is_one_line_of_json_with_level_and_time(format_: str) -> None:
    lines = run("info", format_).stderr.splitlines()
    finished, failed = (json.loads(line) for line in lines[:2])
    assert finished["event"] == "scan.finished"
    assert (finished["level"], finished["findings"], finished["scan_id"]) == ("info", 3, "ab12")
    assert finished["text"] == "two\nlines \x1b[31m"
    assert finished["timestamp"].endswith("Z")
    assert failed["level"] == "error"
    assert "ZeroDivisionError" in failed["exception"]
    assert lines[2:] == ["WARNING some.library: odd"]


def test_what_is_below_the_level_is_not_logged() -> None:
    assert "scan.looked_at" in run("debug", "json").stderr
    assert "scan.looked_at" not in run("info", "json").stderr
    assert "scan.finished" not in run("error", "json").stderr


def test_text_is_text() -> None:
    first = run("info", "text").stderr.splitlines()[0]
    assert "scan.finished" in first
    assert "findings=3" in first
    assert "name=\\x1b[2J" in first  # harmless, whoever is called so
    assert "\x1b" not in first
    assert not first.startswith("{")


def test_a_terminal_gets_text_without_being_asked() -> None:
    leader, follower = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", _SAY, "info", "auto"], stderr=follower, cwd=ROOT, check=True)
        shown = os.read(leader, 65536).decode()
    finally:
        os.close(leader)
        os.close(follower)
    assert "scan.finished" in shown
    assert "\x1b[" in shown  # in colour
    assert not shown.startswith("{")


@pytest.mark.parametrize("before", ["import rich", "pass"])
def test_rich_is_not_imported_for_a_log_and_can_be_before_and_after(before: str) -> None:
    script = (
        f"{before}\nimport sys\nthere = 'rich' in sys.modules\nimport daemon.log\n"
        "assert ('rich' in sys.modules) == there\nimport rich.console\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
