"""A scan that ends the process, whatever way: the others go on, and a person gets it back."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.in_hand import HEAVY_BYTES
from daemon.ledger import Ledger
from tests.crash.process import PATIENCE_S, ROOT, environment
from tests.daemon.cli.invoke import in_a_process
from tests.pipeline.sessions import SCANS, report

# What a fault in a library, the kernel and the watchdog of systemd do, at a moment of the test's choice.
PROGRAM = """
import os, sys
import daemon.finishing, daemon.opening, daemon.worker
number, moment = int(sys.argv[1]), sys.argv[2]
room, name = {
    "opening": (daemon.opening.Opening, "_work_out"),
    "working": (daemon.worker.Worker, "_run"),
    "finishing": (daemon.finishing.Finishing, "_store"),
}[moment]
real = getattr(room, name)
def deadly(self, *arguments):
    scan = arguments[0].scan if moment == "working" else getattr(self, "scan", None) or self._scan
    if scan.host == "poison":
        os.kill(os.getpid(), number)
    return real(self, *arguments)
setattr(room, name, deadly)
from daemon.cli.app import main
sys.argv[1:3] = []
main()
"""


class Place:
    """A daemon over the report of a host that ends it, and one of another host behind it."""

    def __init__(self, base: Path) -> None:
        self.root, self.state, self.output = base / "in", base / "state", base / "out.ndjson"
        self.root.mkdir()
        self.command = [
            "run", "--once", "--watch", str(self.root), "--state-dir", str(self.state), "--output", str(self.output)
        ]  # fmt: skip

    def feed(self, host: str, padding: int = 0) -> None:
        scan = json.loads((SCANS / "web01-ioc.json").read_bytes())
        scan["meta"]["hostname"] = host
        findings = next(part["findings"] for part in scan["results"] if part["findings"])
        for number in range(padding // 500_000):
            findings.append({**findings[0], "id": f"/{host}/{number}", "description": "x" * 500_000})
        (self.root / f"{host}.json").write_bytes(json.dumps(scan).encode())

    def start(self, number: signal.Signals | None, moment: str = "opening") -> "subprocess.CompletedProcess[str]":
        code = [sys.executable, "-c", PROGRAM, str(int(number or 0)), moment]
        if number is None:
            code = [sys.executable, "-m", "daemon.cli"]
        return subprocess.run(
            [*code, *self.command], cwd=ROOT, env={**environment(), "SYSSCAN_MODEL__ENABLED": "false"},
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip

    def hosts(self) -> set[str]:
        lines = self.output.read_bytes().splitlines() if self.output.exists() else []
        return {json.loads(line)["host"] for line in lines}

    def ask(self, *arguments: str) -> str:
        ended = in_a_process("ledger", *arguments, "--state-dir", str(self.state))
        assert ended.code == 0, ended.err
        return ended.out


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGSEGV, "opening"),
        (signal.SIGSEGV, "working"),
        (signal.SIGSEGV, "finishing"),
        (signal.SIGABRT, "working"),
    ],
)
def test_a_scan_over_which_two_processes_crashed_is_set_aside_and_comes_back_by_command(
    tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    place = Place(tmp_path)
    place.feed("poison")
    for _ in range(2):
        assert place.start(number, moment).returncode == -number
    place.feed("victim")
    third = place.start(number, moment)
    assert third.returncode == 0, third.stderr
    assert '"scan.set_aside"' in third.stderr and "Traceback" not in third.stderr.splitlines()[-1]
    assert "victim" in place.hosts()
    (listed,) = map(json.loads, place.ask("aside", "list").splitlines())
    assert listed["host"] == "poison" and listed["source"].endswith("poison.json")
    assert "crashed over it (Fatal Python error" in listed["reason"]
    with Ledger.open(place.state, clock=lambda: 0.0, read_only=True) as ledger:
        assert ledger.fsck() == []
    place.ask("aside", "retry", str(listed["scan"]))
    assert place.start(None).returncode == 0  # the version in which the fault is mended
    found = [json.loads(line) for line in place.output.read_bytes().splitlines()]
    for host in ("poison", "victim"):
        keys = [line["dedupe_key"] for line in found if line["host"] == host and "finding" in line]
        assert len(keys) == len(set(keys)) == len(report("web01-ioc.json").findings)
    assert place.ask("aside", "list") == ""


def test_a_heavy_scan_over_which_two_processes_were_killed_is_set_aside(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.feed("poison", padding=HEAVY_BYTES + 1_000_000)
    for _ in range(2):
        assert place.start(signal.SIGKILL).returncode == -signal.SIGKILL
    place.feed("victim")
    assert place.start(signal.SIGKILL).returncode == 0
    assert place.hosts() == {"victim"}


def test_somebody_who_kills_the_process_does_not_make_a_scan_look_guilty(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.feed("poison")
    for _ in range(4):
        assert place.start(signal.SIGKILL).returncode == -signal.SIGKILL
    assert place.start(None).returncode == 0
    assert place.hosts() == {"poison"}
