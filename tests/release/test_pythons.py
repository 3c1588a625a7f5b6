"""A bundle for every Python that is here: made by this one, installed by that one, and the same bytes come out."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from release.bundle import EXTRAS, PYTHONS, make_bundle
from tests.release.made import analysed, analysed_here, install, unpack


def interpreter(version: str) -> str | None:
    """Return a Python of this version that runs."""
    newest = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    for found in (shutil.which(f"python{version}"), *map(str, newest)):
        if found is not None and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    return None


@pytest.mark.parametrize("version", PYTHONS)
def test_it_installs_and_says_the_same(version: str, tmp_path: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"needs Python {version}")
    bundle = unpack(make_bundle(version, platform.machine(), tmp_path / "out"), tmp_path / "unpacked")
    extras = ",".join(EXTRAS[platform.machine()])
    done = install(bundle, "--prefix", tmp_path / "agent", "--python", python, "--with", extras)
    assert (done.returncode, done.stderr) == (0, "")
    assert analysed(tmp_path / "agent" / "bin" / "sysscan-agent") == analysed_here()
