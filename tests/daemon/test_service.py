"""The daemon as a whole: what it says, how it stops, and what it waits for."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import daemon.log_writer
import daemon.service
import daemon.shard
from daemon.cli.exits import Exit
from daemon.ledger import Ledger
from daemon.log_writer import LogWriter
from daemon.service import FORCED
from daemon.shard import Progress
from daemon.sources.directory.source import ReportDirectory
from daemon.sources.directory.tracked import SweepResult
from pipeline.engine.generator import Health
from pipeline.errors import LedgerError
from tests.daemon.house import House
from tests.daemon.test_vitals import get
from tests.pipeline.analysts import LateAnalyst, PlainAnalyst
from tests.pipeline.sessions import report


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beat fast and wait shortly."""
    monkeypatch.setattr(daemon.service, "_HEARTBEAT_S", 0.01)
    monkeypatch.setattr(daemon.shard, "_RETRY_S", (0.01,))


def events(logs: list[Any]) -> list[str]:
    return [entry["event"] for entry in logs]


def test_it_is_ready_only_after_a_full_sweep_with_all_roots_there(tmp_path: Path, quick: None) -> None:
    async def script(house: House) -> None:
        other = tmp_path / "other"
        await house.until(lambda: any(str(other) in text for text in house.statuses()), "the missing root is named")
        await house.until(lambda: house.said.count("WATCHDOG=1") > 20)
        assert "READY=1" not in house.said
        other.mkdir()
        await house.until(lambda: "READY=1" in house.said, "ready")

    house = House(tmp_path, roots=("in", "other"))
    house.run(script)
    assert house.said.count("READY=1") == 1
    assert "STOPPING=1" in house.said


def test_one_report_that_cannot_be_read_does_not_keep_it_from_being_ready(tmp_path: Path, quick: None) -> None:
    async def script(house: House) -> None:
        root = str(house.root)
        await house.until(lambda: "READY=1" in house.said)
        (source,) = house.shard.sources
        assert isinstance(source, ReportDirectory) and source.ready
        source._report(SweepResult(full=True, unreadable=(root,)))
        assert not source.ready
        source._report(SweepResult(full=False))
        assert not source.ready
        source._report(SweepResult(full=True, unreadable=(f"{root}/a.json",)))
        assert source.ready
        source._report(SweepResult(full=True, missing_roots=(root,)))
        assert not source.ready

    House(tmp_path).run(script)


def test_the_status_says_what_waits_and_why(tmp_path: Path, quick: None) -> None:
    findings = len(report("web01-ioc.json").findings)

    async def script(house: House) -> None:
        house.output.mkdir()
        house.feed("web01-ioc.json")
        expected = f"0 findings to analyse; {findings + 1} records to deliver; {house.output}: Is a directory"
        await house.until(lambda: any(text.startswith(expected) for text in house.statuses()), expected)
        house.output.rmdir()
        calm = "0 findings to analyse; 0 records to deliver"
        await house.until(lambda: house.statuses()[-1] == calm, calm)

    house = House(tmp_path, haste=1000.0)
    house.run(script)
    assert len(house.findings()) == findings


def scans(house: House) -> dict[str, Any]:
    """Give the counts in the newest scan record of each host that is out."""
    whole = house.output.read_bytes().rpartition(b"\n")[0].splitlines()
    return {one["host"]: one["counts"] for one in map(json.loads, whole) if one["schema"].startswith("sysscan.scan")}


def test_what_the_newest_scans_come_to_and_whether_all_is_well_is_served(tmp_path: Path, quick: None) -> None:
    async def script(house: House) -> None:
        async def ask(path: str) -> tuple[int, str]:
            return await asyncio.to_thread(get, house.base / "metrics.sock", path)

        async def gauges() -> list[str]:
            status, text = await ask("/metrics")
            assert status == 200
            names = ("findings", "findings_at_stake", "scopes", "last_scan_timestamp_seconds")
            return [line for line in text.splitlines() if re.match(rf"sysscan_agent_({'|'.join(names)})[ {{]", line)]

        await house.until(lambda: "READY=1" in house.said)
        assert await ask("/readyz") == await ask("/healthz") == (200, "ok\n")
        assert "sysscan_agent_scopes 0" in await gauges()
        begin = int(house.wall)
        for host, name in (("web01", "web01-ioc.json"), ("db02", "db02-default.json")):
            house.feed(name)
            await house.until(partial(lambda host: house.output.exists() and host in scans(house), host), name)
            house.wall += 3600
        newest = scans(house)
        expected = []
        for label, metric in (("level", "findings_at_stake"), ("status", "findings")):
            counts: Counter[str] = Counter()
            for one in newest.values():
                counts.update(one[label])
            expected += [f'sysscan_agent_{metric}{{{label}="{name}"}} {count}' for name, count in counts.items()]
        now = await gauges()
        assert set(expected) <= set(now) and "sysscan_agent_scopes 2" in now
        assert [line for line in now if "timestamp" in line] == [
            f'sysscan_agent_last_scan_timestamp_seconds{{of="newest"}} {begin + 3600}',
            f'sysscan_agent_last_scan_timestamp_seconds{{of="oldest"}} {begin}',
        ]
        house.output.unlink()
        house.output.mkdir()
        house.feed("micro-sockets.json")
        await house.until(lambda: "Is a directory" in house.statuses()[-1], "the output is in the way")
        status, text = await ask("/readyz")
        assert status == 503 and "Is a directory" in text, text
        assert await ask("/healthz") == (200, "ok\n")
        house.output.rmdir()
        while (await ask("/readyz"))[0] != 200:
            await house.until(lambda: True)

    House(tmp_path).run(script)


def test_lines_of_the_log_that_nobody_takes_show_in_status_and_metrics(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LogWriter(lambda line: os.write(writing, line), lambda count: b"")

    async def script(house: House) -> None:
        metrics = house.base / "metrics.prom"
        await house.until(lambda: metrics.exists() and bool(house.statuses()), "metrics")
        assert "sysscan_agent_log_lines_dropped_total 0" in metrics.read_text()
        assert "log" not in house.statuses()[-1]
        for _ in range(3):
            writer.write(b"line\n")
        await house.until(lambda: "; 3 lines of the log dropped" in house.statuses()[-1], "status")
        await house.until(lambda: "sysscan_agent_log_lines_dropped_total 3" in metrics.read_text(), "metric")

    monkeypatch.setattr(daemon.log_writer, "_of_standard_error", writer)
    House(tmp_path).run(script)


def test_a_model_that_was_given_up_shows_in_status_and_metrics(tmp_path: Path, quick: None) -> None:
    class Broken(PlainAnalyst):
        health = Health(running=False, deaths=7, refused="it died seven times")

    async def script(house: House) -> None:
        expected = "the rules answer for the model: it died seven times"
        await house.until(lambda: any(expected in text for text in house.statuses()), expected)
        metrics = house.base / "metrics.prom"
        await house.until(metrics.exists, "metrics")
        for line in ("model_refused 1", "model_running 0", "model_deaths_total 7"):
            assert f"sysscan_agent_{line}" in metrics.read_text()

    House(tmp_path, analyst=Broken()).run(script)


def test_while_an_answer_is_out_the_rest_goes_on_and_a_signal_ends_it(tmp_path: Path, quick: None) -> None:
    analyst = LateAnalyst()

    async def script(house: House) -> None:
        house.feed("web01-ioc.json")
        await house.until(lambda: analyst.num_open > 0, "a question")
        house.feed("micro-hardening.json")
        await house.until(lambda: house.ledger.waiting().findings > 97, "more is taken in")
        pings = house.said.count("WATCHDOG=1")
        await house.until(lambda: house.said.count("WATCHDOG=1") > pings + 5, "the watchdog is pinged")
        assert not house.output.exists() or not house.output.read_bytes()

    house = House(tmp_path, analyst=analyst)
    house.run(script)
    assert analyst.num_open > 0, "nobody answered"

    async def rest(house: House) -> None:
        while house.ledger.waiting().findings:
            analyst.answer(analyst.num_open)
            await asyncio.sleep(0.005)
        await house.quiet()

    house.run(rest)
    assert {line["analysis"]["origin"] for line in house.findings()} == {"model"}


def test_pings_stop_when_a_part_gets_nowhere_and_go_on_when_it_does(
    tmp_path: Path, quick: None, logs: list[Any]
) -> None:
    def stalled() -> list[list[str]]:
        return [entry["parts"] for entry in logs if entry["event"] == "service.stalled"]

    async def script(house: House) -> None:
        await house.until(lambda: house.said.count("WATCHDOG=1") > 3, "pings")
        house.shard.progress.mark("model")  # a part that never says another word
        house.ahead += 121
        await house.until(lambda: ["model"] in stalled(), "only that part is stalled")
        pings = house.said.count("WATCHDOG=1")
        beats = len(house.statuses())
        await house.until(lambda: len(house.statuses()) > beats + 5)
        assert house.said.count("WATCHDOG=1") == pings
        house.shard.progress.mark("model")
        await house.until(lambda: house.said.count("WATCHDOG=1") > pings, "pings again")

    House(tmp_path).run(script)


def test_a_part_is_stalled_when_it_has_been_silent_for_too_long() -> None:
    now = [0.0]
    progress = Progress(lambda: now[0])
    progress.mark("source")
    progress.mark("worker")
    now[0] = 100.0
    progress.mark("worker")
    assert progress.stalled() == []
    now[0] = 121.0
    assert progress.stalled() == ["source"]
    progress.mark("source")
    assert progress.stalled() == []


def test_f32_the_first_signal_finishes_what_is_in_hand(tmp_path: Path, quick: None, logs: list[Any]) -> None:
    """What is committed when the signal comes is delivered; the rest waits in the ledger, and nothing is lost."""

    async def half(house: House) -> None:
        house.feed("db02-full.json.gz")
        await house.until(lambda: house.worker.analysed["rules"] > 0, "in the middle of the scan")

    house = House(tmp_path)
    house.run(half)
    assert events(logs)[-1] == "service.stopped"
    written = len(house.findings())
    total = len(report("db02-full.json.gz").findings)
    assert 0 < written < total
    with Ledger.open(house.state, clock=lambda: 0.0) as ledger:
        assert set(ledger.outbox.backlog().values()) == {0}
        assert ledger.waiting().findings == total
        assert ledger.fsck() == []

    async def rest(house: House) -> None:
        await house.quiet()

    house.run(rest)
    keys = [one["dedupe_key"] for one in house.findings()]
    assert len(keys) == len(set(keys)) == total


def test_the_signals_handlers_are_given_back(tmp_path: Path) -> None:
    async def script(house: House) -> None:
        await house.until(lambda: "READY=1" in house.said)

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    House(tmp_path).run(script)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before


def test_sighup_sweeps_everything_at_once(tmp_path: Path, quick: None) -> None:
    async def script(house: House) -> None:
        await house.until(lambda: "READY=1" in house.said)
        house.feed("web01-ioc.json")
        await asyncio.sleep(0.05)
        assert not house.ledger.files.known()  # polled once an hour
        os.kill(os.getpid(), signal.SIGHUP)
        await house.until(lambda: len(house.ledger.files.known()) == 1, "read")

    House(tmp_path, watch="poll", poll_s=3600.0, full_sweep_s=3600.0).run(script)


def test_f24_a_ledger_without_room_is_waited_for(tmp_path: Path, quick: None, logs: list[Any]) -> None:
    async def script(house: House) -> None:
        await house.until(lambda: "READY=1" in house.said)
        connection: sqlite3.Connection = house.ledger.database.connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
        house.feed("web01-unpriv.json")
        await house.until(lambda: events(logs).count("ledger.failed") > 3, "the ledger fails")
        house.ahead += 100_000.0  # waiting for a person is not being stuck: the watchdog must not step in
        pings = house.said.count("WATCHDOG=1")
        faults = events(logs).count("ledger.failed")
        await house.until(lambda: events(logs).count("ledger.failed") > faults + 3)
        connection.execute("PRAGMA max_page_count=1000000")
        await house.quiet()
        assert house.said.count("WATCHDOG=1") > pings

    house = House(tmp_path)
    house.run(script)
    assert len(house.findings()) == len(report("web01-unpriv.json").findings)


def test_a_damaged_ledger_ends_the_daemon(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged() -> None:
        raise LedgerError("ledger.db: damaged (page 7); restore a backup")

    async def script(house: House) -> None:
        await house.until(lambda: "READY=1" in house.said)
        monkeypatch.setattr(house.ledger.work, "next_scan", damaged)
        with contextlib.suppress(AssertionError):  # that the daemon has ended
            await house.until(lambda: False)

    with pytest.raises(LedgerError, match="damaged"):
        House(tmp_path).run(script)


def test_f36_a_slow_output_holds_the_inputs_back_and_everything_comes_in_the_end(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger takes no more than the limit and one report beyond it; the rest waits in its files."""
    limit = 150
    monkeypatch.setattr(daemon.shard, "MAX_BACKLOG", limit)
    names = ("web01-ioc.json", "web01-unpriv.json", "web01-base-default.json", "db02-drift-1.json", "db02-drift-2.json")
    most = max(len(report(name).findings) for name in names)
    total = sum(len(report(name).findings) for name in names)
    held = 0

    async def script(house: House) -> None:
        nonlocal held
        house.output.mkdir()
        for name in names:
            house.feed(name)
        beats = len(house.statuses())
        await house.until(lambda: len(house.statuses()) > beats + 60 and not house.ledger.waiting().findings)
        held = max(house.ledger.outbox.backlog().values())
        assert held > limit  # blocked, not merely slow
        assert len(house.ledger.files.known()) < len(names)
        house.output.rmdir()
        await house.until(lambda: len(house.ledger.files.known()) == len(names), "the rest is read")
        await house.quiet()

    house = House(tmp_path, haste=1000.0)
    house.run(script)
    assert held <= limit + most + len(names)  # and a record for each scan
    assert len(house.findings()) == total > held


def test_f22_inputs_that_are_rotated_and_deleted_while_the_output_is_blocked_are_not_lost(
    tmp_path: Path, quick: None
) -> None:
    async def script(house: House) -> None:
        house.output.mkdir()
        path = house.feed("web01-base-default.ndjson", "scan.ndjson")
        await house.until(lambda: bool(house.ledger.files.known()), "read")
        path.rename(path.with_name("scan.ndjson.1"))
        house.feed("web01-fs-hygiene.ndjson", "scan.ndjson")
        await house.until(lambda: house.ledger.status()["scans_done"] == 2, "both are analysed")
        for item in house.root.iterdir():
            item.unlink()
        await house.until(lambda: any("Is a directory" in text for text in house.statuses()), "blocked")
        house.output.rmdir()
        await house.quiet()

    house = House(tmp_path, haste=1000.0)
    house.run(script)
    expected = [*report("web01-base-default.ndjson").findings, *report("web01-fs-hygiene.ndjson").findings]
    assert [one["finding"]["id"] for one in house.findings()] == [finding.id for finding in expected]


def test_the_exit_code_of_the_second_signal_is_the_documented_one() -> None:
    assert FORCED == Exit.FORCED
