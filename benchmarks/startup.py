"""Measure where the time before the first finding goes; prints a table.

    python benchmarks/startup.py [runs]

Each row is a fresh interpreter that does only this; the rows are not a sum, since they share imports.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, agent, cost, machine, median

STEPS = {
    "python itself": "pass",
    "--help (typer)": "import daemon.cli.app",
    "pydantic": "import pydantic",
    "structlog": "import structlog",
    "langgraph": "import pipeline; import langgraph.graph",
    "sqlite checkpointer": "import pipeline; import langgraph.checkpoint.sqlite",
    "all of analyze": "import daemon.cli.app, daemon.cli.analyze",
    "all of run": "import daemon.cli.app, daemon.cli.run",
    "+ knowledge, policy": "import daemon.cli.app, daemon.cli.analyze; from daemon.resources import open_resources; "
    "from daemon.settings import load_settings; open_resources(load_settings({}, {'state_dir': '/nonexistent'}))",
}


def main(runs: int) -> None:
    """Run and print."""
    print(f"{machine()}\nmedian of {runs} runs each\n\n{'step':<24}{'ms':>7}{'peak MB':>9}")
    for name, code in STEPS.items():
        one = median([cost([sys.executable, "-c", code]) for _ in range(runs)])
        print(f"{name:<24}{one.wall_s * 1000:>7.0f}{one.peak_mb:>9.0f}")
    ready = sorted(time_to_ready() for _ in range(runs))[runs // 2]
    print(f"{'daemon ready':<24}{ready * 1000:>7.0f}")


def time_to_ready() -> float:
    """Start the daemon on an empty directory and wait until it watches."""
    with tempfile.TemporaryDirectory() as place:
        inbox = Path(place) / "in"
        inbox.mkdir()
        started = time.perf_counter()
        daemon = subprocess.Popen(
            agent("--watch", str(inbox), "--state-dir", f"{place}/state"), cwd=ROOT, stderr=subprocess.PIPE
        )
        assert daemon.stderr is not None
        for line in daemon.stderr:
            if b"service.ready" in line:
                break
        took = time.perf_counter() - started
        daemon.kill()
        daemon.wait()
        return took


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
