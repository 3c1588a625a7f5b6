"""The steps in processes of their own: they end in time, with their parent, and hold its lock as long as they live."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from trainer.retrain.place import Place
from trainer.steps import ChildSteps, OutOfTime, StepFailed


def test_a_step_that_fails_says_its_last_words(tmp_path: Path) -> None:
    with Place(tmp_path).locked() as holding:
        steps = ChildSteps(time.monotonic() + 120, 1, holding)
        with pytest.raises(StepFailed, match="merge ended with 2: sysscan-train: "):
            steps.run(["merge", "--base", "nowhere", "--adapter", "x", "--output", "y"], tmp_path / "steps.log")


def test_a_step_that_has_had_its_time_is_ended(tmp_path: Path) -> None:
    with Place(tmp_path).locked() as holding:
        steps = ChildSteps(time.monotonic(), 1, holding)
        with pytest.raises(OutOfTime):
            steps.run(["synth", "--out", str(tmp_path / "data"), "--size", "2000000"], tmp_path / "steps.log")
    with Place(tmp_path).locked():
        pass  # nobody holds it any more


_PARENT = """
import sys, time
from pathlib import Path
from trainer.retrain.place import Place
from trainer.steps import ChildSteps
room = Path(sys.argv[1])
with Place(room).locked() as holding:
    print("locked", flush=True)
    ChildSteps(time.monotonic() + 600, 1, holding).run(
        ["synth", "--out", str(room / "data"), "--size", "2000000"], room / "steps.log")
"""


def test_killed_it_takes_its_step_along_and_leaves_no_lock(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(tmp_path)], cwd=root, stdout=subprocess.PIPE)
    assert parent.stdout is not None and parent.stdout.readline() == b"locked\n"
    child = _child_of(parent.pid)
    with pytest.raises(ConfigError, match="another retraining is at work"), Place(tmp_path).locked():
        pass
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _wait_until(lambda: not Path(f"/proc/{child}").exists() or _is_dead(child))
    with Place(tmp_path).locked():
        pass


def _child_of(pid: int) -> int:
    found: list[int] = []

    def look() -> bool:
        found[:] = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return bool(found)

    _wait_until(look)
    return found[0]


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
