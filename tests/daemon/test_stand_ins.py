"""Where the stand-ins for langsmith do not fit, the daemon runs with the real package, and says so."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.cli.invoke import REPORT, ROOT, in_a_process

_DAEMON = """
from daemon.cli.app import main
import sys
sys.argv[0] = "sysscan-agent"
try:
    main()
finally:
    sys.stderr.write(sys.modules["langsmith"].Client.__module__ + "\\n")
"""
_QUICK = {"SYSSCAN_MODEL__ENABLED": "false"}  # doctor would load the model and measure it
_BREAKS = {
    "another version": "stand_ins.MADE_FOR['langgraph'] = '0.0.1'",
    "a name that is missing at import": "del stand_ins.LANGSMITH['langsmith']['RunTree']",
    "an empty one": "stand_ins.FOR_THE_IMPORT['requests'] = {}",
    "a name that is missing while it runs": "del stand_ins.LANGSMITH['langsmith.utils']['tracing_is_enabled']",
    "nonsense": "stand_ins.LANGSMITH['langsmith.run_helpers']['get_tracing_context'] = 7",
}


def run(before: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    script = f"import pipeline\nfrom pipeline.airgap import stand_ins\n{before}\n{_DAEMON}"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def work(before: str, directory: Path) -> "tuple[subprocess.CompletedProcess[str], list[str]]":
    """Let the daemon work on a report; return its output, and which module langsmith's client came from."""
    reports = directory / "in"
    reports.mkdir(parents=True)
    shutil.copy2(REPORT, reports)  # with its time, which is in the output
    ended = run(before, "run", "--once", "--watch", str(reports), "--state-dir", str(directory / "state"))
    lines = (directory / "state" / "findings.ndjson").read_text("utf-8").splitlines()
    assert len(lines) > 90
    return ended, [*lines, ended.stderr.splitlines()[-1]]


@pytest.fixture(scope="module")
def with_them(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    ended, lines = work("", tmp_path_factory.mktemp("with"))
    assert ended.returncode == 0, ended.stderr
    return lines


def test_with_the_stand_ins_the_daemon_works(with_them: list[str]) -> None:
    assert with_them[-1] == "pipeline.airgap.stand_ins"


@pytest.mark.parametrize("before", _BREAKS.values(), ids=_BREAKS)
def test_without_them_it_works_just_the_same(before: str, with_them: list[str], tmp_path: Path) -> None:
    ended, without = work(before, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert without[-1] == "langsmith.client"
    assert without[:-1] == with_them[:-1]


@pytest.mark.parametrize(
    ("before", "because"),
    [
        ("another version", "langgraph is not 0.0.1"),
        ("a name that is missing at import", "cannot import name 'RunTree'"),
    ],
)
def test_doctor_names_it(before: str, because: str, tmp_path: Path) -> None:
    ended = run(_BREAKS[before], "doctor", "--state-dir", str(tmp_path), **_QUICK)
    assert ended.returncode == 0, ended.stderr
    (found,) = [check for check in map(json.loads, ended.stdout.splitlines()) if check["check"] == "langgraph"]
    assert found["verdict"] == "warning"
    assert because in found["detail"] and "\n" not in found["detail"]


def test_doctor_says_that_nothing_can_be_sent(tmp_path: Path) -> None:
    ended = in_a_process("doctor", "--state-dir", str(tmp_path), **_QUICK)
    (found,) = [check for check in map(json.loads, ended.out.splitlines()) if check["check"] == "langgraph"]
    assert (found["verdict"], "impossible" in found["detail"]) == ("ok", True)
