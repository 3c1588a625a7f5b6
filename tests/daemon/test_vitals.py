"""Metrics and health over HTTP: on this machine alone, honest when the loop stands still, and in nobody's way."""

import asyncio
import http.client
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import daemon.vitals
from daemon.vitals import Vitals
from pipeline.errors import ConfigError, LedgerError


class Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        self.sock.connect(str(self._path))


def get(where: str | Path, path: str = "/metrics", method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = Unix(where) if isinstance(where, Path) else http.client.HTTPConnection(where, timeout=30)
    try:
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def served(
    listen: str, ask: Callable[[Vitals], object], answer: Callable[[str], tuple[int, str]] = lambda path: (200, path)
) -> object:
    """Serve, and have somebody on another thread ask."""

    async def run() -> object:
        vitals = Vitals(listen, answer)
        try:
            return await asyncio.to_thread(ask, vitals)
        finally:
            vitals.stop()

    return asyncio.run(run())


def test_a_unix_socket_serves_everybody_on_this_machine_and_is_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    path_mode = []

    def ask(vitals: Vitals) -> object:
        path_mode.append(stat.S_IMODE(path.stat().st_mode))
        return [get(path, one) for one in ("/metrics", "/healthz?x=1", "/readyz", "/", "/metrics/../etc/passwd")]

    said = served(str(path), ask)
    others = (404, "there are /metrics, /healthz, /readyz\n")
    assert said == [(200, "/metrics"), (200, "/healthz"), (200, "/readyz"), others, others]
    assert path_mode == [0o666] and not path.exists()


def test_on_loopback_a_request_for_another_name_is_refused() -> None:
    def ask(vitals: Vitals) -> object:
        return [get(vitals.where, Host=host)[0] for host in ("127.0.0.1", "localhost:9", "evil.example", "10.0.0.1")]

    assert served("127.0.0.1:0", ask) == [200, 200, 421, 421]


def test_other_methods_are_refused_and_head_has_no_body() -> None:
    def ask(vitals: Vitals) -> object:
        return get(vitals.where, method="HEAD"), get(vitals.where, method="POST")[0]

    assert served("127.0.0.1:0", ask) == ((200, ""), 501)


def test_what_goes_wrong_while_answering_is_said_in_one_line() -> None:
    def answer(path: str) -> tuple[int, str]:
        raise LedgerError("ledger.db: disk\nI/O error")

    assert served("127.0.0.1:0", lambda vitals: get(vitals.where), answer) == (503, "ledger.db: disk I/O error\n")


def test_a_loop_that_stands_still_is_not_called_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon.vitals, "_PATIENCE_S", 0.2)
    said: list[tuple[int, str]] = []

    async def run() -> None:
        vitals = Vitals("127.0.0.1:0", lambda path: (200, "ok\n"))
        asker = threading.Thread(target=lambda: said.append(get(vitals.where, "/healthz")))
        asker.start()
        asker.join()  # on the loop, which stands still meanwhile
        said.append(await asyncio.to_thread(get, vitals.where, "/healthz"))
        vitals.stop()

    asyncio.run(run())
    (status, text), after = said
    assert status == 503 and "busy with one thing for more than 0.2 s" in text
    assert after == (200, "ok\n")


def test_those_that_connect_and_say_nothing_take_a_bounded_number_of_threads_and_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(daemon.vitals, "_REQUEST_S", 1.0)
    monkeypatch.setattr(daemon.vitals._Handler, "timeout", 1.0)

    def ask(vitals: Vitals) -> object:
        host, _, port = vitals.where.rpartition(":")
        before = threading.active_count()
        idle = [socket.create_connection((host, int(port))) for _ in range(60)]
        time.sleep(0.5)
        most = threading.active_count() - before
        assert get(vitals.where)[0] == 200, "they keep nobody out"
        for one in idle:
            one.settimeout(30)
            assert one.recv(1) == b""  # it is cut off
            one.close()
        return most <= 2 * daemon.vitals._AT_ONCE, get(vitals.where)[0]

    assert served("127.0.0.1:0", ask) == (True, 200)


def test_an_address_that_is_taken_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    async def twice() -> None:
        vitals = Vitals("127.0.0.1:0", lambda path: (200, ""))
        try:
            with pytest.raises(ConfigError, match=r"metrics\.listen 127\.0\.0\.1:\d+: Address already in use"):
                Vitals(vitals.where, lambda path: (200, ""))
        finally:
            vitals.stop()

    asyncio.run(twice())
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="no socket"):
        served(str(tmp_path / "file"), lambda vitals: None)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_socket_that_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    assert served(str(path), lambda vitals: get(path)) == (200, "/metrics")
