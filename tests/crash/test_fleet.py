"""The feed of many alike hosts, swept in this process: fast enough for many seeds, and each is the same every time.

What `test_aimed.py` shows of the whole program is shown here of sources and ledger, with sweeps, crashes and pauses at
any step. `SYSSCAN_CRASH_FEEDS` says how many feeds (default 3), `SYSSCAN_CRASH_SEED` the first.
"""

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.sweep import Sweeper
from pipeline.report.limits import Limits
from tests.crash.fleet import Fleet

FEEDS = int(os.environ.get("SYSSCAN_CRASH_FEEDS", "3"))
SEED = int(os.environ.get("SYSSCAN_CRASH_SEED", "1"))


class Side:
    """A sweeper with a ledger, which is closed and opened again at will."""

    def __init__(self, root: Path, state: Path) -> None:
        self._root = root
        self._state = state
        self._now = 1000.0
        self._open()

    def _open(self) -> None:
        self.ledger = Ledger.open(self._state, clock=lambda: 0.0)
        settings = WatchSettings(roots=(str(self._root),), rotate_wait_s=0.2)
        self._sweeper = Sweeper(
            self.ledger.inputs, self.ledger.files, Limits(), settings, clock=lambda: self._now
        )  # fmt: skip

    def sweep(self, times: int = 1) -> None:
        for _ in range(times):
            self._now += 0.5
            self._sweeper.sweep()

    def look_at(self, directory: Path) -> None:
        """Sweep one directory, as an event of it makes the daemon do; what happened elsewhere is not noticed."""
        self._now += 0.5
        self._sweeper.sweep([str(directory)])

    def crash(self) -> None:
        self._sweeper.close_files()
        self.ledger.close()
        self._open()

    def scans(self) -> "Counter[str]":
        rows = self.ledger.database.connection.execute("SELECT host FROM scans WHERE scan_no IS NOT NULL")
        return Counter(host for (host,) in rows)


@pytest.mark.parametrize("seed", range(SEED, SEED + FEEDS))
def test_each_scan_of_each_host_is_taken_once_whenever_somebody_looks(seed: int, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "in", tmp_path / "aside", seed, rounds=8, findings=3)
    choose = random.Random(seed)
    root = tmp_path / "in"
    side = Side(root, tmp_path / "state")
    down = 0
    for step in fleet.steps():
        if step.needs:
            side.sweep(4)
            down = 0
        elif down:
            down -= 1
        elif choose.random() < 0.15:
            side.crash()
            down = choose.randint(2, 12)
        elif choose.random() < 0.3:
            side.sweep()
        elif choose.random() < 0.3:
            side.look_at(choose.choice([root, *sorted(path for path in root.iterdir() if path.is_dir())]))
        step.act()
    side.sweep(4)
    side.crash()
    side.sweep(4)
    assert side.scans() == Counter({host.name: host.produced.total() for host in fleet.hosts if host.produced})
    assert side.ledger.fsck() == []
