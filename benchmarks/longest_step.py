"""Measure the longest step of the daemon's event loop, by part, on one large report; prints a table.

    python benchmarks/longest_step.py [findings ...]       (default: 3176; 31760 95280 200000 take some minutes)

Each report is that of db02 as often as it takes, every copy with names of its own. The whole service runs on it, with a
notification socket as systemd gives one: the first report is new to the ledger, the second, of the same host, has
a baseline to be compared with. A step is what runs between two turns of the loop; its processor time says how long it
would have been on a machine with nothing else to do. Of the pings the longest silence counts: the watchdog of the unit
waits for 60 s.
"""

import asyncio
import gc
import gzip
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import structlog
from common import DB02, Peaks, machine, peak_mb, resident_mb

from daemon import opening
from daemon.checkpoints import Checkpoints
from daemon.cli import startup
from daemon.compose import open_shard
from daemon.finishing import Finishing
from daemon.ledger import Ledger, settling, staging
from daemon.ledger.documents import StagedDocument
from daemon.metrics import Metrics
from daemon.notify import Notifier
from daemon.parser import DocumentParser
from daemon.resources import open_resources
from daemon.service import Service
from daemon.settings import load_settings
from daemon.shard import Shard

T = TypeVar("T")


@dataclass
class Longest:
    """Steps of one part: how many, and the longest in wall and in processor seconds."""

    count: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    total_s: float = 0.0


class Watch:
    """Times steps; one in which a method of a part runs counts for that part."""

    def __init__(self) -> None:
        self.parts: dict[str, Longest] = {}
        self._named: str | None = None

    def name(self, owner: Any, method: str, part: str) -> None:
        """Have a step in which this method runs count for a part."""
        original = getattr(owner, method)

        @wraps(original)
        def named(*args: Any, **more: Any) -> Any:
            self._named = part
            return original(*args, **more)

        setattr(owner, method, named)

    def step(self, part: str, call: Callable[[], T]) -> T:
        """Make a step."""
        self._named = None
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            return call()
        finally:
            longest = self.parts.setdefault(self._named or part, Longest())
            took = time.perf_counter() - wall
            longest.count += 1
            longest.total_s += took
            longest.wall_s = max(longest.wall_s, took)
            longest.cpu_s = max(longest.cpu_s, time.thread_time() - cpu)


def main(sizes: list[int]) -> None:
    """Run and print."""
    print(f"{machine()}\n")
    for size in sizes:
        with tempfile.TemporaryDirectory() as place:
            measure(Path(place), size)


def measure(place: Path, size: int) -> None:
    """Run the service on two reports of this size."""
    inbox = place / "in"
    inbox.mkdir()
    watch, pings = Watch(), Pings(place / "notify")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    flags = {"state_dir": str(place / "state"), "watch": {"roots": [str(inbox)]}, "model": {"enabled": False}}
    settings = load_settings({}, {**flags, "limits": {"max_bytes": 64 << 20}})
    parser = DocumentParser(settings.limits)
    with Ledger.open(settings.state_dir, clock=time.time) as ledger:
        resources = open_resources(settings)
        startup.loaded()
        checkpoints = Checkpoints(settings.state_dir / "checkpoints.db")
        shard = open_shard(settings, ledger, resources, checkpoints, parser=parser)
        service = Service([shard], settings.metrics, Notifier({"NOTIFY_SOCKET": str(place / "notify")}), Metrics())
        watch.name(opening.Opening, "advance", "open a scan")
        watch.name(ledger.work, "commit_batch", "a batch")
        watch.name(Finishing, "advance", "finish a scan")
        watch.name(settling, "settle", "settle")
        watch.name(StagedDocument, "add", "store a piece of a report")
        watch.name(StagedDocument, "finish", "let a report count")
        watch.name(staging, "delete", "delete what was left")
        intake = Intake(ledger)
        watch.name(ledger.inputs, "stage", "begin a report")
        reports = [_write(inbox / f"{number}.part", size, number) for number in (1, 2)]
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # what writing the reports took is not the daemon's
        before_mb = resident_mb(os.getpid())[0]
        peaks = Peaks(os.getpid())
        peaks.start()
        began = time.perf_counter()
        asyncio.run(_run(service, shard, watch, reports))
        seconds = time.perf_counter() - began
        checkpoints.close()
        parser.close()
    print(f"{size:,} findings, twice, in {seconds:.1f} s; MB at most: {peak_mb():.0f} (ready: {before_mb:.0f}),")
    print(f"the process that reads documents {peaks.end():.0f}; the daemon while it took them in {intake.mb:.0f}")
    print(f"{'part':<24}{'steps':>8}{'total s':>10}{'longest ms':>12}{'of that cpu':>12}")
    for part, longest in sorted(watch.parts.items(), key=lambda item: -item[1].wall_s):
        times = f"{longest.total_s:>10.1f}{longest.wall_s * 1e3:>12.0f}{longest.cpu_s * 1e3:>12.0f}"
        print(f"{part:<24}{longest.count:>8}{times}")
    print(f"pings of the watchdog: {len(pings.at)}, the longest silence {pings.longest_s():.1f} s\n", flush=True)
    pings.close()


async def _run(service: Service, shard: Shard, watch: Watch, reports: Sequence[Path]) -> None:
    handle_run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        watch.step(_part(handle), lambda: handle_run(handle))

    asyncio.Handle._run = timed  # type: ignore[method-assign, assignment]
    try:
        running = asyncio.create_task(service.run())
        for number, report in enumerate(reports, 1):
            report.rename(report.with_suffix(".json"))
            while shard.worker.finished < number:
                await asyncio.sleep(0.05)
        settled, before = watch.parts.get("settle", Longest()).count, -1
        while settled != before or any(shard.ledger.outbox.backlog().values()):
            await asyncio.sleep(1.0)
            before, settled = settled, watch.parts.get("settle", Longest()).count
        os.kill(os.getpid(), signal.SIGTERM)
        await running
    finally:
        asyncio.Handle._run = handle_run  # type: ignore[method-assign]


def _part(handle: Any) -> str:
    """Name a turn after the coroutine of the task that it goes on with."""
    task = getattr(handle._callback, "__self__", None)
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    return getattr(coroutine, "__name__", "other").lstrip("_")


def _write(path: Path, size: int, number: int) -> Path:
    """Write the report of db02 as often as it takes, the last time in part; of the second every tenth name differs."""
    report = json.loads(gzip.decompress(DB02.read_bytes()))
    whole = sum(len(section["findings"]) for section in report["results"])
    left = size
    for section in report["results"]:
        findings: list[Any] = []
        for copy in range(-(-size // whole)):
            for at, finding in enumerate(section["findings"][:left]):
                name = finding["id"] if copy == 0 else f"{finding['id']}~{copy}"
                findings.append({**finding, "id": f"{name}'" if number == 2 and at % 10 == 0 else name})
                left -= 1
        section["findings"] = findings
    report["summary"]["finding_count_total"] = report["summary"]["finding_count_emitted"] = size
    path.write_text(json.dumps(report, separators=(",", ":")))
    del report
    gc.collect()
    return path


class Intake:
    """Notes what this process has held at most when the first report has come in."""

    def __init__(self, ledger: Ledger) -> None:
        self.mb = 0.0
        self._waiting = False
        original = ledger.work.next_scan

        def next_scan() -> Any:
            found = original()
            if found is not None and not self._waiting:
                self._waiting = True
                self.mb = resident_mb(os.getpid())[1]
            return found

        ledger.work.next_scan = next_scan  # type: ignore[method-assign]


class Pings:
    """A notification socket, listened to by a thread as the service manager would."""

    def __init__(self, address: Path) -> None:
        self.at: list[float] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(address))
        threading.Thread(target=self._listen, daemon=True).start()

    def longest_s(self) -> float:
        """Give the longest time between two pings."""
        return max((after - before for before, after in zip(self.at, self.at[1:], strict=False)), default=0.0)

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                said = self._socket.recv(4096)
            except OSError:
                return
            if said == b"WATCHDOG=1":
                self.at.append(time.monotonic())


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [3_176])
