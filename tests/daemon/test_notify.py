"""What the service manager is told."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.notify import Notifier


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(10)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.address = address

    def received(self) -> str:
        return self.socket.recv(4096).decode()


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = (
        f"@sysscan-test-{os.getpid()}-{tmp_path.name}" if request.param == "abstract" else str(tmp_path / "notify")
    )
    one = Manager(address)
    yield one
    one.socket.close()


def test_readiness_status_ping_and_end_reach_the_manager(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.address})
    notifier.status("watching 2 directories, 0 findings wait")
    notifier.ready()
    notifier.ping()
    notifier.stopping()
    assert [manager.received() for _ in range(4)] == [
        "STATUS=watching 2 directories, 0 findings wait",
        "READY=1",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_several_assignments_travel_in_one_datagram(manager: Manager) -> None:
    Notifier({"NOTIFY_SOCKET": manager.address}).send(READY="1", STATUS="ok")
    assert manager.received() == "READY=1\nSTATUS=ok"


def test_without_a_manager_nothing_happens() -> None:
    Notifier({}).ready()


def test_a_manager_that_is_gone_does_not_end_the_service(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    Manager(address).socket.close()
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ping()
    (tmp_path / "notify").unlink()
    notifier.ping()


def test_no_child_inherits_the_socket() -> None:
    environment = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid()), "PATH": "/bin"}
    Notifier(environment)
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        ("60000000", str(os.getpid()), 60.0),
        ("60000000", "", 60.0),
        ("60000000", str(os.getpid() + 1), None),
        ("", "", None),
        ("soon", "", None),
    ],
    ids=["ours", "anybody's", "another's", "none", "not a number"],  # the same in every process that collects them
)
def test_the_watchdog_is_ours_only_when_it_names_us(usec: str, pid: str, expected: float | None) -> None:
    assert Notifier({"WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}).watchdog_s == expected


def test_a_manager_that_hangs_does_not_hang_the_service(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    notifier = Notifier({"NOTIFY_SOCKET": manager.address})
    heard = 0
    while notifier.send(STATUS="x" * 1000):
        heard += 1
        assert heard < 100_000
    assert not notifier.ready()
    manager.received()
    assert notifier.ready()
    manager.socket.close()
