"""The units of the review page: how tight they are, who gets in, and that the page works in what they leave it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.cli.exits import Exit
from tests.daemon.review.web.served import PATIENCE_S, Client, scan, until, verdicts
from tests.systemd.test_unit import (
    _SANDBOX,
    ROOT,
    UNIT,
    allowed_calls,
    exposure,
    installed,
    settings_of,
    verify,
    with_seccomp,
    with_systemd,
)

SERVICE = ROOT / "systemd" / "sysscan-agent-review.service"
SOCKET = ROOT / "systemd" / "sysscan-agent-review.socket"


def unit(path: Path) -> dict[str, list[str]]:
    return settings_of(path.read_text(encoding="utf-8"))


@with_systemd
def test_the_page_has_no_network_and_is_exposed_by_four_tenths_at_most(tmp_path: Path) -> None:
    assert exposure(SERVICE) <= 0.4
    text = SERVICE.read_text(encoding="utf-8").replace("PrivateNetwork=yes", "PrivateNetwork=no")
    (tmp_path / SERVICE.name).write_text(text, encoding="utf-8")
    assert exposure(tmp_path / SERVICE.name) > exposure(SERVICE)


@with_systemd
@pytest.mark.parametrize("name", [SERVICE.name, SOCKET.name])
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path, name: str) -> None:
    installed(tmp_path, unit=SERVICE)
    shutil.copy(SOCKET, tmp_path / "etc" / "systemd" / "system")
    told = verify(tmp_path, name)
    assert (told.returncode, told.stderr) == (0, "")


def test_it_starts_when_somebody_comes_who_is_let_in_and_not_before() -> None:
    found, listens = unit(SERVICE), unit(SOCKET)
    assert found["ExecStart"] == ["/opt/sysscan-agent/bin/sysscan-agent review --web"]
    assert "WantedBy" not in found and found["Requires"] == [SOCKET.name] and found["Type"] == ["notify"]
    (path,) = listens["ListenStream"]
    assert path.startswith("/run/") and listens["SocketMode"] == ["0660"]
    group = listens["SocketGroup"][0]
    assert f"g {group} -" in (ROOT / "systemd" / "sysscan-agent.sysusers").read_text(encoding="utf-8").splitlines()
    assert found["PrivateUsers"] == ["no"]  # else nobody can be told from anybody
    assert found["RestartPreventExitStatus"] == [f"{int(Exit.USAGE)} {int(Exit.LEDGER)}"]


def test_it_writes_where_the_log_of_verdicts_is_and_nowhere_else() -> None:
    found = unit(SERVICE)
    assert found["StateDirectory"] == ["sysscan-agent"] and found["User"] == ["sysscan-agent"]
    assert not {"LogsDirectory", "RuntimeDirectory", "ReadWritePaths", "BindPaths"} & set(found)
    assert found["ProtectSystem"] == ["strict"] and found["RestrictAddressFamilies"] == ["AF_UNIX"]


@with_seccomp
def test_the_page_works_within_the_system_calls_of_the_unit_and_without_executable_memory(tmp_path: Path) -> None:
    assert unit(SERVICE)["SystemCallFilter"] == unit(UNIT)["SystemCallFilter"]  # which `allowed_calls` reads
    scan(tmp_path, "web01-ioc.json")
    where = tmp_path / "review.sock"
    process = subprocess.Popen(
        [sys.executable, "-c", _SANDBOX, ",".join(sorted(allowed_calls())), "deny", "-m", "daemon.cli", "review",
         "--web", "--listen", str(where), "--state-dir", str(tmp_path / "state")],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until(lambda: where.exists() or process.poll() is not None, "listening")
        if process.poll() == 77:
            pytest.skip("this kernel cannot deny memory that is writable and executable to a process")
        client = Client(str(where))
        answer = client.send(client.get(client.get("/").links("/finding/")[0]).deciding, kind="approve")
        assert answer.status == 200 and len(verdicts(tmp_path / "state")) == 1
    finally:
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
