"""A wheel built from a copy of the sources, and what is installed from it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "tests" / "data" / "scans" / "web01-ioc.json"
_SOURCES = ("daemon", "pipeline", "trainer", "pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")


def build_wheel(directory: Path) -> Path:
    """Build in a copy, so that no left-over of a checkout gets in and none is made there."""
    copy = directory / "sources"
    copy.mkdir(parents=True)
    for name in _SOURCES:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "compiled.json")
            shutil.copytree(source, copy / name, ignore=ignored)
        else:
            shutil.copy(source, copy / name)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(directory), str(copy))
    (wheel,) = directory.glob("*.whl")
    return wheel


def install(wheel: Path, target: Path) -> Path:
    """Install into a directory of its own, without dependencies."""
    _pip("install", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    return target


def run_installed(target: Path, cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Run Python in a place that has nothing to do with the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(target)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, cwd=cwd, env=environment, check=False)


def _pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
