"""Where the page is served: for one user, a group or this machine; a socket says who is there."""

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from daemon.review.web.listening import listening, peer_of
from daemon.review.who import user
from pipeline.errors import ConfigError
from tests.daemon.cli.invoke import COMMAND, ROOT
from tests.daemon.review.web.served import PATIENCE_S, Client, copied, served

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")
_OTHER = 1  # `daemon` on every Linux
_NOBODY = 65534


def as_user(uid: int, where: str, *groups: int) -> str:
    """Open the queue and approve the worst as another user would; returns what came of it.

    In a child that is no new program, because others may not be allowed to run the Python of the tests.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups(groups)
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.write(writing, _decide(where).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        came = said.read()
    os.waitpid(child, 0)
    return came


def _decide(where: str) -> str:
    client = Client(where)
    try:
        answer = client.get("/")
    except PermissionError:
        return "kept out"
    if answer.status == 200:
        answer = client.send(client.get(answer.links("/finding/")[0]).deciding, kind="approve")
    return str(answer.status)


def test_a_path_is_for_this_user_alone_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "review.sock"
    with listening(str(path), None, {}) as one:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and one.names_peers
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            connection, _ = one.socket.accept()
            assert peer_of(connection) == os.getuid()
            connection.close()
    assert not path.exists()


def test_what_a_crash_has_left_is_taken_over_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "review.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    with (
        listening(str(path), None, {}),
        pytest.raises(ConfigError, match="another program listens there"),
        listening(str(path), None, {}),
    ):
        pass
    path.write_text("something")
    with pytest.raises(ConfigError, match="no socket"), listening(str(path), None, {}):
        pass
    assert path.read_text() == "something"


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("0.0.0.0:0", "an address of this machine alone"),
        ("192.0.2.1:80", "an address of this machine alone"),
        ("example.org:80", "an address of this machine alone"),
        ("127.0.0.1", "an address of this machine alone"),
        ("127.0.0.1:x", "an address of this machine alone"),
        ("127.0.0.1:99999", "an address of this machine alone"),
        ("/nowhere/at/all/review.sock", "No such file or directory"),
        ("/" + "x" * 200, "too long"),
    ],
)
def test_it_listens_to_this_machine_alone_or_says_what_is_wrong(where: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says), listening(where, None, {}):
        pass


@pytest.mark.parametrize("where", ["127.0.0.1:0", "localhost:0", "[::1]:0"])
def test_any_name_of_this_machine_will_do(where: str) -> None:
    try:
        with listening(where, None, {}) as one:
            assert one.where.startswith(("127.0.0.1:", "[::1]:")) and not one.names_peers
            with pytest.raises(ConfigError, match="port 0 takes one that is free"), listening(one.where, None, {}):
                pass
    except ConfigError as error:
        assert "::1" in where and "assign" in str(error)  # a machine without IPv6


def test_groups_are_for_paths_and_have_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no effect on HOST:PORT"), listening("127.0.0.1:0", "root", {}):
        pass
    with pytest.raises(ConfigError, match="no such group"), listening(str(tmp_path / "s"), "no-such-group", {}):
        pass


@needs_root
def test_each_user_is_named_by_the_socket_and_who_is_not_in_the_group_is_kept_out(
    scanned: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("open")
    for parent in (directory, *directory.parents):  # pytest's own are closed to others
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    state = copied(scanned, directory / "copy")
    where = str(directory / "review.sock")
    with served(state, where) as page:
        assert as_user(_OTHER, where) == "kept out"
        os.chown(where, -1, 4242)
        Path(where).chmod(0o660)
        assert as_user(_OTHER, where) == "kept out"
        assert as_user(_OTHER, where, 4242) == "200"
        own = Client(where)
        own.send(own.get(own.get("/").links("/finding/")[0]).deciding, kind="approve")
        assert [verdict.author for verdict in page.verdicts()] == [user(_OTHER), user(0)]
        # Whom a user namespace does not know comes as nobody; nobody decides nothing.
        assert as_user(_NOBODY, where, 4242) == "403" and len(page.verdicts()) == 2
        # A cookie of one user is no good to another.
        thief = Client(where)
        thief.cookies = dict(own.cookies)
        assert "you are" in thief.get("/").text


def test_systemd_passes_the_socket(scanned: Path, tmp_path: Path) -> None:
    state, path = copied(scanned, tmp_path / "copy"), tmp_path / "passed.sock"
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(str(path))
        passed.listen()
        # `exec` keeps the process id that the shell has, which is the one that systemd would name.
        process = subprocess.Popen(
            ["bash", "-c", 'exec 3<&"$0"; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', str(passed.fileno()), *COMMAND,
             "review", "--web", "--state-dir", str(state)],
            cwd=ROOT, pass_fds=[passed.fileno()], stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    try:
        client = Client(str(path))  # it may connect at once: what it asks waits
        assert client.get("/").status == 200
        client.send(client.get(client.get("/").links("/finding/")[0]).deciding, kind="approve")
        assert user(os.getuid()) in client.get("/history").words
    finally:
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0 and str(path) in said and path.exists()  # which systemd keeps


def test_what_systemd_passes_has_to_be_one_unix_socket() -> None:
    two = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}
    with pytest.raises(ConfigError, match="passed 2 sockets"), listening("127.0.0.1:0", None, two):
        pass
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"}
    with listening("127.0.0.1:0", None, environment) as one:  # meant for another process
        assert not one.names_peers and environment == {}
