"""The unit of workers: as tight as the air-gapped one but for the brokers, and each instance on its own."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from daemon.settings import load_settings
from tests.systemd.test_unit import DROP_INS, ROOT, exposure, installed, settings_of, verify, with_systemd
from tests.systemd.test_unit import UNIT as AIR_GAPPED

UNIT = ROOT / "systemd" / "sysscan-agent-kafka@.service"
DROP_IN = DROP_INS / "kafka-workers.conf"
# What a worker needs that watches no directory, and the air-gapped service has in another way.
DIFFERENT = {
    "Description", "After", "Wants", "RequiresMountsFor", "ExecStart", "EnvironmentFile", "Environment",
    "SupplementaryGroups", "StateDirectory", "LogsDirectory", "LogsDirectoryMode", "RuntimeDirectory", "ReadOnlyPaths",
    "PrivateNetwork", "RestrictAddressFamilies", "MemoryHigh", "MemoryMax", "LimitNOFILE",
    "ExecReload",  # a worker reads its files when it starts
}  # fmt: skip


def unit() -> Mapping[str, list[str]]:
    return settings_of(UNIT.read_text(encoding="utf-8"))


@with_systemd
def test_it_is_exposed_by_one_and_two_tenths_at_most(tmp_path: Path) -> None:
    assert exposure(UNIT) <= 1.2
    root = installed(tmp_path, drop_in=DROP_IN, unit=UNIT)
    assert exposure(root) <= 1.2


@with_systemd
@pytest.mark.parametrize("drop_in", [None, DROP_IN], ids=["alone", "with the drop-in"])
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path, drop_in: Path | None) -> None:
    installed(tmp_path, drop_in=drop_in, unit=UNIT)
    told = verify(tmp_path, UNIT.name.replace("@", "@1"))
    assert (told.returncode, told.stderr) == (0, "")


def test_all_else_is_as_in_the_air_gapped_one() -> None:
    ours, theirs = unit(), settings_of(AIR_GAPPED.read_text(encoding="utf-8"))
    names = (ours.keys() | theirs.keys()) - DIFFERENT
    assert {name: ours.get(name) for name in names} == {name: theirs.get(name) for name in names}
    assert {name for name in DIFFERENT if ours.get(name) == theirs.get(name)} == set()


def test_nobody_can_be_reached_before_somebody_says_who() -> None:
    assert unit()["IPAddressDeny"] == ["any"] and "IPAddressAllow" not in unit()
    assert unit()["SocketBindDeny"] == ["any"]
    assert settings_of(DROP_IN.read_text(encoding="utf-8"))["IPAddressAllow"] == ["192.0.2.0/24"]


def test_each_instance_has_a_state_a_name_and_metrics_of_its_own() -> None:
    found = unit()
    given = dict(one.split("=", 1) for one in found["Environment"])
    assert given["SYSSCAN_STATE_DIR"] == f"/var/lib/{found['StateDirectory'][0]}"
    assert given["SYSSCAN_METRICS__PATH"].startswith(f"/run/{found['RuntimeDirectory'][0]}/")
    for value in (given["SYSSCAN_STATE_DIR"], given["SYSSCAN_METRICS__PATH"], given["SYSSCAN_KAFKA__INSTANCE_ID"]):
        assert "%i" in value
    assert "%H" in given["SYSSCAN_KAFKA__INSTANCE_ID"]  # a group may have workers on several machines


def test_the_settings_that_it_is_installed_with_make_a_worker(tmp_path: Path) -> None:
    path = ROOT / "config" / "kafka.toml"
    assert f"--config /etc/sysscan-agent/{path.name}" in unit()["ExecStart"][0]
    environment = {
        name: value.replace("%i", "1").replace("%H", "soc-1.example.org")
        for name, value in (one.split("=", 1) for one in unit()["Environment"])
    }
    settings = load_settings(environment, {}, path)
    assert settings.kafka.consume and settings.kafka.brokers and settings.kafka.tls and not settings.output.enabled
    assert settings.kafka.instance_id == "soc-1.example.org-1"
    assert not settings.watch.roots
    assert set(tomllib.loads(path.read_text(encoding="utf-8"))) == {"kafka", "output", "log"}


def test_the_password_of_the_drop_in_beats_that_of_the_file() -> None:
    text = DROP_IN.read_text(encoding="utf-8").replace("\n#", "\n")
    found = settings_of(text)
    assert found["LoadCredential"][0].split(":")[0] == found["Environment"][0].rsplit("/", 1)[1]
    assert "SYSSCAN_KAFKA__PASSWORD_FILE=%d/" in found["Environment"][0]
