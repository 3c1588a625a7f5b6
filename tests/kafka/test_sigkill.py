"""The agent with a directory in front and Kafka behind is killed at every step; readers see everything once.

What must hold: a reader of what is committed sees every line that the directory's reports amount to, once, and per host
in order. The oracle is not the agent: how many findings a report has is counted by the reader of reports, and the file
that the same agent writes beside it is held to the same.

`SYSSCAN_KAFKA_KILLS` says how many kills.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.process import ROOT
from tests.kafka import places
from tests.kafka.broker import Cluster
from tests.kafka.forks import Launcher, bare
from tests.kafka.launcher import STEPS

KILLS = int(os.environ.get("SYSSCAN_KAFKA_KILLS", "48"))
SEED = 1
SCAN = ROOT / "tests" / "data" / "scans" / "micro-default.ndjson"
PATIENCE_S = 60.0


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    one = Launcher("tests.kafka.launcher")
    yield one
    one.close()


@pytest.mark.slow
def test_killed_at_every_step_a_reader_sees_everything_once_and_in_order(
    cluster: Cluster, topic: Callable[..., str], launcher: Launcher, tmp_path: Path
) -> None:
    findings, scans = topic(2), topic(2)
    root, log, output = tmp_path / "in", tmp_path / "log", tmp_path / "out.ndjson"
    root.mkdir()
    config = tmp_path / "config.toml"
    config.write_text(
        f'state_dir = "{tmp_path / "state"}"\n[watch]\nroots = ["{root}"]\n[output]\npath = "{output}"\n'
        f"[analysis]\nbatch_size = 4\n[model]\nenabled = false\n"
        f'[kafka]\nbrokers = ["{cluster.plain[0]}"]\ntopic = "{findings}"\nscans_topic = "{scans}"\n'
    )
    arguments = ["run", "--config", str(config)]
    choose = random.Random(SEED)
    report = SCAN.read_text()
    assert '"hostname":"vm"' in report
    hosts: Counter[str] = Counter()
    kills: Counter[str] = Counter()
    for number in range(KILLS):
        host = f"host-{number % 5}"
        hosts[host] += 1
        path = root / f"{number}.part"
        path.write_text(report.replace('"hostname":"vm"', f'"hostname":"{host}"').replace("3024", str(3100 + number)))
        path.rename(path.with_suffix(".ndjson"))
        step = STEPS[number % len(STEPS)]
        after = choose.choice((1, 1, 2, 3))
        pid = launcher.start(step, 1 if step == "connect" else after, log, arguments)
        deadline = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{pid}").exists():
            # With little to do it may come to a step less often than asked for; then it is killed where it is.
            if time.monotonic() > deadline:
                raise AssertionError(f"{step} {after}: never; {log.read_text()[-2000:]}")
            if after > 1 and time.monotonic() > deadline - PATIENCE_S + 4:
                os.kill(pid, 9)
                step = "anywhere"
                after = 1
            time.sleep(0.005)
        kills[step] += 1
    done = subprocess.run(
        [sys.executable, "-m", "daemon.cli", *arguments, "--once"],
        cwd=ROOT, env=bare(), capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()

    seen = places.records(cluster, findings)
    uncommitted = places.records(cluster, findings, isolation="read_uncommitted")
    print(f"kills: {dict(kills)}; findings: {len(seen)}; aborted, never seen: {len(uncommitted) - len(seen)}")
    keys = [dict(one.headers)["ce_id"] for one in seen]
    assert len(keys) == len(set(keys)) == 20 * KILLS
    assert Counter(one.key.decode() for one in seen) == Counter({host: 20 * count for host, count in hosts.items()})
    written = [json.loads(line) for line in output.read_bytes().splitlines()]
    for host in hosts:
        of_file = [one["dedupe_key"] for one in written if "finding" in one and one["host"] == host]
        assert [dict(one.headers)["ce_id"].decode() for one in seen if one.key.decode() == host] == of_file
    assert len(places.records(cluster, scans)) == KILLS
    assert sum(kills.values()) == KILLS
    assert kills["anywhere"] < KILLS / 4  # or most were not killed where they should
