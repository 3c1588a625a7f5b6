"""F1, F2: the agent is killed again and again at random moments, and its output is that of a run in peace.

What must be equal, byte by byte: everything that was written, over all files of the output in order (where a file is
closed depends on how rows were batched, so single files may differ). This holds because the feed fixes the order of
the scans, and the wall clock stands still. At every kill, too, what is written must be a beginning of the final
output, and the ledger must keep all its rules.

`SYSSCAN_CRASH_KILLS` says how many kills (default 20), `SYSSCAN_CRASH_SEED` where they fall.
"""

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.feed import Feed
from tests.crash.process import Agent, Launcher, size_of

KILLS = int(os.environ.get("SYSSCAN_CRASH_KILLS", "20"))
SEED = int(os.environ.get("SYSSCAN_CRASH_SEED", "1"))
FEED_SEED = 7

# Where a kill is aimed at: anywhere, or at a moment that something interesting has just begun.
AIMS = ("anywhere", "power", "output", "ledger", "start", "power", "service.started", "output", "scan.finished")


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    forks = Launcher()
    yield forks
    forks.close()


@pytest.fixture(scope="module")
def peaceful(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """A run that nobody disturbs."""
    base = tmp_path_factory.mktemp("peace")
    agent = Agent(base, launcher)
    feed = Feed(agent.root, base / "aside", FEED_SEED)
    agent.start()
    for step in feed.steps:
        step.act()
        agent.settle(step.settled)
    agent.kill()
    agent.finish()
    assert agent.starts == 1
    documents = [json.loads(line) for line in agent.written().splitlines()]
    findings = [one for one in documents if one["schema"] == "sysscan.enriched/1"]
    assert len(findings) == feed.findings()
    return agent


class Killer:
    """Kills and restarts an agent, and checks at each kill what the crash left."""

    def __init__(self, agent: Agent, expected: bytes, seed: int) -> None:
        self._agent = agent
        self._expected = expected
        self._random = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.met: Counter[str] = Counter()

    def strike(self) -> None:
        aim = AIMS[sum(self.kills.values()) % len(AIMS)]
        self._take_aim(aim)
        self._agent.kill()
        if aim == "power":
            self._agent.cut_power(self._random.randint)
        self.kills[aim] += 1
        assert self._agent.problems() == []
        written = self._agent.written()
        self.met["torn line"] += written[-1:] not in (b"", b"\n")
        self.met["half done"] += 0 < len(written) < len(self._expected)
        self.met["lines to adopt"] += self._agent.unmarked(written) > 0
        assert self._expected.startswith(written), f"differs after kill {self.kills}"

    def _take_aim(self, aim: str) -> None:
        agent = self._agent
        if aim in ("output", "power"):
            self._await(agent.size)
            time.sleep(self._random.choice((0.0, self._random.uniform(0, 0.003))))
            return
        elif aim == "ledger":
            wal = agent.state / "ledger.db-wal"
            self._await(lambda: size_of(wal))
        elif aim == "start":
            agent.kill()
            agent.start()
            time.sleep(self._random.uniform(0, 0.15))
        elif aim in ("service.started", "scan.finished"):
            agent.kill()
            agent.start()
            self._await(lambda: agent.has_logged(aim))
        time.sleep(self._random.choice((0.0, self._random.uniform(0, 0.004), self._random.uniform(0, 0.08))))

    def _await(self, look: Callable[[], object]) -> None:
        """Wait for a change, but not for long: there may be nothing left to do."""
        before, deadline = look(), time.monotonic() + 0.3
        while look() == before and time.monotonic() < deadline:
            time.sleep(0.0002)


def test_killed_at_random_moments_nothing_is_lost_nothing_is_doubled_and_nothing_is_torn(
    peaceful: Agent, launcher: Launcher, tmp_path: Path
) -> None:
    agent = Agent(tmp_path, launcher)
    feed = Feed(agent.root, tmp_path / "aside", FEED_SEED)
    expected = peaceful.written()
    killer = Killer(agent, expected, SEED)
    choose = random.Random(SEED)
    due = Counter(choose.randrange(len(feed.steps)) for _ in range(KILLS))
    agent.start()
    for number, step in enumerate(feed.steps):
        step.act()
        for _ in range(due[number]):
            killer.strike()
            agent.start()
        agent.settle(step.settled)
    agent.kill()
    agent.finish()
    assert sum(killer.kills.values()) == KILLS
    print(f"kills: {dict(killer.kills)}; met: {dict(killer.met)}")  # shown with -s and when it fails

    written = agent.written()
    documents = [json.loads(line) for line in written.splitlines()]
    keys = [one["dedupe_key"] for one in documents if one["schema"] == "sysscan.enriched/1"]
    scans = [one["scan_id"] for one in documents if one["schema"] == "sysscan.scan/1"]
    assert len(keys) == len(set(keys))
    assert len(scans) == len(set(scans))
    assert written == expected
    assert agent.quarantine() == peaceful.quarantine()
    assert agent.problems() == []
