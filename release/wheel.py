"""The wheel, built from a copy of the sources, the same bytes from the same sources."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_SOURCES = ("daemon", "pipeline", "trainer", "pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")
_OLDEST = 315_532_800  # 1980, before which a ZIP file has no times


def source_date() -> int:
    """Return the time that is written into what is made: SOURCE_DATE_EPOCH, or the last commit's, in seconds."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdigit():
        return max(int(given), _OLDEST)
    asked = subprocess.run(
        ["git", "-C", ROOT, "log", "-1", "--format=%ct"], capture_output=True, text=True, check=False
    )
    return max(int(asked.stdout), _OLDEST) if asked.returncode == 0 and asked.stdout.strip() else _OLDEST


def build_wheel(directory: Path) -> Path:
    """Build in a copy below `directory`, so that no left-over of a checkout gets in and none is made there.

    Raises:
        OSError: where the sources cannot be copied or it cannot be built; says what pip said.
    """
    copy = directory / "sources"
    copy.mkdir(parents=True)
    for name in _SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "compiled.json"))
        else:
            shutil.copyfile(ROOT / name, copy / name)
    for path in copy.rglob("*"):  # whatever the umask of whoever checked them out
        path.chmod(0o755 if path.is_dir() else 0o644)
    run_pip(
        "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(directory), str(copy),
        environment={"SOURCE_DATE_EPOCH": str(source_date())},
    )  # fmt: skip
    shutil.rmtree(copy)
    (wheel,) = directory.glob("sysscan_agent-*.whl")
    return wheel


def run_pip(*arguments: str, environment: dict[str, str] | None = None) -> None:
    """Run pip of this Python.

    Raises:
        OSError: what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments],
        capture_output=True, text=True, env={**os.environ, **(environment or {})}, check=False,
    )  # fmt: skip
    if done.returncode:
        raise OSError(done.stdout + done.stderr)
