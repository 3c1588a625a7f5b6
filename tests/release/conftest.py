"""One bundle, and one installation of it, for all tests here: making them takes a minute."""

import platform
from pathlib import Path

import pytest

from release.bundle import make_bundle
from tests.release.made import Bundle, install, unpack


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """For the Python of the distribution, which the Debian package is made with, too."""
    out = tmp_path_factory.mktemp("bundle")
    return unpack(make_bundle(system_python(), platform.machine(), out), out / "unpacked")


@pytest.fixture(scope="session")
def prefix(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("installed") / "agent"
    done = install(bundle, "--prefix", place, "--python", "/usr/bin/python3")
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def system_python() -> str:
    """Return the version of /usr/bin/python3, as "3.11"."""
    return Path("/usr/bin/python3").resolve().name.removeprefix("python")
