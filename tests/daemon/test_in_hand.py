"""What the next process learns of the scan that the last one ended over."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.in_hand import HEAVY_BYTES, InHand
from tests.crash.process import ROOT

PROCESS = """
import os, sys, time
from pathlib import Path
from daemon.in_hand import InHand
in_hand = InHand(Path(sys.argv[1]))
in_hand.note_crashes()
in_hand.take(7, int(sys.argv[2]))
if sys.argv[3] == "let go":
    in_hand.let_go()
os.kill(os.getpid(), int(sys.argv[4]))
time.sleep(60)
"""


def end(path: Path, number: signal.Signals, size: int = 1, then: str = "") -> InHand:
    """Have a process end, and look at what it left as the next one does."""
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, str(path), str(size), then, str(int(number))], cwd=ROOT, check=False
    )
    assert done.returncode == -number
    return InHand(path)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE])
def test_a_crash_is_noted_with_its_place_whatever_the_size_of_the_scan(tmp_path: Path, number: signal.Signals) -> None:
    ended = end(tmp_path / "in-hand", number).ended
    assert ended is not None
    assert (ended.scan_no, ended.heavy) == (7, False)
    assert ended.crash.startswith("Fatal Python error") and 'File "<string>"' in ended.crash
    assert ended.reason is not None and ended.reason.startswith("a process crashed over it")


def test_a_kill_counts_where_the_scan_is_heavy_and_nowhere_else(tmp_path: Path) -> None:
    light = end(tmp_path / "in-hand", signal.SIGKILL).ended
    assert light is not None and light.reason is None
    heavy = end(tmp_path / "in-hand", signal.SIGKILL, HEAVY_BYTES).ended
    assert heavy is not None and heavy.reason is not None and "killed" in heavy.reason


def test_what_was_let_go_of_is_not_to_blame(tmp_path: Path) -> None:
    assert end(tmp_path / "in-hand", signal.SIGSEGV, HEAVY_BYTES, "let go").ended is None


def test_a_note_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "in-hand"
    assert end(path, signal.SIGSEGV).ended is not None
    assert InHand(path).ended is None


def test_an_orderly_end_leaves_nothing(tmp_path: Path) -> None:
    one = InHand(tmp_path / "in-hand")
    one.take(7, HEAVY_BYTES)
    one.close()
    assert InHand(tmp_path / "in-hand").ended is None
    assert (tmp_path / "in-hand").stat().st_mode & 0o177 == 0


@pytest.mark.parametrize("said", [b"", b"nonsense", b"7", b"\0" * 64, b"-1 5".ljust(63) + b"\n", os.urandom(500)])
def test_a_note_that_is_none_is_passed_over(tmp_path: Path, said: bytes) -> None:
    (tmp_path / "in-hand").write_bytes(said)
    one = InHand(tmp_path / "in-hand")
    assert one.ended is None
    one.take(3, 4)
    assert (tmp_path / "in-hand").read_bytes().split() == [b"3", b"4"]


def test_where_no_note_can_be_kept_the_work_goes_on(tmp_path: Path) -> None:
    (tmp_path / "in-hand").mkdir()
    one = InHand(tmp_path / "in-hand")
    one.take(7, 1)
    one.let_go()
    one.close()
