"""The steps that need torch, each in a process of its own: its memory is given back, and it can be ended in time."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pipeline.errors import AgentError

_PR_SET_PDEATHSIG = 1
_ENDING_S = 20.0  # between SIGTERM and SIGKILL
_TAIL = 400  # characters of what it said
LOADING = "loading its libraries ..."  # ends what a command says first
_LISTENING_S = 15.0  # between two looks at what it says


class OutOfTime(AgentError):
    """Raised when a run has had its time; what is whole stays, and the next one goes on."""


class StepFailed(AgentError):
    """Raised when a step ended with an error; the message has the end of what it said."""


class Steps(Protocol):
    """Runs a command of the trainer to its end."""

    def run(self, arguments: Sequence[str], said: Path) -> None:
        """Run it; what it says is appended to a file.

        Raises:
            StepFailed: if it ends with an error.
            OutOfTime: if it does not end in time; it is over then.
        """


class ChildSteps:
    """Runs commands as child processes, which end when this process does."""

    def __init__(
        self,
        deadline: float,
        threads: int,
        holding: int | None = None,
        hear: Callable[[str], None] | None = None,
    ) -> None:
        """Args:
        deadline: by `time.monotonic`.
        threads: of each library; 0 leaves it to them.
        holding: descriptor of a lock, which a child that outlives this process for a moment goes on holding.
        hear: takes the last line that a step said, from time to time and where it is another one.
        """
        self._hear = hear
        self._deadline = deadline
        self._holding = holding
        self._environment = {
            **os.environ,
            # Each step of training asks for the same large pieces again: they stay with the process.
            "MALLOC_MMAP_THRESHOLD_": os.environ.get("MALLOC_MMAP_THRESHOLD_", "4294967296"),
            "MALLOC_TRIM_THRESHOLD_": os.environ.get("MALLOC_TRIM_THRESHOLD_", "4294967296"),
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        if threads:
            self._environment |= {"OMP_NUM_THREADS": str(threads), "GPTQMODEL_CPU_WORKERS": str(max(2, threads))}

    def run(self, arguments: Sequence[str], said: Path) -> None:
        """Run `python -m trainer ARGUMENTS`."""
        with said.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", "trainer", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                pass_fds=() if self._holding is None else (self._holding,),
                preexec_fn=_end_with_parent,
            )
        try:
            code = self._wait(process, arguments[0], said)
        finally:
            _end(process)
        if code != 0:
            last = said.read_text(encoding="utf-8", errors="replace").strip()[-_TAIL:]
            words = " ".join(line for line in last.splitlines() if not line.endswith(LOADING))
            raise StepFailed(f"{arguments[0]} ended with {code}: {' '.join(words.split())}; see {said}")

    def _wait(self, process: "subprocess.Popen[bytes]", name: str, said: Path) -> int:
        """Wait until a step ends, and pass on what it says meanwhile.

        Raises:
            OutOfTime: if it does not end in time.
        """
        heard = ""
        while True:
            left = self._deadline - time.monotonic()
            try:
                return process.wait(max(0.0, left if self._hear is None else min(left, _LISTENING_S)))
            except subprocess.TimeoutExpired as error:
                if self._hear is None or left <= _LISTENING_S:
                    raise OutOfTime(f"{name} did not end in time") from error
            line = _last_line(said)
            if line != heard:
                self._hear(line)
                heard = line


def _last_line(said: Path) -> str:
    """Give the last whole line of a file."""
    with said.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        lines = file.read().decode("utf-8", "replace").split("\n")
    return lines[-2] if len(lines) > 1 else ""


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_ENDING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
