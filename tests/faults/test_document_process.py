"""Large documents under the real daemon: it, or the process that reads them, killed and stopped; hostile ones among
others. No byte changes, nothing is lost, and nobody is stopped by a stranger."""

import contextlib
import gzip
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from tests.crash.process import wait_until
from tests.daemon.running import PATIENCE_S, WITH_A_FIXED_CLOCK, Running
from tests.pipeline.sessions import SCANS

LARGE = gzip.decompress((SCANS / "db02-full.json.gz").read_bytes())
SMALL = (SCANS / "web01-ioc.json").read_bytes()
SEED = int(os.environ.get("SYSSCAN_CRASH_SEED", "1"))


class Daemon(Running):
    """A daemon without a model, on a directory with a large report and a small one."""

    def __init__(self, base: Path) -> None:
        super().__init__(base, program=WITH_A_FIXED_CLOCK, SYSSCAN_MODEL__ENABLED="false")

    def parser(self) -> int | None:
        """Return the id of the process that reads documents, when there is one."""
        return next(iter(self.children("pipeline.report.serve")), None)

    def staged(self) -> bool:
        """Say whether a document is coming in just now."""
        with contextlib.suppress(Exception), Ledger.open(self.state, clock=lambda: 0.0, read_only=True) as ledger:
            found = ledger.database.connection.execute("SELECT count(*) FROM staging").fetchone()
            return bool(found[0])
        return False

    def check(self) -> None:
        with Ledger.open(self.state, clock=lambda: 0.0) as ledger:
            assert ledger.fsck() == []
            while ledger.work.settle():
                pass
            for table in ("staging", "inbox"):
                assert ledger.database.connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "disturbed")
    yield made
    made.end()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    made = Daemon(tmp_path_factory.mktemp("undisturbed"))
    feed(made)
    return made.finish()


def feed(daemon: Daemon) -> None:
    daemon.feed("large.json", LARGE, 1_000)
    daemon.feed("small.json", SMALL, 2_000)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_f42_its_process_killed_in_the_middle_changes_no_byte(
    daemon: Daemon, undisturbed: bytes, number: signal.Signals
) -> None:
    feed(daemon)
    process = daemon.start("--once")
    wait_until(lambda: daemon.parser() is not None or process.poll() is not None, "a process", 0.001)
    pid = daemon.parser()
    assert pid is not None
    os.kill(pid, number)
    assert process.wait(PATIENCE_S) == 0, daemon.log.read_text()
    assert daemon.output.read_bytes() == undisturbed
    assert daemon.events().count("parser.failed") == 1
    daemon.check()


def test_f42_killed_at_any_moment_while_it_takes_one_in_the_daemon_goes_on(daemon: Daemon, undisturbed: bytes) -> None:
    """Also shows that no process outlives it."""
    choose = random.Random(SEED)
    feed(daemon)
    met = 0
    for _ in range(6):
        process = daemon.start()
        wait_until(lambda: daemon.parser() is not None or daemon.output.exists(), "a process", 0.002)
        pid = daemon.parser()
        time.sleep(choose.uniform(0, 0.8))
        met += daemon.staged()
        process.kill()
        process.wait()
        if pid is not None:
            wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), "its process has ended")  # type: ignore[misc]
    assert daemon.finish() == undisturbed
    daemon.check()


def test_f42_one_that_kills_its_process_is_refused_and_holds_nobody_up(daemon: Daemon) -> None:
    hostile = {
        "lists": b"[" + b"[]," * 3_000_000 + b"1]",
        "deep": b"[" * 1_000_000 + b"]" * 1_000_000,
        "text": b'"' + b"x" * 9_000_000 + b'"',
        "keys": b"{" + b",".join(b'"%07x":1' % number for number in range(700_000)) + b"}",
    }
    for at, (name, value) in enumerate(hostile.items()):
        finding = b'{"id":"a","severity":"low","metadata":%b}' % (value if name == "keys" else b'{"m":%b}' % value)
        data = b'{"meta":{"hostname":"h"},"results":[{"scanner":"s","findings":[%b]}]}' % finding
        daemon.feed(f"{name}.json", data, 100 + at)
    daemon.feed("bomb.json.gz", gzip.compress(b'{"results":[' + b" " * (31 << 20)), 200)
    daemon.feed("bomb2.json.gz", gzip.compress(b" " * (64 << 20)), 201)
    feed(daemon)
    limits = {"SYSSCAN_LIMITS__MAX_PARSER_MEMORY": str(96 << 20), "SYSSCAN_WATCH__SETTLE_S": "0"}
    daemon.finish(1, **limits)
    with Ledger.open(daemon.state, clock=lambda: 0.0) as ledger:
        reasons = {Path(row.source).name: row.reason for row in ledger.quarantine.rows()}
        assert ledger.fsck() == []
        closed = ledger.database.connection.execute(
            "SELECT count(*) FROM scans WHERE state = 'done' AND findings > 50"
        ).fetchone()
    assert reasons["lists.json"] == "too_costly"
    assert reasons["text.json"] in ("too_large", "too_costly")
    assert reasons["bomb2.json.gz"] == "too_large"
    assert set(reasons) >= {"lists.json", "deep.json", "text.json", "keys.json", "bomb2.json.gz"}
    assert closed == (2,)
    written = [json.loads(line) for line in daemon.output.read_bytes().splitlines()]
    assert sum(one["schema"] == "sysscan.enriched/1" for one in written) >= 3_176 + 97


def test_f42_told_to_stop_in_the_middle_it_ends_soon_and_the_next_start_goes_on(
    daemon: Daemon, undisturbed: bytes
) -> None:
    feed(daemon)
    daemon.start()
    wait_until(lambda: daemon.parser() is not None, "a process", 0.002)
    pid = daemon.parser()
    assert pid is not None
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    daemon.end(signal.SIGTERM)
    assert not Path(f"/proc/{pid}").exists()
    assert daemon.finish() == undisturbed
    daemon.check()
