"""One loop with two ends, its parts that fail, and two of it side by side."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import daemon.shard
import daemon.worker
from daemon.checkpoints import Checkpoints
from daemon.compose import SINKS, open_shard
from daemon.ledger import Ledger
from daemon.metrics import Metrics
from daemon.notify import Notifier
from daemon.ports.outbox import OutboxRow
from daemon.ports.sink import Sink
from daemon.service import Service
from daemon.settings import MetricsSettings, OutputSettings, Settings
from daemon.shard import Shard
from daemon.sinks.lines import line_maker
from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.sweep import Sweeper
from daemon.waiting import wait_for_any
from pipeline.errors import LedgerError
from pipeline.graph.resources import Resources
from pipeline.report.limits import Limits
from tests.daemon.house import PATIENCE_S, SCANS, House
from tests.daemon.ledger.reports import records, scan
from tests.daemon.sinks.memory_sink import HoldingSink, MemorySink
from tests.pipeline.analysts import PlainAnalyst
from tests.pipeline.sessions import report, resources


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


class Place:
    """A state directory with a watched one beside it; outlives the shards that are run on it."""

    def __init__(self, base: Path, *names: str) -> None:
        self.root = base / "in"
        self.root.mkdir(parents=True)
        self.output = base / "out.ndjson"
        self.settings = Settings(
            state_dir=base / "state",
            output=OutputSettings(path=self.output),
            watch=WatchSettings(roots=(str(self.root),), full_sweep_s=0.2, settle_s=0.0),
        )
        for name in names:
            shutil.copyfile(SCANS / name, self.root / name)

    @contextlib.contextmanager
    def shard(self, shared: Resources | None = None, name: str = "") -> Iterator[Shard]:
        with Ledger.open(self.settings.state_dir, clock=lambda: 1_800_000_000.0) as ledger:
            checkpoints = Checkpoints(self.settings.state_dir / "checkpoints.db")
            try:
                yield open_shard(self.settings, ledger, shared or resources(), checkpoints, name=name)
            finally:
                checkpoints.close()

    def drain(self, shared: Resources | None = None) -> Shard:
        with self.shard(shared) as shard:
            asyncio.run(shard.run(asyncio.Event(), dry=True))
        return shard

    def take_output(self) -> bytes:
        """Give what was written, and forget all that has happened."""
        written = self.output.read_bytes()
        self.output.unlink()
        shutil.rmtree(self.settings.state_dir)
        return written


REPORTS = ("web01-ioc.json", "web01-fs-hygiene.ndjson", "db02-drift-1.json")


def test_until_dry_and_until_stopped_write_the_same(tmp_path: Path) -> None:
    place = Place(tmp_path, *REPORTS)
    shard = place.drain()
    total = sum(len(report(name).findings) for name in REPORTS)
    assert shard.taken.admitted.findings == total
    assert shard.deliveries[0].records == total + len(REPORTS)
    dry = place.take_output()

    async def run() -> None:
        stop = asyncio.Event()
        with place.shard() as shard:

            def look() -> None:
                if shard.taken.admitted.scans == len(REPORTS) and not shard.ledger.waiting().findings:
                    stop.set()

            await asyncio.wait_for(shard.run(stop, look), PATIENCE_S)

    asyncio.run(run())
    assert place.output.read_bytes() == dry


def test_a_second_dry_run_has_nothing_to_do(tmp_path: Path) -> None:
    place = Place(tmp_path, *REPORTS)
    place.drain()
    written = place.output.read_bytes()
    assert place.drain().taken.admitted.scans == 0
    assert place.output.read_bytes() == written


# What an earlier process left open


@pytest.mark.parametrize("kind", ["stdin", "of a source that is configured no more"])
def test_a_scan_left_open_in_an_input_of_another_kind_comes_out(kind: str, tmp_path: Path, logs: list[Any]) -> None:
    """As when the process that read a pipe was killed, and the next one watches directories."""
    place = Place(tmp_path, REPORTS[0])
    ids = _leave_open(place, kind)

    async def run() -> None:
        stop = asyncio.Event()
        with place.shard() as shard:

            def look() -> None:
                if shard.taken.admitted.scans == 1 and not shard.ledger.waiting().findings:
                    stop.set()

            await asyncio.wait_for(shard.run(stop, look), PATIENCE_S)
            assert [known.name for known in shard.ledger.inputs.known(kind)] == ["-"]  # it may be configured again

    asyncio.run(run())
    lines = [json.loads(line) for line in place.output.read_bytes().splitlines()]
    assert [line["finding"]["id"] for line in lines if line["host"] == "web09" and "finding" in line] == ids
    assert [line["complete"] for line in lines if line["host"] == "web09" and "complete" in line] == [False]
    assert [entry["kind"] for entry in logs if entry["event"] == "input.left"] == [kind]


def test_a_file_that_was_read_in_part_is_closed_by_a_pipe_and_goes_on_afterwards(tmp_path: Path) -> None:
    place = Place(tmp_path)
    data = (SCANS / "web01-fs-hygiene.ndjson").read_bytes().splitlines(keepends=True)
    path = place.root / "a.ndjson"
    path.write_bytes(b"".join(data[:9]))
    with Ledger.open(place.settings.state_dir, clock=lambda: 0.0) as ledger:
        Sweeper(ledger.inputs, ledger.files, Limits(), place.settings.watch).sweep()
        assert (ledger.waiting().findings, ledger.waiting().closed) == (6, 0)
        assert [left.name for left in ledger.inputs.close_left({"stdin"})] == [str(path)]
        assert (ledger.waiting().findings, ledger.waiting().closed) == (6, 6)
    path.write_bytes(b"".join(data))
    place.drain()
    ids = [json.loads(line)["id"] for line in data if b'"type":"finding"' in line]
    lines = [json.loads(line) for line in place.output.read_bytes().splitlines()]
    assert [line["finding"]["id"] for line in lines if "finding" in line] == ids


def _leave_open(place: Place, kind: str) -> list[str]:
    lines = scan("a", "b", "c", host="web09")[:-1]  # the last never came
    with Ledger.open(place.settings.state_dir, clock=lambda: 0.0) as ledger:
        source = ledger.inputs.add(kind, "-")
        ledger.inputs.admit_records(source, records(b"".join(line + b"\n" for line in lines)))
        assert (ledger.waiting().findings, ledger.waiting().closed) == (2, 0)
    return ["a", "b"]


# Parts that fail


@pytest.mark.parametrize("part", ["source", "worker", "delivery", "heartbeat"])
def test_a_part_that_fails_ends_the_daemon_with_its_reason(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    """All that the others wait for comes in the same moment, so that none can miss that it is to end."""

    async def script(house: House) -> None:
        await house.until(lambda: "READY=1" in house.said)

        def fail(*ignored: object) -> Any:
            house.shard._work.set()
            house.shard._tell_deliveries()
            raise RuntimeError("a fault of ours")

        target: dict[str, tuple[object, str]] = {
            "source": (house.shard.sources[0]._sweeper, "steps"),  # type: ignore[attr-defined]
            "worker": (house.worker, "step"),
            "delivery": (house.shard.deliveries[0], "step"),
            "heartbeat": (house.service, "_status"),
        }
        monkeypatch.setattr(*target[part], fail)
        with contextlib.suppress(AssertionError):  # that the daemon has ended
            await house.until(lambda: False)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}  # nobody goes on alone

    monkeypatch.setattr(daemon.service, "_HEARTBEAT_S", 0.01)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        House(tmp_path).run(script)
    named = [entry["part"] for entry in logs if entry["event"] == "shard.failed"]
    assert [name.split()[0] for name in named] == ([] if part == "heartbeat" else [part])


@pytest.mark.parametrize("part", ["source", "worker", "delivery"])
def test_a_part_that_fails_ends_a_dry_run_with_its_reason(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*ignored: object) -> Any:
        raise LedgerError("the disk is full", transient=True)  # which only a daemon waits out

    place = Place(tmp_path, *REPORTS)
    with place.shard() as shard:
        target: dict[str, tuple[object, str]] = {
            "source": (shard.ledger.inputs, "admit_document"),
            "worker": (shard.ledger.work, "commit_batch"),
            "delivery": (shard.ledger.outbox, "delivered"),
        }
        with monkeypatch.context() as patch, pytest.raises(LedgerError, match="the disk is full"):
            patch.setattr(*target[part], fail)
            asyncio.run(asyncio.wait_for(shard.run(asyncio.Event(), dry=True), PATIENCE_S))
    place.drain()  # nothing was lost, and nothing comes twice
    written = [line for line in place.output.read_bytes().splitlines() if b'"schema":"sysscan.enriched/1"' in line]
    assert len(written) == len(set(written)) == sum(len(report(name).findings) for name in REPORTS)


def test_a_source_that_ends_by_itself_is_a_fault(tmp_path: Path) -> None:
    class Ends:
        kind = name = "ends"
        ready = healthy = True
        overflows = 0

        async def run(self, stop: asyncio.Event, told: Callable[..., None], *, dry: bool = False) -> None:
            await asyncio.sleep(0)

        def problems(self) -> list[str]:
            return []

        def look_again(self) -> None: ...

        def release(self) -> bool:
            return False

    with Place(tmp_path).shard() as shard:
        shard.read_from(Ends())
        with pytest.raises(RuntimeError, match="source ends: ended before it was told to"):
            asyncio.run(asyncio.wait_for(shard.run(asyncio.Event()), PATIENCE_S))


async def _cancelled_while(wait: Callable[[asyncio.Event], Awaitable[object]]) -> bool:
    """Cancel a task in the moment in which what it waits for comes; says whether it noticed."""
    event = asyncio.Event()
    task = asyncio.ensure_future(wait(event))
    for _ in range(3):
        await asyncio.sleep(0)
    event.set()
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return task.cancelled()


def test_no_cancellation_is_lost_while_something_is_waited_for() -> None:
    assert asyncio.run(_cancelled_while(lambda event: wait_for_any(60.0, event)))


# Sinks


def several(monkeypatch: pytest.MonkeyPatch, *sinks: Sink) -> None:
    """Configure these beside the file."""
    monkeypatch.setattr("daemon.compose.SINKS", {**SINKS, "memory": lambda settings, ledger: sinks})


def test_each_sink_gets_everything_and_one_that_fails_holds_no_other_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, *REPORTS)
    well, ill, whole = MemorySink("well"), MemorySink("ill"), HoldingSink("whole")
    ill.faults = ["no route to host"] * 99
    several(monkeypatch, well, ill, whole)
    shard = place.drain()
    lines = [row.line for row in well.place]
    assert [row.line for row in whole.place] == lines
    in_file = place.output.read_bytes().splitlines()
    assert [line for row in well.place for line in line_maker()(row)] == in_file
    assert len(in_file) > len(lines)
    assert [delivery.fault for delivery in shard.deliveries] == [None, None, "no route to host", None]
    assert all(sink.closed for sink in (well, ill, whole))
    with place.shard() as again:
        assert again.ledger.outbox.backlog() == {"ill": len(lines)} | dict.fromkeys(
            (f"file:{place.output}", "well", "whole"), 0
        )
        ill.faults = []
        asyncio.run(again.run(asyncio.Event(), dry=True))
        assert [row.line for row in ill.place] == lines
        assert again.ledger.status()["outbox_rows"] == 0  # pruned to the lowest mark


def test_a_sink_that_is_no_longer_configured_is_released_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    place = Place(tmp_path, *REPORTS)
    gone = MemorySink("gone")
    gone.faults = ["full"] * 99
    with monkeypatch.context() as patch:
        several(patch, gone)
        place.drain()
    shard = place.drain()
    assert ("sink.replaced", "gone", f"file:{place.output}") in [
        (entry["event"], entry.get("sink"), entry.get("by")) for entry in logs
    ]
    assert [delivery.name for delivery in shard.deliveries] == [f"file:{place.output}"]


def test_a_dry_run_waits_for_what_a_sink_holds_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Confirms(MemorySink):
        """Takes a few looks to be sure, or never is."""

        def __init__(self, name: str, looks: int) -> None:
            super().__init__(name)
            self._looks = looks
            self._waiting: list[OutboxRow] = []

        def write(self, rows: Sequence[OutboxRow]) -> int:
            self._waiting += rows
            self._looks -= not rows
            if self._looks > 0:
                return self._durable
            ready, self._waiting = self._waiting, []
            return self._keep(ready)

    monkeypatch.setattr(daemon.shard, "_POLL_S", 0.001)
    monkeypatch.setattr(daemon.shard, "_HELD_S", 0.2)
    slow, never = Confirms("slow", 5), Confirms("never", 1 << 62)
    several(monkeypatch, slow, never)
    shard = Place(tmp_path, *REPORTS).drain()
    total = shard.deliveries[0].records
    assert [(delivery.name, delivery.records, delivery.held) for delivery in shard.deliveries[1:]] == [
        ("slow", total, 0), ("never", 0, total),
    ]  # fmt: skip


def test_a_dry_run_takes_all_in_although_its_sink_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon.shard, "MAX_BACKLOG", 3)
    place = Place(tmp_path, *REPORTS)
    place.output.mkdir()
    shard = place.drain()
    assert shard.taken.admitted.scans == len(REPORTS)
    assert "Is a directory" in str(shard.deliveries[0].fault)


# Two shards


class Counted:
    """Two places, what each writes alone, in how many steps, and which answers it keeps."""

    def __init__(self, base: Path) -> None:
        self.places = [Place(base / "a", *REPORTS), Place(base / "b", "db02-default.json", "web01-ioc.json")]
        self.outputs: list[bytes] = []
        self.steps: list[int] = []
        self.kept: list[list[str]] = []
        for place in self.places:
            with place.shard(resources(analyst=PlainAnalyst())) as shard:
                steps = count_steps(shard)
                asyncio.run(shard.run(asyncio.Event(), dry=True))
                self.kept.append(_kept_answers(shard.ledger))
            self.steps.append(len(steps))
            self.outputs.append(place.take_output())


def count_steps(shard: Shard, into: list[str] | None = None) -> list[str]:
    """Note each step of the worker that did something."""
    steps: list[str] = [] if into is None else into
    step = shard.worker.step

    def counted() -> bool:
        busy = step()
        if busy:
            steps.append(shard.name)
        return busy

    shard.worker.step = counted  # type: ignore[method-assign]
    return steps


@pytest.mark.parametrize("end", ["dry", "stopped"])
def test_two_shards_with_one_model_work_side_by_side_as_each_does_alone(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is paused after each answer of the model, by its own worker: so it takes as many steps as alone."""
    monkeypatch.setattr(daemon.worker, "_SLICE_S", 0.0)
    alone = Counted(tmp_path)
    shared = resources(analyst=PlainAnalyst())
    order: list[str] = []
    first, second = alone.places
    with first.shard(shared, "first") as one, second.shard(shared, "second") as two:
        for shard in (one, two):
            count_steps(shard, order)
        asyncio.run(_until_dry(one, two) if end == "dry" else _until_stopped({one: 3, two: 2}))
        kept = [_kept_answers(shard.ledger) for shard in (one, two)]
    assert kept == alone.kept and all(kept)  # each where its scans are
    assert [place.output.read_bytes() for place in alone.places] == alone.outputs
    steps = [order.count(name) for name in ("first", "second")]
    # Told to stop, a worker leaves out the steps that only give the memory of its last scan back.
    assert steps == alone.steps or (
        end == "stopped" and all(0 <= b - a < 20 for a, b in zip(steps, alone.steps, strict=True))
    )
    turns = sum(now != before for before, now in itertools.pairwise(order))
    assert turns > min(alone.steps) / 2  # side by side, not one after the other


def _kept_answers(ledger: Ledger) -> list[str]:
    return [key for (key,) in ledger.database.connection.execute("SELECT key FROM analyses ORDER BY key")]


async def _until_dry(*shards: Shard) -> None:
    await asyncio.gather(*(shard.run(asyncio.Event(), dry=True) for shard in shards))


async def _until_stopped(shards: dict[Shard, int]) -> None:
    """Stop when each has done so many scans."""
    service = Service(list(shards), MetricsSettings(), Notifier({}), Metrics())
    running = asyncio.ensure_future(service.run())
    async with asyncio.timeout(PATIENCE_S):
        while any(shard.worker.finished < scans for shard, scans in shards.items()):
            assert not running.done()
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await running


def test_one_shard_that_fails_ends_the_other(tmp_path: Path) -> None:
    def fail() -> bool:
        raise LedgerError("ledger.db: damaged (page 7); restore a backup")

    async def run(*shards: Shard) -> None:
        await asyncio.wait_for(Service(shards, MetricsSettings(), Notifier({}), Metrics()).run(), PATIENCE_S)

    with Place(tmp_path / "a").shard(name="one") as one, Place(tmp_path / "b").shard(name="two") as two:
        two.worker.step = fail  # type: ignore[method-assign]
        with pytest.raises(LedgerError, match="damaged"):
            asyncio.run(run(one, two))


def test_what_stalls_is_named_with_its_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Place(tmp_path).shard(name="north") as shard:
        shard.progress.mark("worker")
        monkeypatch.setattr(daemon.shard, "_STALLED_S", -1.0)
        assert shard.stalled() == ["north: worker"]
        shard.name = ""
        assert shard.stalled() == ["worker"]
