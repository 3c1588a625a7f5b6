"""The bundle installs where there is no network, and what is damaged or for another machine is refused."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from release.bundle import make_bundle
from release.closure import lowest_glibc
from tests.packaging.build import ROOT
from tests.release.made import Bundle, Ended, analysed, analysed_here, install, without_network


def refused(ended: Ended) -> str:
    """Return the last line of a refusal."""
    assert ended.returncode == 2
    return ended.stderr.splitlines()[-1]


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def test_control_there_is_no_network_in_there() -> None:
    done = without_network(sys.executable, "-c", "import socket; socket.create_connection(('192.0.2.1', 9), 5)")
    assert "Network is unreachable" in done.stderr


def test_it_is_installed_and_says_what_the_checkout_says(prefix: Path) -> None:
    assert analysed(prefix / "bin" / "sysscan-agent") == analysed_here()


def test_it_is_installed_again_with_a_further_part(bundle: Bundle, prefix: Path) -> None:
    asked = (prefix / "bin" / "python", "-c", "import aiokafka")
    assert "No module named 'aiokafka'" in without_network(*asked).stderr
    done = install(bundle, "--prefix", prefix, "--python", "/usr/bin/python3", "--with", "kafka")
    assert (done.returncode, done.stderr) == (0, "")
    assert without_network(*asked).returncode == 0


def test_the_same_wheels_give_the_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    again = make_bundle(bundle.facts["python"], bundle.facts["machine"], tmp_path, bundle.tree / "wheels")
    assert again.read_bytes() == bundle.file.read_bytes()


def test_what_is_damaged_is_not_installed(bundle: Bundle, tmp_path: Path) -> None:
    damaged = Bundle(bundle.file, tmp_path / "bundle")
    shutil.copytree(bundle.tree, damaged.tree)
    wheel = next((damaged.tree / "wheels").glob("typer-*.whl"))
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"!")
    ended = install(damaged, "--prefix", tmp_path / "agent", "--python", "/usr/bin/python3")
    assert refused(ended).endswith("is not what was made; fetch the bundle again")
    assert f"wheels/{wheel.name}: FAILED" in ended.stdout + ended.stderr
    assert not (tmp_path / "agent").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--python", "{old}"), "this bundle is for Python"),
        (("--python", "/nowhere/python"), "no such Python"),
        (("--with", "trainer"), "--with trainer: not in this bundle, which has: "),
        (("--purge",), "--purge: has no effect without --remove"),
        (("--root", "/nowhere"), "--root: has no effect without"),
        (("--everything",), "--everything: no such option"),
        (("--service",), "--service: the units run what is in /opt/sysscan-agent"),
    ],
)
def test_what_cannot_be_is_one_line(bundle: Bundle, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho 3.9\n", encoding="ascii")
    old.chmod(0o755)
    place = tmp_path / "agent"
    ended = install(bundle, "--prefix", place, *(option.format(old=old) for option in options))
    assert said in refused(ended) and ended.stderr.count("\n") == 1
    assert not place.exists()


def test_the_service_is_put_into_place_and_all_of_it_taken_away(bundle: Bundle, tmp_path: Path) -> None:
    root = tmp_path / "root"
    place = ("--service", "--root", root, "--prefix", root / "opt/sysscan-agent", "--python", "/usr/bin/python3")
    done = install(bundle, *place)
    assert done.returncode == 0, done.stderr
    placed = {path for path in files(root) if not path.startswith("opt/")}
    assert {"etc/systemd/system/sysscan-agent.service", "usr/local/share/man/man1/sysscan-agent.1"} < placed
    units = {path.name for path in (ROOT / "systemd").iterdir() if path.suffix in (".service", ".socket", ".timer")}
    assert units == {Path(path).name for path in placed if path.startswith("etc/systemd")}
    settings = root / "etc" / "sysscan-agent" / "config.toml"
    settings.write_text("# mine\n", encoding="ascii")
    assert f"kept: {settings}" in install(bundle, *place).stdout
    assert settings.read_text(encoding="ascii") == "# mine\n"
    done = install(bundle, "--remove", "--root", root)
    assert done.returncode == 0, done.stderr
    assert files(root) == {"etc/sysscan-agent/config.toml", "etc/sysscan-agent/policy.yaml"}
    assert install(bundle, "--remove", "--purge", "--root", root).returncode == 0
    assert files(root) == set()


def test_it_says_which_glibc_it_needs(bundle: Bundle) -> None:
    wheels = [path.name for path in (bundle.tree / "wheels").glob("*.whl")]
    assert bundle.facts["glibc"] == "{}.{}".format(*lowest_glibc(wheels))
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert f"glibc {bundle.facts['glibc']} or newer" in text


def test_the_script_is_valid_for_every_shell(bundle: Bundle) -> None:
    assert "@" not in (bundle.tree / "install.sh").read_text(encoding="utf-8").replace('"$@"', "").replace("kafka@", "")
    for shell in ("dash", "bash"):
        done = subprocess.run([shell, "-n", bundle.tree / "install.sh"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
