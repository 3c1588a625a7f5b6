"""Measure where the time before the first finding goes, and how long the daemon takes to be ready; prints tables.

    python benchmarks/startup.py [--runs N] [--against CHECKOUT]

Each row of the first table is a fresh interpreter that does only this; the rows are not a sum, since they share
imports. The second is the time from the start of the process to `READY=1` on a socket of systemd's kind, with an empty
directory to watch and all files in the page cache. `--against` names another checkout with a `.venv` of its own: its
runs alternate with ours, so that whatever else the machine does meets both.
"""

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common import ROOT, cost, machine, median

STEPS = {
    "python itself": "pass",
    "--help (typer)": "import daemon.cli.app",
    "pydantic": "import pydantic",
    "structlog": "import daemon.log",
    "langgraph": "import daemon, pipeline.graph.library",
    "all of analyze": "import daemon.cli.app, daemon.cli.analyze",
    "all of run": "import daemon.cli.app, daemon.cli.run",
    "+ knowledge, policy": "import daemon.cli.app, daemon.cli.analyze; from daemon.resources import open_resources; "
    "from daemon.settings import load_settings; open_resources(load_settings({}, {'state_dir': '/nonexistent'}))",
}


@dataclass(frozen=True)
class Start:
    """One start: wall and processor seconds until ready, resident MB at that moment."""

    wall_s: float
    cpu_s: float
    rss_mb: float


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="of each row")
    parser.add_argument("--against", type=Path, help="another checkout, with a .venv of its own")
    given = parser.parse_args()
    print(f"{machine()}\n{given.runs} runs each; medians\n\n{'step':<24}{'wall ms':>9}{'cpu ms':>8}{'peak MB':>9}")
    for name, code in STEPS.items():
        one = median([cost([sys.executable, "-c", code]) for _ in range(given.runs)])
        print(f"{name:<24}{one.wall_s * 1000:>9.0f}{one.cpu_s * 1000:>8.0f}{one.peak_mb:>9.0f}")
    checkouts = {"ready": (ROOT, sys.executable)}
    if given.against is not None:
        other = given.against.resolve()
        checkouts["ready, the other"] = (other, str(other / ".venv" / "bin" / "python"))
    starts: dict[tuple[str, bool], list[Start]] = {(name, model): [] for model in (False, True) for name in checkouts}
    for round_ in range(given.runs + 1):
        for (name, model), kept in starts.items():
            start = time_to_ready(*checkouts[name], model=model)
            if round_:  # the first reads files that were not in memory yet
                kept.append(start)
    print(f"\n{'':<34}{'wall ms':>8}{'least':>7}{'cpu ms':>8}{'least':>7}{'MB':>6}")
    for (name, model), kept in starts.items():
        walls, cpus = [one.wall_s * 1000 for one in kept], [one.cpu_s * 1000 for one in kept]
        print(
            f"{name + (', with the model' if model else ', rules alone'):<34}{statistics.median(walls):>8.0f}"
            f"{min(walls):>7.0f}{statistics.median(cpus):>8.0f}{min(cpus):>7.0f}"
            f"{statistics.median(one.rss_mb for one in kept):>6.0f}"
        )


def time_to_ready(checkout: Path, python: str, *, model: bool) -> Start:
    """Start the daemon on an empty directory, as systemd would, and wait until it says that it is ready."""
    with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        inbox = Path(place) / "in"
        inbox.mkdir()
        address = f"{place}/notify"
        manager.bind(address)
        manager.settimeout(60)
        environment = {
            # PYTHONDONTWRITEBYTECODE would have everything compiled at each start.
            **{name: value for name, value in os.environ.items() if not name.startswith(("SYSSCAN_", "PYTHON"))},
            "NOTIFY_SOCKET": address,
            "SYSSCAN_MODEL__ENABLED": "true" if model else "false",
        }
        command = [python, "-c", "from daemon.cli.app import main; main()"]
        started = time.perf_counter()
        daemon = subprocess.Popen(
            [*command, "--watch", str(inbox), "--state-dir", f"{place}/state"],
            cwd=checkout, env=environment, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            while b"READY=1" not in manager.recv(4096).split(b"\n"):
                pass
            wall = time.perf_counter() - started
            cpu_ns = sum(
                int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{daemon.pid}/task").iterdir()
            )
            resident = int(Path(f"/proc/{daemon.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        finally:
            daemon.kill()
            daemon.wait()
        return Start(wall, cpu_ns / 1e9, resident / 1e6)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
