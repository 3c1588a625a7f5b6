"""`review` on a real terminal, by keys alone."""

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cli.review.keyboard import _keys
from pipeline.review.log import FILE_NAME, VerdictLog
from pipeline.review.verdict import Verdict
from tests.daemon.cli.invoke import COMMAND, REPORT, ROOT, in_a_process

HOSTILE = "\x1b]0;owned\x07/tmp/x"
PATIENCE_S = 30.0


def _in_the_foreground() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C is a signal
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests in the background has it ignored


class Terminal:
    """A person at a terminal."""

    def __init__(self, state: Path) -> None:
        self.leader, follower = pty.openpty()
        self.before = termios.tcgetattr(follower)
        self.follower = follower
        self.process = subprocess.Popen(
            [*COMMAND, "review", "--state-dir", str(state)], stdin=follower, stdout=follower, stderr=follower, cwd=ROOT,
            env={**os.environ, "COLUMNS": "90", "LINES": "30", "TERM": "xterm"}, start_new_session=True,
            preexec_fn=_in_the_foreground,
        )  # fmt: skip
        self.shown = ""

    def press(self, keys: str) -> None:
        os.write(self.leader, keys.encode())

    def until(self, text: str) -> str:
        """Wait until a text has come on the screen since the last call; returns what came."""
        deadline = time.monotonic() + PATIENCE_S
        came = ""
        while text not in came:
            left = deadline - time.monotonic()
            assert left > 0, f"never: {text!r}; last {came[-600:]!r}"
            if select.select([self.leader], [], [], min(left, 0.5))[0]:
                came += os.read(self.leader, 65536).decode("utf-8", "replace")
        self.shown += came
        return came

    def end(self) -> int:
        code = self.process.wait(PATIENCE_S)
        assert termios.tcgetattr(self.follower)[:4] == self.before[:4], "the terminal is not as it was"
        os.close(self.leader)
        os.close(self.follower)
        return code


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    reports = tmp_path / "in"
    reports.mkdir()
    text = json.dumps(json.loads(REPORT.read_text())).replace("/usr/local/bin/updater", json.dumps(HOSTILE)[1:-1])
    (reports / "web01.json").write_text(text)
    environment = {"SYSSCAN_MODEL__ENABLED": "false"}
    ended = in_a_process("run", "--once", "-w", str(reports), "--state-dir", str(tmp_path / "state"), **environment)
    assert ended.code == 0, ended.err
    yield tmp_path / "state"


def verdicts(state: Path) -> list[Verdict]:
    with VerdictLog.open(state / FILE_NAME, read_only=True) as log:
        return [verdict for verdict, _ in log.verdicts()]


def test_one_key_decides_and_the_next_finding_is_shown_until_none_is_left(state: Path) -> None:
    terminal = Terminal(state)
    first = terminal.until("q quit")
    assert "1 of " in first and "critical 90" in first
    count = int(first.split("1 of ")[1].split()[0])
    terminal.press("d")
    assert "base_severity" in terminal.until("q quit")
    terminal.press("d")
    terminal.until("q quit")
    terminal.press("a")  # approve: nothing is asked
    assert f"1 of {count - 1}" in terminal.until("q quit")
    terminal.press("x")  # accept: owner (as offered), day, reason
    terminal.until("answers for it")
    terminal.press("\r2030-01-01\rknown\r")
    assert "verdict 2: accept" in terminal.until("q quit")
    terminal.press("c4again\r")  # a corrected level: the reason of before is offered, and typed over
    assert "verdict 3: correct" in terminal.until("verdict 3")
    terminal.press("sf\x1b")  # a scope, then a verdict that is left with Escape
    assert "nothing was decided" in terminal.until("nothing was decided")
    terminal.press("ssu")
    assert "verdict 3 does not count" in terminal.until("verdict 3 does not")
    terminal.press("f\r")  # Enter alone repeats the last reason
    terminal.until("verdict 5: false positive")
    while "Nothing is left" not in terminal.shown:  # the rest, as fast as keys come
        terminal.press("f\r")
        terminal.until("u undo the last")
    terminal.press("q")
    assert terminal.end() == 0
    given = verdicts(state)
    assert [verdict.kind for verdict in given[:5]] == ["approve", "accept", "correct", "undo", "false_positive"]
    assert (given[1].until, given[1].reason) == ("2030-01-01", "known")
    assert given[2].correction is not None and given[2].correction.level == "high" and given[3].undoes == 3
    assert {verdict.reason for verdict in given[4:]} == {"again"} and len(given) == count + 2
    assert "\x1b]" not in terminal.shown and "\x07" not in terminal.shown


def test_arrows_walk_and_a_whole_paste_of_keys_is_taken_key_by_key(state: Path) -> None:
    terminal = Terminal(state)
    count = int(terminal.until("q quit").split("1 of ")[1].split()[0])
    terminal.press("\x1b[B\x1b[B\x1b[A\x1b[Zj")
    assert "3 of " in terminal.until("3 of ")
    terminal.press("k" * 5 + "a" * 4)
    terminal.until(f"1 of {count - 4}")
    terminal.press("q")
    assert terminal.end() == 0 and len(verdicts(state)) == 4


def test_ctrl_c_leaves_with_the_terminal_as_it_was(state: Path) -> None:
    terminal = Terminal(state)
    terminal.until("q quit")
    terminal.press("\x03")
    assert terminal.end() == 130


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        ("ab", ["a", "b"]), ("\x1b[A\x1b[B", ["up", "down"]), ("\x1b", ["escape"]), ("\r\x7f", ["enter", "backspace"]),
        ("\x1b[3~x", ["x"]), ("\x1b[1;5Cy", ["y"]), ("\x1bOAé", ["up", "é"]),
    ],
)  # fmt: skip
def test_keys_are_told_apart(typed: str, keys: list[str]) -> None:
    assert list(_keys(typed)) == keys
