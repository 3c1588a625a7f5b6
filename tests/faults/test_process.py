"""Faults that only a process of its own can show."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.service import FORCED
from tests.crash.process import LAUNCHER, PATIENCE_S, ROOT, Agent, Launcher, environment, wait_until
from tests.pipeline.sessions import SCANS, report


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    forks = Launcher()
    yield forks
    forks.close()


@pytest.fixture
def agent(tmp_path: Path, launcher: Launcher) -> Iterator[Agent]:
    made = Agent(tmp_path, launcher)
    made.root.mkdir()
    yield made
    if made.is_alive():
        made.kill()


def feed(agent: Agent, name: str, to: str | None = None) -> Path:
    path = agent.root / (to or name)
    part = path.with_name("part")
    part.write_bytes((SCANS / name).read_bytes())
    return part.rename(path)


def lines(agent: Agent) -> int:
    """Count lines of findings and scans; issues stand before their scan."""
    return sum(b'"schema":"sysscan.issue/1"' not in line for line in agent.written().splitlines(keepends=True))


def test_f32_sigterm_in_the_middle_of_a_scan_ends_it_well_and_the_next_start_goes_on(agent: Agent) -> None:
    total = len(report("db02-full.json.gz").findings)
    agent.start()
    feed(agent, "db02-full.json.gz")
    wait_until(lambda: lines(agent) > 0, "in the middle")
    agent.kill(signal.SIGTERM)  # waits for the end
    assert agent.has_logged("service.stopped")
    assert 0 < lines(agent) < total
    assert agent.written().endswith(b"\n")
    assert agent.problems() == []
    agent.finish()
    assert lines(agent) == total + 1


def test_f32_a_second_signal_ends_it_even_while_a_step_hangs(tmp_path: Path) -> None:
    """The first is noticed when the step ends; the second does not wait for that."""
    reports = tmp_path / "in"
    reports.mkdir()
    (reports / "a.json").write_bytes((SCANS / "web01-ioc.json").read_bytes())
    hang = "import time, daemon.worker as w; w.Worker._run = lambda *_: (print('hangs', flush=True), time.sleep(600))"
    code = f"{hang}; import sys; from daemon.cli.app import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", "--watch", str(reports), "--state-dir", str(tmp_path / "state")],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"hangs\n"
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == FORCED


def refused(agent: Agent) -> str:
    done = subprocess.run(
        [sys.executable, str(LAUNCHER), *agent.arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    said = done.stderr.decode()
    assert done.returncode == 3
    assert said.count("\n") == 1
    return said


def test_f30_a_second_daemon_on_the_same_state_is_refused(agent: Agent) -> None:
    agent.start()
    wait_until(lambda: agent.has_logged("service.ready"), "ready")
    assert "owns this state directory; stop it first or choose another --state-dir" in refused(agent)
    assert agent.is_alive()


def test_f31_a_ledger_of_a_newer_version_is_refused(agent: Agent) -> None:
    Ledger.open(agent.state, clock=lambda: 0.0).close()
    with sqlite3.connect(agent.state / "ledger.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "schema 99 was written by a newer version" in refused(agent)


def test_f28_with_few_descriptors_everything_is_read_in_the_end(agent: Agent) -> None:
    names = [f"{number:03}.ndjson" for number in range(60)]  # streams are held open
    content = (SCANS / "micro-default.ndjson").read_bytes()
    for number, name in enumerate(names):
        (agent.root / name).write_bytes(content.replace(b'"hostname":"', b'"hostname":"h%d' % number, 1))

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

    process = subprocess.Popen(
        [sys.executable, str(LAUNCHER), *agent.arguments],
        cwd=ROOT,
        env=environment(),
        preexec_fn=few,
        stderr=subprocess.DEVNULL,
    )
    try:
        expected = len(names) * (content.count(b'"type":"finding"') + 1)
        wait_until(lambda: lines(agent) >= expected, f"{expected} lines")
        assert lines(agent) == expected
    finally:
        process.kill()
        process.wait()


def test_f37_after_a_long_stop_everything_that_came_meanwhile_is_read(agent: Agent) -> None:
    agent.start()
    wait_until(lambda: agent.has_logged("service.ready"), "ready")
    assert agent._pid is not None
    os.kill(agent._pid, signal.SIGSTOP)
    expected = 0
    for name in ("web01-ioc.json", "web01-unpriv.json", "micro-default.ndjson"):
        feed(agent, name)
        expected += len(report(name).findings) + 1
    os.kill(agent._pid, signal.SIGCONT)
    wait_until(lambda: lines(agent) >= expected, "everything")
    assert lines(agent) == expected


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal", "state"])
def test_a_ledger_that_is_taken_away_under_the_daemon_ends_it_in_one_line(agent: Agent, name: str) -> None:
    process = subprocess.Popen(
        [sys.executable, str(LAUNCHER), *agent.arguments],
        cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        feed(agent, "web01-ioc.json")
        wait_until(lambda: agent.state.exists() and lines(agent) > 0, "the first findings")
        if name == "state":
            agent.state.rename(agent.state.with_name("elsewhere"))
        else:
            (agent.state / name).unlink()
        _, said = process.communicate(timeout=PATIENCE_S)  # although nothing more comes in
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 3
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("sysscan-agent: ") and "under the running program" in said


def test_checkpoints_that_are_taken_away_under_the_daemon_cost_nothing(agent: Agent) -> None:
    total = len(report("db02-full.json.gz").findings)
    agent.start()
    feed(agent, "db02-full.json.gz")
    wait_until(lambda: lines(agent) > 0, "in the middle")
    for file in agent.state.glob("checkpoints.db*"):
        file.unlink()
    wait_until(lambda: lines(agent) == total + 1, "everything")
    agent.kill(signal.SIGTERM)
    assert agent.problems() == []
