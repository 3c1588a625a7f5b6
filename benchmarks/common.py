"""What the benchmarks share: the machine in a line, real reports, and running the command."""

import contextlib
import gzip
import json
import os
import platform
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCANS = ROOT / "tests" / "data" / "scans"
DB02 = SCANS / "db02-full.json.gz"
WEB01 = SCANS / "web01-base-full.json.gz"


@dataclass(frozen=True)
class Cost:
    """One run of a command: wall and processor seconds, peak resident MB of it and all that it started, added up."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def machine() -> str:
    """Say what was measured on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores, Linux {platform.release()}, Python {platform.python_version()}"


def agent(*arguments: str, checkout: Path = ROOT) -> list[str]:
    """Give the command line of the agent: in this interpreter, or in that of another checkout's `.venv`."""
    python = sys.executable if checkout == ROOT else str(checkout / ".venv" / "bin" / "python")
    return [python, "-c", "from daemon.cli.app import main; main()", *arguments]


def descendants(pid: int) -> list[int]:
    """List what a process has started, and what that has."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # it has ended meanwhile
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, path.read_text().split()):
                found += [child, *descendants(child)]
    return found


def processor_s(pid: int) -> float:
    """Give the processor time of a process so far, all of its threads, in seconds."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> tuple[float, float]:
    """Say what a process holds now, and what it held at most; nothing where it has ended."""
    with contextlib.suppress(OSError, KeyError):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        now, most = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
        return now, most
    return 0.0, 0.0


class Peaks(threading.Thread):
    """Looks now and then at what the descendants of a process held at most."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self._most: dict[int, float] = {}

    def run(self) -> None:
        """Look until `end`."""
        while not self._over.wait(0.02):
            for pid in descendants(self._pid):
                self._most[pid] = max(self._most.get(pid, 0.0), resident_mb(pid)[1])

    def end(self) -> float:
        """Stop, and give their sum."""
        self._over.set()
        self.join()
        return sum(self._most.values())


def cost(
    command: Sequence[str],
    stdout: Path | None = None,
    environment: Mapping[str, str] | None = None,
    checkout: Path = ROOT,
) -> Cost:
    """Run a command to its end and say what it took; it must succeed."""
    with (stdout or Path(os.devnull)).open("wb") as target:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=target, stderr=subprocess.DEVNULL, cwd=checkout, env=environment)
        others = Peaks(process.pid)
        others.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        others_mb = others.end()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command[:6])}: exit code {process.returncode}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024 + others_mb)


def median(costs: Sequence[Cost]) -> Cost:
    """Take the run with the median wall time."""
    return sorted(costs, key=lambda one: one.wall_s)[len(costs) // 2]


def distinct_reports(directory: Path, count: int, source: Path = WEB01) -> int:
    """Write real reports that differ in their time only, as hourly scans of one host do; returns the findings."""
    report = json.loads(gzip.decompress(source.read_bytes()))
    findings = sum(len(section["findings"]) for section in report["results"])
    for number in range(count):
        stamp = f"2026-{1 + number // 672 % 12:02d}-{1 + number // 24 % 28:02d}T{number % 24:02d}"
        report["summary"]["started_at"] = f"{stamp}:00:00Z"
        report["summary"]["finished_at"] = f"{stamp}:00:04Z"
        (directory / f"scan-{number:06d}.json").write_text(json.dumps(report, separators=(",", ":")))
    return findings * count


def peak_mb() -> float:
    """Say the peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
