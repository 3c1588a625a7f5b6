"""A daemon as an operator has it: a process of its own on real directories, whose children can be found and hit."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.crash.process import LAUNCHER, ROOT, environment, wait_until

INSTALLED = (sys.executable, "-m", "daemon.cli")
WITH_A_FIXED_CLOCK = (sys.executable, str(LAUNCHER))  # so that two runs can be compared byte by byte
PATIENCE_S = 300.0  # of a whole run, however busy the machine is


class Running:
    """One watched directory, one state directory, one output; nothing runs before `start`."""

    def __init__(self, base: Path, *options: str, program: Sequence[str] = INSTALLED, **variables: str) -> None:
        """Take the options and `SYSSCAN_*` variables that each start gets."""
        self.root = base / "in"
        self.state = base / "state"
        self.output = base / "out.ndjson"
        self.log = base / "log"
        self.root.mkdir(parents=True)
        self._command = [
            *program, "run", "--watch", str(self.root), "--state-dir", str(self.state), "-o", str(self.output),
            *options,
        ]  # fmt: skip
        self._environment = {
            **environment(), "SYSSCAN_LOG__FORMAT": "json", "SYSSCAN_OUTPUT__ROTATE_BYTES": str(1 << 30), **variables,
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def feed(self, name: str, data: bytes, at: int | None = None) -> Path:
        """Put a file into the directory by renaming it; `at` is when it says it was written."""
        path = self.root / name
        part = path.with_name("part")
        part.write_bytes(data)
        if at is not None:
            os.utime(part, (at, at))
        return part.rename(path)

    def start(self, *more: str, **variables: str) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, *more], cwd=ROOT, stdout=log, stderr=log, env={**self._environment, **variables}
            )
        return self._process

    def finish(self, code: int = 0, **variables: str) -> bytes:
        """Do what is left, and return all that was written."""
        assert self.start("--once", **variables).wait(PATIENCE_S) == code, self.log.read_text()
        return self.output.read_bytes()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE_S)

    def children(self, module: str) -> list[int]:
        """List its child processes that run a module, such as `pipeline.engine.serve`."""
        found: list[int] = []
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
                pids = map(int, child.read_text().split())
                found += [pid for pid in pids if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return found

    def events(self) -> list[str]:
        text = self.log.read_text()
        assert "Traceback" not in text
        return [json.loads(line)["event"] for line in text.splitlines()]

    def lines(self, schema: str) -> list[dict[str, Any]]:
        """Give what was written of a schema; the last line may still be on its way."""
        whole = self.output.read_bytes().split(b"\n")[:-1] if self.output.exists() else []
        return [one for one in map(json.loads, whole) if one["schema"] == schema]

    def until(self, event: str, times: int = 1) -> None:
        """Wait until it has logged an event so many times."""
        wait_until(lambda: self.log.read_bytes().count(f'"{event}"'.encode()) >= times, event, 0.02)
