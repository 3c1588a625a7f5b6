"""The unit of the view over a fleet: how tight it is, and that its program works inside it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.systemd.test_unit import ROOT, SYSTEM_UNITS, exposure, settings_of, with_systemd

UNIT = ROOT / "systemd" / "sysscan-agent-fleet.service"


def unit() -> dict[str, list[str]]:
    return settings_of(UNIT.read_text(encoding="utf-8"))


@with_systemd
def test_the_service_reaches_brokers_and_is_exposed_by_one_and_two_tenths_at_most(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8")
    opened = text.replace("IPAddressAllow=localhost", "IPAddressAllow=localhost\nIPAddressAllow=192.0.2.0/24")
    (tmp_path / UNIT.name).write_text(opened, encoding="utf-8")
    assert exposure(UNIT) <= exposure(tmp_path / UNIT.name) <= 1.2


@with_systemd
def test_the_measure_notices_an_opened_sandbox(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8").replace("IPAddressDeny=any\n", "")
    (tmp_path / UNIT.name).write_text(text, encoding="utf-8")
    assert exposure(tmp_path / UNIT.name) > exposure(UNIT)


@with_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    shutil.copy(UNIT, units)
    (tmp_path / "usr" / "lib" / "systemd").mkdir(parents=True)
    assert SYSTEM_UNITS is not None
    shutil.copytree(SYSTEM_UNITS, tmp_path / "usr" / "lib" / "systemd" / "system", symlinks=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    program = tmp_path / "opt" / "sysscan-agent" / "bin" / "sysscan-agent-fleet"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n", encoding="ascii")
    program.chmod(0o755)
    told = subprocess.run(
        ["systemd-analyze", "verify", f"--root={tmp_path}", UNIT.name], capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stderr) == (0, "")


def test_nothing_is_written_and_only_the_page_is_listened_to() -> None:
    from daemon.settings import FleetSettings

    found = unit()
    assert not {"StateDirectory", "LogsDirectory", "RuntimeDirectory", "ReadWritePaths"} & set(found)
    assert found["SocketBindAllow"] == [f"ipv4:tcp:{FleetSettings().listen.rpartition(':')[2]}"]
    assert found["IPAddressDeny"] == ["any"] and found["IPAddressAllow"] == ["localhost"]
    assert found["DynamicUser"] == ["yes"]


def test_the_program_agrees_with_the_unit_on_how_it_ends() -> None:
    from daemon.fleet.cli import Exit

    found = unit()
    assert found["RestartPreventExitStatus"] == [str(int(Exit.USAGE))]
    assert found["Type"] == ["notify"] and int(found["WatchdogSec"][0]) >= 30
    program = found["ExecStart"][0].split()
    assert program == ["/opt/sysscan-agent/bin/sysscan-agent-fleet", "run"]
    done = subprocess.run(
        [sys.executable, "-m", "daemon.fleet.cli", "--help"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert re.search(r"2\s+a person must change", done.stdout)


def test_without_brokers_it_ends_with_the_code_that_is_not_started_again() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SYSSCAN_")}
    done = subprocess.run(
        [sys.executable, "-m", "daemon.fleet.cli", "run"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=kept,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "sysscan-agent-fleet: kafka.brokers is not set; there is nothing to read from\n"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LISTEN", "0.0.0.0:9475", "is not an address of this machine alone"),
        ("LISTEN", "fleet.example.org:9475", "is not an address of this machine alone"),
        ("LISTEN", "127.0.0.1", "is not an address of this machine alone"),
        ("LISTEN", "::1:9475", "is not an address of this machine alone"),
        ("POSTURE_TOPIC", "a b", "must match pattern"),
        ("WINDOW_H", "1000", "less than or equal to 168"),
        ("SILENT", "1", "no such setting: fleet.silent; did you mean fleet."),
    ],
)
def test_a_setting_that_cannot_be_is_an_error_in_one_line(name: str, value: str, said: str) -> None:
    kept = {one: each for one, each in os.environ.items() if not one.startswith("SYSSCAN_")}
    done = subprocess.run(
        [sys.executable, "-m", "daemon.fleet.cli", "run", "--check"], capture_output=True, text=True, cwd=ROOT,
        env={**kept, "SYSSCAN_KAFKA__BROKERS": "127.0.0.1:1", f"SYSSCAN_FLEET__{name}": value}, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr.replace("String", "string")
    assert len(done.stderr.splitlines()) == 1


def test_without_faust_it_says_what_to_install_and_nothing_else_needs_it(tmp_path: Path) -> None:
    for name in ("faust", "aiokafka", "aiohttp", "mode"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('not there', name={name!r})")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SYSSCAN_")}
    environment = {**kept, "PYTHONPATH": f"{tmp_path}:{ROOT}", "SYSSCAN_KAFKA__BROKERS": "127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-m", "daemon.fleet.cli", "run"], capture_output=True, text=True, cwd=ROOT, env=environment,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"-e '{ROOT}[fleet]'" in done.stderr
    script = "import daemon.cli.app, daemon.compose, daemon.fleet.fleet, daemon.fleet.page, daemon.fleet.keeper"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=True)
