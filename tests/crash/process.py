"""The agent under test: a real process on real directories, started, killed and started again."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from daemon.ledger import Ledger
from daemon.sources.directory.state import file_state
from pipeline.errors import LedgerError

LAUNCHER = Path(__file__).with_name("launcher.py")
ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0  # no part of the test takes this long unless something hangs

# Small limits, so that every kill falls into something: many batches, many rotations of the output, short deadlines.
SETTINGS = {
    "SYSSCAN_ANALYSIS__BATCH_SIZE": "64",
    "SYSSCAN_OUTPUT__ROTATE_BYTES": str(1 << 20),
    "SYSSCAN_OUTPUT__KEEP_SEGMENTS": "1000",
    "SYSSCAN_WATCH__ROTATE_WAIT_S": "0.2",
    "SYSSCAN_WATCH__SETTLE_S": "0.2",
    "SYSSCAN_WATCH__FULL_SWEEP_S": "1.0",
}


def size_of(path: Path) -> int:
    """Give the size of a file that the agent may rename or remove at this very moment."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Launcher:
    """Forks daemons from a process that has imported everything."""

    def __init__(self, **more: str) -> None:
        """`more` are variables for all that it starts."""
        self._process = subprocess.Popen(
            [sys.executable, str(LAUNCHER), "--serve"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**environment(), **more},
        )  # fmt: skip

    def start(self, log: Path, arguments: list[str]) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(log), *arguments]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)


class Agent:
    """One state directory, one output, one watched directory."""

    def __init__(self, base: Path, launcher: Launcher) -> None:
        self.root = base / "in"
        self.state = base / "state"
        self.output = base / "out" / "out.ndjson"
        self.log = base / "log"
        self._launcher = launcher
        self._pid: int | None = None
        self.starts = 0
        self.output.parent.mkdir()

    @property
    def arguments(self) -> list[str]:
        return ["run", "--watch", str(self.root), "--state-dir", str(self.state), "-o", str(self.output)]

    def start(self) -> None:
        self.log.write_bytes(b"")
        self._pid = self._launcher.start(self.log, self.arguments)
        self.starts += 1

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self._pid is not None
        os.kill(self._pid, number)
        pid, self._pid = self._pid, None
        wait_until(lambda: not _is_alive(pid), "the process has ended")

    def finish(self) -> None:
        """Let the installed program do what is left, and end."""
        done = subprocess.run(
            [sys.executable, str(LAUNCHER), *self.arguments, "--once"],
            cwd=ROOT, env=environment(), capture_output=True, timeout=10 * PATIENCE_S, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr.decode()

    def settle(self, paths: Sequence[Path]) -> None:
        """Wait until files are read to the end."""
        for path in paths:
            deadline = time.monotonic() + PATIENCE_S
            while not self.has_read(path):
                assert self.is_alive(), f"ended by itself: {self.log.read_text()}"
                assert time.monotonic() < deadline, f"{path} is never read: {self.log.read_text()}"
                time.sleep(0.005)

    def has_logged(self, event: str) -> bool:
        return f'"{event}"'.encode() in self.log.read_bytes()

    def is_alive(self) -> bool:
        return self._pid is not None and _is_alive(self._pid)

    def has_read(self, path: Path) -> bool:
        """Say whether the ledger knows all of a file."""
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        with contextlib.suppress(LedgerError), self.look() as ledger:
            return any(
                state.digest == digest or (state.kind == "stream" and state.offset == len(content))
                for state in map(file_state, ledger.files.known())
                if state.path == str(path)  # one that was replaced is remembered for a while
            )
        return False

    def look(self) -> Ledger:
        return Ledger.open(self.state, clock=time.time, read_only=True)

    def problems(self) -> list[str]:
        """Check a copy of the ledger, as the crash left it."""
        if not (self.state / "ledger.mark").exists():
            return []  # killed before there was one
        copy = self.state.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.state, copy)
        with Ledger.open(copy, clock=time.time) as ledger:
            return ledger.fsck()

    def written(self) -> bytes:
        """Give everything that was written, over all files in order."""
        while True:
            segments = sorted(self.output.parent.glob("out.[0-9]*.ndjson"))
            files = [*segments, *([self.output] if self.output.exists() else [])]
            with contextlib.suppress(FileNotFoundError):  # rotated meanwhile: look again
                return b"".join(file.read_bytes() for file in files)

    def size(self) -> int:
        return sum(size_of(file) for file in self.output.parent.iterdir())

    def quarantine(self) -> list[tuple[Any, ...]]:
        with self.look() as ledger:
            return sorted(
                (str(Path(row.source).relative_to(self.root)), row.reason, row.detail, row.offset or 0, row.path or "",
                 row.digest or "", row.excerpt, row.state)
                for row in ledger.quarantine.rows()
            )  # fmt: skip

    def unmarked(self, written: bytes) -> int:
        """Count the whole lines that the ledger does not know to be written; looks at the copy."""
        if not (self.state / "ledger.mark").exists():
            return 0
        return written.count(b"\n") - self._marked(self.state.with_name("copy"))

    def _marked(self, state: Path) -> int:
        with Ledger.open(state, clock=time.time) as ledger:
            return max(ledger.outbox.sinks().values(), default=0)

    def cut_power(self, choose: Callable[[int, int], int]) -> None:
        """Lose what no sync has made durable: of the ledger's WAL, of the checkpoints, and of the output.

        What is durable of the ledger is everything up to the last commit, since each is synced; of the output,
        everything up to the ledger's mark. The checkpoints are a hint, so they may lose anything.
        """
        wal = self.state / "ledger.db-wal"
        if wal.exists():
            os.truncate(wal, choose(_last_commit(wal.read_bytes()), wal.stat().st_size))
        (self.state / "ledger.db-shm").unlink(missing_ok=True)
        hint = self.state / "checkpoints.db-wal"
        if hint.exists():
            os.truncate(hint, choose(0, hint.stat().st_size))
        if not self.output.exists() or not (self.state / "ledger.mark").exists():
            return
        content = self.written()
        durable = _end_of_row(content, self._marked(self.state))  # the sink takes every row
        closed = len(content) - self.output.stat().st_size  # segments are synced before they are renamed
        least = max(0, durable - closed)
        os.truncate(self.output, choose(least, self.output.stat().st_size))


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SYSSCAN_")}
    return {**kept, **SETTINGS, "PYTHONPATH": str(ROOT)}


def wait_until(
    condition: Callable[[], bool], what: str, every_s: float = 0.005, patience_s: float = PATIENCE_S
) -> None:
    """Poll; only a hang makes it fail."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(every_s)


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()  # even as a zombie: its threads may still hold the lock


def _end_of_row(content: bytes, number: int) -> int:
    """Give where a row of the outbox ends: a line, and for a scan's the issues before it."""
    at = 0
    while number:
        end = content.index(b"\n", at) + 1
        number -= b'"schema":"sysscan.issue/1"' not in content[at:end]
        at = end
    return at


def _last_commit(wal: bytes) -> int:
    """Give the end of the last transaction in a WAL: https://www.sqlite.org/fileformat2.html#walformat."""
    if len(wal) < 32:
        return len(wal)
    frame = 24 + struct.unpack_from(">I", wal, 8)[0]
    salts = wal[16:24]
    end = 32
    for at in range(32, len(wal) - frame + 1, frame):
        if wal[at + 8 : at + 16] != salts:
            break
        if struct.unpack_from(">I", wal, at + 4)[0]:
            end = at + frame
    return end
