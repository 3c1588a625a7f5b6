"""The unit that retrains: as tight as the agent's, without network, and it takes only what is idle."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.systemd.test_unit import ROOT, SYSTEM_UNITS, exposure, settings_of, with_systemd

SERVICE = ROOT / "systemd" / "sysscan-agent-retrain.service"
TIMER = ROOT / "systemd" / "sysscan-agent-retrain.timer"


@with_systemd
def test_it_is_exposed_by_little_more_than_the_agent() -> None:
    assert exposure(SERVICE) <= 1.2


def test_it_has_no_network_and_writes_nothing_but_the_state_directory() -> None:
    said = settings_of(SERVICE.read_text(encoding="utf-8"))
    assert said["PrivateNetwork"] == ["yes"]
    assert said["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert said["ProtectSystem"] == ["strict"]
    assert said["StateDirectory"] == ["sysscan-agent"]
    assert not {"ReadWritePaths", "LogsDirectory", "CacheDirectory", "BindPaths"} & said.keys()
    assert "-/etc/sysscan-agent" in said["InaccessiblePaths"][0]


def test_it_takes_only_what_is_idle_and_has_bounds() -> None:
    said = settings_of(SERVICE.read_text(encoding="utf-8"))
    assert (said["Nice"], said["CPUSchedulingPolicy"], said["IOSchedulingClass"]) == (["19"], ["idle"], ["idle"])
    assert said["MemoryMax"] == ["4G"]
    minutes = int(said["ExecStart"][0].partition("--max-minutes ")[2])
    assert minutes < int(said["TimeoutStartSec"][0].removesuffix("min"))


def test_it_is_off_until_somebody_enables_the_timer() -> None:
    assert "[Install]" not in SERVICE.read_text(encoding="utf-8")
    assert settings_of(TIMER.read_text(encoding="utf-8"))["WantedBy"] == ["timers.target"]


@with_systemd
def test_systemd_accepts_both(tmp_path: Path) -> None:
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    for unit in (SERVICE, TIMER):
        shutil.copy(unit, units)
    (tmp_path / "usr" / "lib" / "systemd").mkdir(parents=True)
    if SYSTEM_UNITS is None:
        pytest.skip("systemd's own units are not installed")
    shutil.copytree(SYSTEM_UNITS, tmp_path / "usr" / "lib" / "systemd" / "system", symlinks=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    binary = tmp_path / "opt" / "sysscan-agent-trainer" / "bin" / "sysscan-train"
    binary.parent.mkdir(parents=True)
    binary.write_text("#!/bin/sh\n", encoding="ascii")
    binary.chmod(0o755)
    done = subprocess.run(
        ["systemd-analyze", "verify", f"--root={tmp_path}", SERVICE.name, TIMER.name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
