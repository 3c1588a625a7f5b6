"""What each case.py works with: directories of its own, the program, and small reports.

A case is a script: it ends with 0 where things are right, with 1 where the fault is there, and with 77 where it cannot
be tried. `AGENT=.venv/bin/sysscan-agent PYTHONPATH=. python3 tests/cases/NAME/case.py` runs one by hand.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

AGENT = os.environ.get("AGENT", "sysscan-agent")
WORK = Path(tempfile.mkdtemp())
IN = WORK / "in"
STATE = WORK / "state"
OUTPUT = WORK / "out" / "findings.ndjson"
CONFIG = WORK / "config.toml"
LOG = WORK / "log"
IDS = [f"/usr/local/bin/tool-{number:03d}" for number in range(60)]

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SYSSCAN_")} | {
    "SYSSCAN_MODEL__ENABLED": "false",
    "SYSSCAN_WATCH__FULL_SWEEP_S": "1",
    "SYSSCAN_WATCH__STREAM_IDLE_S": "2",
    "SYSSCAN_WATCH__ROTATE_WAIT_S": "1",
    "SYSSCAN_WATCH__INCOMPLETE_AFTER_S": "4",
}

IN.mkdir()
OUTPUT.parent.mkdir()
CONFIG.touch()


def start(*before: str, watch: Path = IN, output: Path = OUTPUT, more: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
    """Start the daemon; `before` stands in front of its command line, `more` behind it."""
    command = [
        *before, AGENT, "run", "--config", str(CONFIG), "--watch", str(watch), "--state-dir", str(STATE),
        "--output", str(output), *more,
    ]  # fmt: skip
    with LOG.open("ab") as log:
        return subprocess.Popen(command, env=ENVIRONMENT, stdout=log, stderr=log)


def until(test: Callable[[], object], seconds: float) -> bool:
    """Wait until something holds; returns False where it never did."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if test():
            return True
        time.sleep(0.05)
    return bool(test())


def until_or_ended(process: "subprocess.Popen[bytes]", test: Callable[[], object], seconds: float) -> None:
    """Wait until something holds, or the process has ended."""
    until(lambda: process.poll() is not None or test(), seconds)


def logged(word: str, times: int = 1) -> bool:
    """Say whether the log has a word, so many times."""
    return LOG.read_bytes().count(word.encode()) >= times


def emitted(path: Path = OUTPUT) -> list[dict[str, Any]]:
    """Give the findings that came out."""
    whole = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []  # the last may be on its way
    lines = [json.loads(line) for line in whole]
    return [line for line in lines if line["schema"] == "sysscan.enriched/1"]


def hosts() -> "Counter[str]":
    """Count the findings that came out, by host."""
    return Counter(line["host"] for line in emitted())


def stop(process: "subprocess.Popen[bytes]", seconds: float = 20) -> int | None:
    """End the daemon as systemd does; returns None where it had to be killed."""
    process.terminate()
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


def end(problem: str | None) -> NoReturn:
    """End the case."""
    shutil.rmtree(WORK, ignore_errors=True)
    print(f"FAULT: {problem}" if problem else "RIGHT")
    sys.exit(1 if problem else 0)


def give_up(reason: str) -> NoReturn:
    """Say why this cannot be tried here."""
    shutil.rmtree(WORK, ignore_errors=True)
    print(reason)
    sys.exit(77)


def stream(host: str, ids: Sequence[str], duration: int = 4) -> bytes:
    """Write an NDJSON report as the scanner does: the header comes first."""
    rows: list[dict[str, Any]] = [
        {"type": "meta", "tool_version": "6.0.0", "schema": "2", "hostname": host, "uid": 0, "euid": 0, "gid": 0,
         "egid": 0, "user": "root", "cmdline": "sys-scan --ndjson"},
        {"type": "summary", "duration_ms": duration, "finding_count_total": len(ids),
         "finding_count_emitted": len(ids), "scanner_count": 2, "scanners_with_findings": 1},
    ]  # fmt: skip
    rows += [
        {"type": "finding", "scanner": "suid_sgid", "id": one, "severity": "low", "base_severity_score": 30}
        for one in ids
    ]
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()


def report(host: str, ids: Sequence[str] = ("/usr/local/bin/one", "/usr/local/bin/two")) -> bytes:
    """Write a JSON report without times."""
    rows = [
        {"id": one, "title": "SUID/SGID binary", "description": "Binary has SUID or SGID bit set",
         "severity": "medium", "base_severity_score": "30", "metadata": {}}
        for one in ids
    ]  # fmt: skip
    scanner = {"scanner": "suid_sgid", "finding_count": len(rows), "findings": rows}
    meta = {"hostname": host, "tool_version": "6.0.0"}
    return json.dumps({"meta": meta, "summary": {}, "results": [scanner]}).encode()


def publish(name: str, data: bytes) -> None:
    """Put a file into the watched directory by renaming it."""
    (IN / ".new").write_bytes(data)
    (IN / ".new").rename(IN / name)
