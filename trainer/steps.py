"""The steps that need torch, each in a process of its own: its memory is given back, and it can be ended in time."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pipeline.errors import AgentError

_PR_SET_PDEATHSIG = 1
_ENDING_S = 20.0  # between SIGTERM and SIGKILL
_TAIL = 400  # characters of what it said


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

    def __init__(self, deadline: float, threads: int, holding: int | None = None) -> None:
        """Args:
        deadline: by `time.monotonic`.
        threads: of each library; 0 leaves it to them.
        holding: descriptor of a lock, which a child that outlives this process for a moment goes on holding.
        """
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
            code = process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise OutOfTime(f"{arguments[0]} did not end in time") from error
        finally:
            _end(process)
        if code != 0:
            last = said.read_text(encoding="utf-8", errors="replace").strip()[-_TAIL:]
            raise StepFailed(f"{arguments[0]} ended with {code}: {' '.join(last.split())}; see {said}")


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
