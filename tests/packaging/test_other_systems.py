"""`analyze` needs little of the system: it runs where modules and calls of Linux are missing, as on Windows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.build import REPORT, ROOT

MODULES = ("fcntl", "grp", "pwd", "resource", "syslog", "termios", "tty")
# Of `os`, what the program uses somewhere and Windows lacks. (The standard library's own use of others, as in
# `subprocess`, is why not all of them can be taken away here.)
CALLS = (
    "EFD_CLOEXEC", "EFD_NONBLOCK", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "ST_RDONLY", "chown", "eventfd",
    "eventfd_read", "eventfd_write", "fchmod", "fchown", "getegid", "geteuid", "getgid", "getloadavg", "getuid",
    "memfd_create", "sched_getaffinity", "statvfs", "sysconf",
)  # fmt: skip
# Python imports it at every start, before anything of ours: it holds for the model's process, too.
_HIDE = f"""
import os, sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name in {MODULES!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide())
for name in {MODULES!r}:
    sys.modules.pop(name, None)
for name in {CALLS!r}:
    delattr(os, name)
"""


@pytest.fixture(scope="module")
def poorer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which Python lacks all of that."""
    directory = tmp_path_factory.mktemp("poorer")
    (directory / "sitecustomize.py").write_text(_HIDE, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": str(directory)}


def run(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run([sys.executable, *arguments], capture_output=True, cwd=ROOT, env=environment, check=False)


@pytest.mark.parametrize("module", MODULES)
def test_control_the_module_cannot_be_imported(module: str, poorer: dict[str, str]) -> None:
    assert f"No module named '{module}'".encode() in run(poorer, "-c", f"import {module}").stderr


def test_analyze_says_the_same(poorer: dict[str, str]) -> None:
    command = ("-m", "daemon.cli", "analyze", str(REPORT))
    there, here = run(poorer, *command), run(dict(os.environ), *command)
    assert (there.returncode, there.stderr) == (here.returncode, here.stderr) == (0, b"")
    assert there.stdout.count(b"\n") > 90
    assert there.stdout == here.stdout


def test_the_model_is_asked(poorer: dict[str, str]) -> None:
    """Its process is another one, so the thread that speaks to it is woken in a way that every system has."""
    script = """
from daemon.inference import ModelProcess
from pipeline.engine.model import Model
from pipeline.models.embedded import EMBEDDED_MODEL
process = ModelProcess(Model(EMBEDDED_MODEL))
print(process.load() > 0)
process.close()
"""
    done = run(poorer, "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"True\n", b"")


def test_what_needs_a_ledger_says_why_there_is_none(poorer: dict[str, str], tmp_path: Path) -> None:
    done = run(poorer, "-m", "daemon.cli", "analyze", "--record", "--state-dir", str(tmp_path), str(REPORT))
    assert done.returncode == 3
    assert b"this system has no file locks (fcntl)" in done.stderr
    assert done.stderr.count(b"\n") == 1
