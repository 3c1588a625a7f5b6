"""A message about a missing package leads somewhere that exists."""

import json
import subprocess
import tomllib
from collections.abc import Mapping
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from pipeline.engine.extras import BUNDLED, how_to_install

ROOT = Path(__file__).parents[3]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


class Installed(Distribution):
    """What pip or dpkg wrote down of an installation."""

    def __init__(self, **files: str) -> None:
        self._files: Mapping[str, str] = files

    def read_text(self, filename: str) -> str | None:
        return self._files.get(filename.replace(".", "_"))

    def locate_file(self, path: object) -> Path:
        raise NotImplementedError


def from_file(path: Path) -> Installed:
    return Installed(INSTALLER="pip\n", direct_url_json=json.dumps({"url": path.as_uri(), "archive_info": {}}))


def test_every_bundled_extra_exists() -> None:
    assert set(BUNDLED) < set(EXTRAS)


@pytest.mark.parametrize("extra", BUNDLED)
def test_in_a_checkout_it_is_a_command_over_files_that_exist(extra: str) -> None:
    said = how_to_install(extra)
    assert said.endswith(f"-e '{ROOT}[{extra}]'") and " -m pip install " in said
    pins = [Path(word) for word in said.split() if word.endswith(".txt")]
    assert pins and all(pin.is_file() for pin in pins)


@pytest.mark.parametrize("extra", ["cuda", "keras", "trainer"])
def test_in_a_checkout_what_takes_more_than_a_command_is_a_target_of_make(extra: str) -> None:
    assert extra in EXTRAS
    said = how_to_install(extra)
    assert f"make -C {ROOT} trainer" in said
    dry = subprocess.run(["make", "-C", ROOT, "-n", "trainer"], capture_output=True, text=True, check=False)
    assert dry.returncode == 0, dry.stderr


def test_from_a_checkout_that_was_installed_it_is_that_checkout(tmp_path: Path) -> None:
    assert f"-e '{ROOT}[kafka]'" in how_to_install("kafka", sources=tmp_path, installed=from_file(ROOT))


def test_from_a_bundle_it_is_the_script_of_the_bundle(tmp_path: Path) -> None:
    wheel = tmp_path / "a bundle" / "wheels" / "sysscan_agent-1-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    (wheel.parent.parent / "install.sh").touch()
    said = how_to_install("kafka", sources=tmp_path, installed=from_file(wheel))
    assert said.startswith(f"install it with: sh '{tmp_path}/a bundle/install.sh' --prefix ")
    assert said.endswith(" --with kafka")
    assert "make trainer" in how_to_install("trainer", sources=tmp_path, installed=from_file(wheel))


def test_from_a_wheel_it_is_that_wheel_and_one_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    wheel = tmp_path / "wheels" / "sysscan_agent-1-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    said = how_to_install("kafka", sources=tmp_path, installed=from_file(wheel))
    assert said.endswith(f"-m pip install '{wheel}[kafka]'")
    wheel.unlink()
    said = how_to_install("kafka", sources=tmp_path, installed=from_file(wheel))
    assert f"{wheel}, which this was installed from, is gone" in said and "pip install" not in said


@pytest.mark.parametrize("said_of_it", ["", "no JSON", "[]", '{"url": "https://example.org/x.whl"}'])
def test_from_elsewhere_it_is_the_handbook(said_of_it: str, tmp_path: Path) -> None:
    said = how_to_install("kafka", sources=tmp_path, installed=Installed(direct_url_json=said_of_it))
    assert "docs/install.md" in said and "pip install" not in said


def test_a_debian_package_says_so(tmp_path: Path) -> None:
    said = how_to_install("trainer", sources=tmp_path, installed=Installed(INSTALLER="dpkg"))
    assert said.startswith("the Debian package does not have it; ") and "make trainer" in said


def test_no_message_names_a_package_index() -> None:
    """The name is registered nowhere, so it would lead to nothing, or to somebody else's package."""
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for room in ("daemon", "pipeline", "trainer", "docs", "systemd", "README.md")
        for path in ([ROOT / room] if (ROOT / room).is_file() else (ROOT / room).rglob("*"))
        if path.suffix in (".py", ".md", ".service") and "decisions" not in path.parts
        for line in path.read_text(encoding="utf-8").splitlines()
        if "sysscan-agent[" in line
    ]
    assert found == []
