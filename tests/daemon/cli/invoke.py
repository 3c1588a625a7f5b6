"""The command line, called as a shell would call it."""

import os
import pty
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCANS = ROOT / "tests" / "data" / "scans"
REPORT = SCANS / "web01-ioc.json"
COMMAND = (sys.executable, "-m", "daemon.cli")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def in_a_process(*arguments: str, **environment: str) -> Ended:
    """Run with pipes for standard output and error."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def on_a_terminal(*arguments: str, columns: int = 100, rows: int | None = None) -> Ended:
    """Run with a terminal for standard output; standard error stays a pipe."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color"}
    if rows is not None:
        termios.tcsetwinsize(follower, (rows, columns))
        environment["LINES"] = str(rows)
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=follower, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the other end of a terminal that is closed reads as an error
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    _, err = process.communicate()
    return Ended(process.returncode, shown.decode().replace("\r\n", "\n"), err)
