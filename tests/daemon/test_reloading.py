"""Knowledge and policy change without a restart, between two scans; what cannot be used changes nothing and is said."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.reloading import Reloading, last_reload
from daemon.worker import Worker
from pipeline.graph.resources import Resources
from pipeline.rules.policy import Policy
from tests.crash.process import wait_until
from tests.daemon.cli.invoke import SCANS, in_a_process
from tests.daemon.running import Running
from tests.daemon.test_worker import Shop
from tests.pipeline.sessions import resources

POLICY = "overrides:\n  - {class: ioc.deleted_executable, severity: %s, reason: ours}\n"


def test_the_scan_in_hand_is_ended_with_what_it_began_with_and_the_next_one_has_the_new(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "state")
    shop.take_in("web01-ioc.json")
    shop.take_in("web01-sysctl-weak.json")
    worker: Worker = shop.worker()
    newer = resources(Policy(profile="default", digest="f" * 32))
    assert newer.policy.digest != shop.resources.policy.digest
    worker.step()
    worker.step()
    worker.replace(newer)
    assert worker.policy is shop.resources.policy
    shop.finish(worker)
    assert worker.policy is newer.policy
    scans = [json.loads(line) for line in shop.written("scan")]
    assert [scan["provenance"]["policy"] for scan in scans] == [shop.resources.policy.digest, "f" * 32]
    for line in map(json.loads, shop.written()):
        expected = shop.resources.policy.digest if line["scan_id"] == scans[0]["scan_id"] else "f" * 32
        assert line["provenance"]["policy"] == expected
    shop.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY % "low")
    daemon = Running(tmp_path, "--policy", str(policy), SYSSCAN_MODEL__ENABLED="false")
    daemon.start()
    yield daemon
    daemon.end()


def severity(running: Running) -> str:
    """Have a scan analysed; gives what its deleted executable has."""
    number = len(running.lines("sysscan.scan/1")) + 1
    report = json.loads((SCANS / "web01-ioc.json").read_text())
    report["summary"]["finished_at"] = f"2026-11-30T00:00:{number:02d}Z"
    running.feed(f"scan-{number}.json", json.dumps(report).encode())
    wait_until(lambda: len(running.lines("sysscan.scan/1")) == number, "the scan")
    lines = running.lines("sysscan.enriched/1")
    return str(next(line for line in reversed(lines) if line["class"] == "ioc.deleted_executable")["severity"])


def test_reload_takes_a_changed_policy_and_refuses_a_bad_one_with_its_line(running: Running, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"

    def reload() -> tuple[int, str]:
        ended = in_a_process("reload", "--state-dir", str(running.state))
        return ended.code, ended.out + ended.err

    assert severity(running) == "low"
    policy.write_text(POLICY % "critical")
    code, said = reload()
    assert code == 0 and "in use from the next scan on" in said
    assert severity(running) == "critical"

    policy.write_text(POLICY % "dreadful")
    code, said = reload()
    assert code == 2 and f"{policy}:2" in said and "nothing has changed" in said
    assert severity(running) == "critical"
    status = in_a_process("ledger", "status", "--json", "--state-dir", str(running.state))
    assert f"{policy}:2" in json.loads(status.out)["last_reload"]

    policy.write_text(POLICY % "medium")
    before = last_reload(running.state)
    running.process.send_signal(signal.SIGHUP)  # as systemd does it
    wait_until(lambda: last_reload(running.state) != before, "it has reloaded")
    assert severity(running) == "medium"


def test_what_is_no_regular_file_is_refused_and_keeps_neither_later_requests_nor_the_end_waiting(
    running: Running, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    assert severity(running) == "low"
    for of_a_directory in (False, True):  # a policy may be a directory of files, too
        policy.unlink()
        if of_a_directory:
            policy.mkdir()
        fifo = policy / "one.yaml" if of_a_directory else policy
        os.mkfifo(fifo)
        ended = in_a_process("reload", "--state-dir", str(running.state))
        assert ended.code == 2 and f"{fifo}: cannot be read: not a regular file" in ended.err
        assert severity(running) == "low"
        fifo.unlink()
        if of_a_directory:
            policy.rmdir()
        policy.write_text(POLICY % "critical")
        assert in_a_process("reload", "--state-dir", str(running.state)).code == 0
        assert severity(running) == "critical"
        policy.write_text(POLICY % "low")
        assert in_a_process("reload", "--state-dir", str(running.state)).code == 0
    policy.unlink()
    os.mkfifo(policy)
    running.process.send_signal(signal.SIGHUP)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=60) == 0


def test_reading_that_hangs_is_said_and_a_later_request_is_answered_all_the_same(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "state")
    worker: Worker = shop.worker()
    stuck = threading.Event()
    ended: list[str] = []

    def load(before: Resources) -> Resources:
        if not ended:
            ended.append("began")
            assert stuck.wait(60)
            ended.append("gave up")
            return resources(Policy(profile="default", digest="e" * 32))
        return resources(Policy(profile="default", digest="f" * 32))

    async def go() -> None:
        reloading = Reloading(worker, load, None, slow_s=0.01)
        reloading.ask()
        while reloading.problem is None:
            await asyncio.sleep(0.01)
        assert "has not ended" in reloading.problem and worker.resources is shop.resources
        reloading.ask()
        while worker.resources is shop.resources:
            await asyncio.sleep(0.01)
        while reloading.problem is not None:
            await asyncio.sleep(0.01)
        stuck.set()
        while len(ended) < 2:
            await asyncio.sleep(0.01)
        for _ in range(10):  # what was read first comes last, and is too late
            await asyncio.sleep(0.01)
        assert worker.resources.policy.digest == "f" * 32

    asyncio.run(go())
    shop.close()


def test_the_end_does_not_wait_for_reading_that_hangs(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "state")
    worker: Worker = shop.worker()
    stuck, came, ended = threading.Event(), threading.Event(), threading.Event()

    def load(before: Resources) -> Resources:
        came.set()
        stuck.wait(60)
        ended.set()
        return before

    async def go() -> None:
        Reloading(worker, load, None).ask()
        while not came.is_set():
            await asyncio.sleep(0.01)

    asyncio.run(go())
    assert not ended.is_set()
    stuck.set()
    shop.close()


def test_reload_without_a_daemon_says_so(tmp_path: Path) -> None:
    ended = in_a_process("reload", "--state-dir", str(tmp_path))
    assert ended.code == 4 and "no daemon runs" in ended.err
