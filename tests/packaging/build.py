"""What is installed from a wheel."""

import os
import subprocess
import sys
from pathlib import Path

from release.wheel import run_pip

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "tests" / "data" / "scans" / "web01-ioc.json"


def install(wheel: Path, target: Path) -> Path:
    """Install into a directory of its own, without dependencies."""
    run_pip("install", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    return target


def run_installed(target: Path, cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Run Python in a place that has nothing to do with the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(target)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, cwd=cwd, env=environment, check=False)
