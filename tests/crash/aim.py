"""Kills a daemon when it is about to make a system call for the N-th time."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
from collections import Counter
from pathlib import Path

from daemon.sources.directory.content import Content, identify
from daemon.sources.directory.state import file_state
from pipeline.errors import LedgerError
from tests.crash.process import Agent, Launcher, wait_until

# The calls with which the ledger, the checkpoints and the output become durable, and those that read what is there;
# how often each happens between a start and the end of a scan or two.
AIMS = {
    "fdatasync": 30, "fsync": 3, "pwrite64": 150, "write": 10, "ftruncate": 3, "pread64": 150, "openat": 60,
    "close": 60, "lseek": 80, "statx": 20,
}  # fmt: skip


class AimedAgent(Agent):
    """An agent that is traced from its first step of its own on, and killed where it was aimed at."""

    def __init__(self, base: Path, launcher: Launcher, seed: int) -> None:
        super().__init__(base, launcher)
        self._choose = random.Random(seed)
        self._trace = base / "trace"
        self._tracer: subprocess.Popen[bytes] | None = None
        self._aim = ""
        self.kills: Counter[str] = Counter()
        self.model_kills = 0

    def start_aimed(self, reach: int = 1) -> None:
        """Start a daemon that will be killed sooner or later: the larger its reach, the later."""
        self.log.write_bytes(b"")
        self._trace.write_bytes(b"")
        self._aim = self._choose.choice(tuple(AIMS))
        number = 1 + int(
            (reach * AIMS[self._aim]) ** self._choose.random()
        )  # early ones more often, each place in reach
        self._pid = pid = self._launcher.start(self.log, ["--held", *self.arguments])
        self.starts += 1
        wait_until(lambda: "\nState:\tT" in _status(pid), "it waits")
        self._tracer = subprocess.Popen(
            ["strace", "-f", "-q", "-s", "0", "-o", self._trace, "-p", str(pid), "-e", f"trace={self._aim}",
             "-e", f"inject={self._aim}:signal=KILL:when={number}"],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(lambda: "TracerPid:\t0\n" not in _status(pid), "it is traced")
        os.kill(pid, signal.SIGCONT)

    def note_death(self) -> bool:
        """Say whether it was killed since it was started, and count that."""
        if self._tracer is None or self.is_alive():
            return False
        self._tracer.wait(60)
        self._tracer = None
        assert b"killed by SIGKILL" in self._trace.read_bytes(), f"it ended by itself: {self.log.read_text()}"
        self.kills[self._aim] += 1
        return True

    def has_read(self, path: Path) -> bool:
        """Say whether the ledger knows all of this very file: another of its name may have had the same content."""
        with path.open("rb") as file:
            identity = identify(Content(file.fileno()))
            content = file.read()
        digest = hashlib.sha256(content).hexdigest()
        with contextlib.suppress(LedgerError), self.look() as ledger:
            return any(
                state.digest == digest or (state.kind == "stream" and state.offset == len(content))
                for state in map(file_state, ledger.files.known())
                if state.identity == identity
            )
        return False

    def waits(self) -> int:
        """Count the findings that wait for analysis, and the records that wait for the output."""
        with contextlib.suppress(LedgerError), self.look() as ledger:
            return ledger.waiting().closed + max(ledger.outbox.backlog().values(), default=0)
        return 0

    def kill_now(self) -> None:
        """Kill it wherever it is, unless an aimed kill was first."""
        if self._pid is not None:
            self.kill()
        if self._tracer is not None:
            self._tracer.wait(60)
            self._tracer = None

    def kill_model(self) -> None:
        """Kill the process that the model runs in, if there is one."""
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{self._pid}/task").glob("*/children"):
                for pid in children.read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
                    self.model_kills += 1


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return ""
