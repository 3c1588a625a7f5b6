r"""F1: killed at system calls, among hosts whose scans are alike, and counted by the feeder alone.

`SYSSCAN_CRASH_AIMED` says how many kills (default 12; `.ci/run` makes 40), `SYSSCAN_CRASH_ROUNDS` how many rounds the
feed has, `SYSSCAN_CRASH_FINDINGS` how many findings each scan, `SYSSCAN_CRASH_SEED` everything else. The long form is

    SYSSCAN_CRASH_AIMED=312 SYSSCAN_CRASH_ROUNDS=38 SYSSCAN_CRASH_FINDINGS=512 \
        .venv/bin/pytest -s tests/crash/test_aimed.py
"""

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.aim import AimedAgent
from tests.crash.fleet import Fleet, judge
from tests.crash.process import Launcher

KILLS = int(os.environ.get("SYSSCAN_CRASH_AIMED", "12"))
ROUNDS = int(os.environ.get("SYSSCAN_CRASH_ROUNDS", "5"))
FINDINGS = int(os.environ.get("SYSSCAN_CRASH_FINDINGS", "12"))
SEED = int(os.environ.get("SYSSCAN_CRASH_SEED", "1"))
HANGS_S = 600.0
CATCH_UP_S = 600.0
LINGERS_S = 2.0  # that a step waits for a kill that is due; then the daemon is idle, or aimed at what it never does
MAY_WAIT = 4  # scans: more are caught up with, so that kills fall into analysis and output, too
CATCHES_UP = 30  # how much later daemons are killed then
DOWN = 0.05  # share of the steps after which nobody runs for a while


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    forks = Launcher(SYSSCAN_OUTPUT__ROTATE_BYTES=str(8 << 20))
    yield forks
    forks.close()


class Driver:
    """Lets the feed go on beside an agent that dies again and again."""

    def __init__(self, agent: AimedAgent, seed: int) -> None:
        self._agent = agent
        self._choose = random.Random(seed)
        self._down = 0

    def step(self, wanted: float) -> None:
        """Keep the agent up, or down for some steps.

        Args:
            wanted: aimed kills by now; while there are fewer, each step waits for the next.
        """
        if self._down:
            self._down -= 1
        elif self._choose.random() < DOWN and self._agent.is_alive():
            self._agent.kill_now()
            self._down = self._choose.randint(2, 12)
        else:
            self.up()
            if self._agent.kills.total() < wanted:
                self._linger()

    def _linger(self) -> None:
        deadline = time.monotonic() + LINGERS_S
        while self._agent.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        if self._agent.is_alive():
            self._agent.kill_now()

    def up(self, reach: int = 1) -> None:
        self._down = 0
        agent = self._agent
        if agent.is_alive():
            return
        if agent.note_death():
            assert agent.problems() == []
        if agent.kills.total() < KILLS:
            agent.start_aimed(reach)
        else:
            agent.start()

    def catch_up(self) -> None:
        """Wait until little waits for analysis and output, whoever dies meanwhile."""
        deadline = time.monotonic() + CATCH_UP_S
        while self._agent.waits() > MAY_WAIT * FINDINGS:
            self.up(CATCHES_UP)
            assert time.monotonic() < deadline, f"it never catches up: {self._agent.log.read_text()}"
            time.sleep(0.05)

    def settle(self, paths: tuple[Path, ...]) -> None:
        """Wait until files are read, whoever dies meanwhile."""
        for path in paths:
            deadline, began = time.monotonic() + HANGS_S, self._agent.starts
            while not self._agent.has_read(path):
                self.up(1 + (self._agent.starts - began) // 4)  # on a slow machine many die before they get so far
                if self._choose.random() < 0.02:
                    self._agent.kill_model()
                assert time.monotonic() < deadline, f"{path} is never read: {self._agent.log.read_text()}"
                time.sleep(0.02)


def _lines(output: Path) -> Iterator[bytes]:
    for path in (*sorted(output.parent.glob("out.[0-9]*.ndjson")), output):
        with path.open("rb") as file:
            yield from file


@pytest.mark.slow
def test_killed_at_system_calls_every_host_has_what_it_produced(launcher: Launcher, tmp_path: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    agent = AimedAgent(tmp_path, launcher, SEED)
    fleet = Fleet(agent.root, tmp_path / "aside", SEED, rounds=ROUNDS, findings=FINDINGS)
    driver = Driver(agent, SEED)
    began = time.monotonic()
    for step in fleet.steps():
        driver.catch_up()
        driver.step(KILLS * fleet.round / ROUNDS)
        driver.settle(step.needs)
        step.act()
    while agent.kills.total() < KILLS:
        driver.step(KILLS)
    driver.settle(fleet.last())
    agent.kill_now()
    agent.finish()
    verdict = judge(fleet, _lines(agent.output))
    print(
        f"{verdict.findings} findings of {fleet.total()}, {len(verdict.lost)} hosts lost some, "
        f"{len(verdict.doubled)} doubled some; {agent.kills.total()} aimed kills {dict(agent.kills)}, "
        f"{agent.starts} starts, {agent.model_kills} kills of the model, "
        f"{time.monotonic() - began:.0f} s; fed: {dict(fleet.done)}"
    )
    assert verdict.is_right, verdict
    assert agent.kills.total() >= KILLS
    assert agent.problems() == []
