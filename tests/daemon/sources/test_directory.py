"""The directory source with real inotify; these tests wait for a state, never for a time."""

import asyncio
import errno
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from daemon.ports.source import Taken
from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.source import ReportDirectory
from daemon.sources.directory.watch import DirectoryWatch
from pipeline.errors import LedgerError, SourceError
from pipeline.report.limits import Limits
from tests.daemon.memory_inputs import MemoryFiles, MemoryInputs
from tests.daemon.sources.world import lines, report, stream

NEVER = 86_400.0  # seconds between full sweeps, where events alone must do
LIMIT_S = 30.0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a state; the limit only ends a test that has failed."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "the state was never reached"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def running(source: ReportDirectory, told: Callable[[Taken], None] = lambda taken: None) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(source.run(stop, told))
    try:
        await until(lambda: source.swept_fully_at is not None or task.done())
        yield
    finally:
        stop.set()
        await task


def source_on(root: Path, inputs: MemoryInputs, **settings: object) -> ReportDirectory:
    values = {"roots": (str(root),), "full_sweep_s": NEVER, **settings}
    return ReportDirectory(inputs, MemoryFiles(inputs), Limits(), WatchSettings(**values))  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    return path


def run(test: Callable[[], object]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_f17_f18_what_appears_in_any_way_is_read_from_its_event(root: Path, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    inputs = MemoryInputs()
    source = source_on(root, inputs)

    async def test() -> None:
        async with running(source):
            assert source.healthy
            assert not source.polling
            (root / "a.json").write_bytes(report("written"))
            await until(lambda: "written" in inputs.ids)
            (tmp_path / "x").write_bytes(report("renamed"))
            (tmp_path / "x").rename(root / "b.json")
            await until(lambda: "renamed" in inputs.ids)
            (tmp_path / "y").write_bytes(report("linked"))
            (root / "c.json").hardlink_to(tmp_path / "y")
            await until(lambda: "linked" in inputs.ids)
            (root / "a.json").write_bytes(report("rewritten"))
            await until(lambda: "rewritten" in inputs.ids)
            (root / "d.ndjson").write_bytes(stream("line"))
            with (root / "d.ndjson").open("ab") as file:
                file.write(lines("appended"))
            await until(lambda: "appended" in inputs.ids)

    run(test)
    assert sorted(inputs.ids) == ["appended", "line", "linked", "renamed", "rewritten", "written"]
    assert len(set(threading.enumerate()) - before) <= 1  # no thread of watchdog is left


def test_f16_reports_in_new_directories_are_read_from_events(root: Path) -> None:
    inputs = MemoryInputs()

    async def test() -> None:
        async with running(source_on(root, inputs)):
            for number in range(50):
                path = root / f"{number}" / "a" / "b"
                path.mkdir(parents=True)
                (path / "x.json").write_bytes(report(str(number)))
            await until(lambda: len(inputs.ids) == 50)

    run(test)
    assert sorted(inputs.ids, key=int) == [str(number) for number in range(50)]


def test_f19_a_root_that_is_replaced_is_watched_again(root: Path, tmp_path: Path) -> None:
    inputs = MemoryInputs()
    source = source_on(root, inputs, full_sweep_s=0.05)

    async def test() -> None:
        async with running(source):
            shutil.rmtree(root)
            await until(lambda: not source.healthy)
            assert source.problems() == [f"{root}: is not there; create or mount it"]
            root.mkdir()
            await until(lambda: source.healthy and source.restarts >= 1)
            before = source.restarts
            root.rename(tmp_path / "old")
            root.mkdir()
            await until(lambda: source.healthy and source.restarts > before)
            source._settings = WatchSettings(roots=(str(root),), full_sweep_s=NEVER)
            await until(lambda: source.last.full)
            await asyncio.sleep(0)
            (root / "a.json").write_bytes(report("1"))
            await until(lambda: inputs.ids == ["1"])

    run(test)


def test_f14_an_overflow_of_the_kernel_queue_leads_to_a_full_sweep(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = MemoryInputs()
    source = source_on(root, inputs)

    async def test() -> None:
        async with running(source):
            watch = source._watch
            assert watch is not None
            inotify = watch._inotify
            assert inotify is not None
            swept = source.swept_fully_at
            # The reader of the kernel's queue stands still while more happens than the queue holds.
            with inotify._lock:
                (root / "a.json").write_bytes(report("1"))
                limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
                first, second = root / "x.tmp", root / "y.tmp"
                first.touch()
                second.touch()
                for _ in range(limit):
                    os.utime(first)
                    os.utime(second)
            await until(lambda: source.overflows == 1)
            await until(lambda: inputs.ids == ["1"])
            await until(lambda: source.swept_fully_at != swept)

    run(test)


def test_f15_without_inotify_watches_the_tree_is_polled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = MemoryInputs()
    source = source_on(root, inputs, poll_s=0.05)
    (root / "sub").mkdir()

    def exhausted(*arguments: object) -> int:
        return -1

    import ctypes

    import watchdog.observers.inotify_c as kernel

    def no_more(descriptor: int, path: bytes, mask: int) -> int:
        if path.endswith(b"sub"):
            ctypes.set_errno(errno.ENOSPC)
            return -1
        return int(real(descriptor, path, mask))

    real = kernel.inotify_add_watch
    monkeypatch.setattr(kernel, "inotify_add_watch", no_more)

    async def test() -> None:
        async with running(source):
            assert source.polling
            assert source.healthy  # it is slower, not blind
            assert source.unwatched == 1
            (root / "sub" / "a.json").write_bytes(report("1"))
            await until(lambda: inputs.ids == ["1"])

    run(test)


def test_f15_without_an_inotify_instance_the_tree_is_polled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    import watchdog.observers.inotify_c as kernel

    def none_left() -> int:
        ctypes.set_errno(errno.EMFILE)
        return -1

    monkeypatch.setattr(kernel, "inotify_init", none_left)
    inputs = MemoryInputs()
    source = source_on(root, inputs, poll_s=0.05)

    async def test() -> None:
        async with running(source):
            assert source.polling
            (root / "a.json").write_bytes(report("1"))
            await until(lambda: inputs.ids == ["1"])

    run(test)


def test_f35_a_file_system_without_events_is_polled(root: Path) -> None:
    inputs = MemoryInputs()
    source = source_on(root, inputs, watch="poll", poll_s=0.05)

    async def test() -> None:
        async with running(source):
            assert source._watch is None
            (root / "a.json").write_bytes(report("1"))
            await until(lambda: inputs.ids == ["1"])

    run(test)


def test_a_dead_reader_thread_is_replaced(root: Path) -> None:
    inputs = MemoryInputs()
    source = source_on(root, inputs, full_sweep_s=0.05)

    async def test() -> None:
        async with running(source):
            watch = source._watch
            assert watch is not None
            assert watch._inotify is not None
            watch._inotify.stop()
            await until(lambda: source.restarts >= 1)
            await until(lambda: source.healthy)

    run(test)


def test_f36_a_busy_directory_costs_no_more_than_its_name(root: Path) -> None:
    woken = []
    watch = DirectoryWatch(lambda: woken.append(1))
    watch.check([(str(root), str(root), True)])
    try:
        assert watch.take() is None  # everything, at first
        woken.clear()
        for number in range(2000):
            (root / f"{number}.json").write_bytes(b"x")
        end = time.monotonic() + LIMIT_S
        while not woken:
            assert time.monotonic() < end
            time.sleep(0.001)
        assert str(root) in (watch.take() or ())
        assert len(watch._dirty) <= 2
    finally:
        watch.stop()


def test_more_dirty_directories_than_are_worth_naming_mean_everything() -> None:
    woken = []
    watch = DirectoryWatch(lambda: woken.append(1), max_dirty=3)
    for name in "abc":
        watch._mark(name)
    assert watch.take() == {"a", "b", "c"}
    for name in "abcde":
        watch._mark(name)
    assert watch.take() is None
    assert watch.take() == set()
    assert len(woken) == 2


def test_a_closed_loop_does_not_disturb_the_watch() -> None:
    def closed() -> None:
        raise RuntimeError("Event loop is closed")

    watch = DirectoryWatch(closed)
    watch._mark("a")
    assert watch.take() == {"a"}


def test_f37_after_a_long_stop_the_deadlines_count_from_what_is_seen(root: Path) -> None:
    """A process that was stopped (SIGSTOP, suspend) sees a half-written file and a clock far ahead."""
    inputs = MemoryInputs()
    now = [1000.0]
    source = ReportDirectory(
        inputs,
        MemoryFiles(inputs),
        Limits(),
        WatchSettings(roots=(str(root),), full_sweep_s=NEVER),
        clock=lambda: now[0],
    )

    async def test() -> None:
        async with running(source):
            now[0] += 3600.0
            (root / "a.json").write_bytes(report("1")[:40])
            await until(lambda: source.last.waiting == 1)
            assert inputs.quarantine == []
            (root / "a.json").write_bytes(report("1"))
            await until(lambda: inputs.ids == ["1"])

    run(test)


def test_a_stop_drains_what_would_be_lost(root: Path) -> None:
    inputs = MemoryInputs()
    source = source_on(root, inputs, watch="poll", poll_s=NEVER)
    (root / "a.ndjson").write_bytes(stream("1"))

    async def test() -> None:
        async with running(source):
            with (root / "a.ndjson").open("ab") as file:
                file.write(lines("2"))
            os.unlink(root / "a.ndjson")  # noqa: PTH108

    run(test)
    assert inputs.ids == ["1", "2"]


@pytest.mark.parametrize("dry", [False, True])
def test_a_stop_in_the_middle_of_a_long_look_finishes_the_step_in_hand_and_no_more(root: Path, dry: bool) -> None:
    for number in range(300):
        (root / f"{number:03}.json").write_bytes(report(str(number)))
    gone = root / "gone.ndjson"
    gone.write_bytes(stream("first"))
    inputs = MemoryInputs()
    source = source_on(root, inputs)

    async def test() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(source.run(stop, lambda taken: None, dry=dry))
        await until(lambda: len(inputs.ids) >= 5)
        stop.set()
        await task
        assert len(inputs.ids) < 100  # of 301; how many depends on how soon the stop comes
        if not dry:
            async with running(source):  # the next start reads the rest
                await until(lambda: len(inputs.ids) >= 301)
            assert len(inputs.ids) == len(set(inputs.ids)) == 301

    run(test)


def test_f24_a_full_ledger_ends_a_run_and_the_next_run_goes_on_with_what_is_gone_meanwhile(root: Path) -> None:
    inputs = MemoryInputs()
    source = source_on(root, inputs)
    (root / "a.ndjson").write_bytes(stream("1"))

    async def test() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(source.run(stop, lambda taken: None))
        await until(lambda: inputs.ids == ["1"])
        inputs.full = True
        with (root / "a.ndjson").open("ab") as file:
            file.write(lines("2"))
        with pytest.raises(LedgerError):
            await task
        (root / "a.ndjson").unlink()
        inputs.full = False
        async with running(source):
            await until(lambda: inputs.ids == ["1", "2"])

    run(test)


def test_a_long_sweep_tells_what_it_has_done_so_far(root: Path) -> None:
    inputs = MemoryInputs()
    now = [0.0]

    def clock() -> float:
        now[0] += 0.5
        return now[0]

    told: list[Taken] = []
    settings = WatchSettings(roots=(str(root),), watch="poll", poll_s=NEVER)
    source = ReportDirectory(inputs, MemoryFiles(inputs), Limits(), settings, clock=clock)
    for number in range(5):
        (root / f"{number}.json").write_bytes(report(str(number)))

    async def test() -> None:
        async with running(source, told.append):
            pass

    run(test)
    assert len(told) > 3
    assert sum(taken.admitted.findings for taken in told) == 5


def test_a_dry_run_reads_what_is_there_and_ends(root: Path) -> None:
    inputs = MemoryInputs()
    (root / "a.ndjson").write_bytes(stream("1"))
    (root / "b.json").write_bytes(report("2")[:-5])
    told: list[Taken] = []
    asyncio.run(source_on(root, inputs).run(asyncio.Event(), told.append, dry=True))
    assert (inputs.ids, inputs.reasons) == (["1"], ["truncated"])
    assert sum(taken.admitted.findings for taken in told) == 1
    assert not inputs.open  # nobody will write the rest of a scan


def test_a_dry_run_without_its_root_says_which(root: Path) -> None:
    root.rmdir()
    source = source_on(root, MemoryInputs())
    with pytest.raises(SourceError, match=f"{root}: is not there"):
        asyncio.run(source.run(asyncio.Event(), lambda taken: None, dry=True))


def test_a_dry_run_waits_for_room_in_the_ledger(root: Path) -> None:
    inputs = MemoryInputs()
    for name in ("1", "2", "3"):
        (root / f"{name}.json").write_bytes(report(name))
    asked: list[int] = []

    def blocked() -> bool:
        asked.append(len(inputs.ids))
        return len(asked) % 3 != 0

    source = ReportDirectory(inputs, MemoryFiles(inputs), Limits(), WatchSettings(roots=(str(root),)), blocked=blocked)
    asyncio.run(source.run(asyncio.Event(), lambda taken: None, dry=True))
    assert sorted(inputs.ids) == ["1", "2", "3"]
    assert asked.count(0) > 1  # it was kept waiting
