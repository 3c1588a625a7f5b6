"""Who is let in: by token or by user, from pages of ours alone, with whole requests that are not too large."""

import contextlib
import socket
import time
from pathlib import Path

import pytest

from daemon.review.web.session import Sessions
from tests.daemon.review.web.served import TOKEN, Client, Served, copied, served, until


def test_without_the_token_nothing_is_shown_and_nothing_stored(page: Served, alice: Client) -> None:
    finding = alice.get("/").links("/finding/")[0]
    form = alice.get(finding).deciding
    stranger = Client(page.where)
    for path in ("/", finding, "/history", "/many?every=1", "/pulse"):
        answer = stranger.get(path)
        assert answer.status == 403 and "Open the address that" in answer.text and "updater" not in answer.text
    assert stranger.send(form, kind="approve").status == 403
    for token in ("", "x", TOKEN[:-1], f"{TOKEN}x", "%ff"):
        assert stranger.get(f"/enter?token={token}").status == 403 and not stranger.cookies
    stranger.cookies = {"sysscan_review": "made-up"}
    assert stranger.get("/").status == 403 and page.verdicts() == []
    assert Client(page.where).enter().get("/").status == 200  # the token is good for another browser, too


def test_the_cookie_is_for_this_program_alone(page: Served) -> None:
    answer = Client(page.where).ask("GET", f"/enter?token={TOKEN}", None, {}, follow=False)
    assert answer.status == 303 and answer.headers["location"] == "/"
    said = answer.headers["set-cookie"].lower()
    assert "httponly" in said and "samesite=strict" in said and "path=/" in said and "domain" not in said
    assert TOKEN.lower() not in said


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "192.0.2.1", "localhost.evil", ""]
)
def test_a_request_that_names_another_machine_is_refused(page: Served, alice: Client, host: str) -> None:
    """A page from elsewhere may have its own name lead here."""
    headers = {"Host": host} if host else {"Host": ""}
    assert alice.get("/", **headers).status in ((421,) if host else (400, 421))
    assert alice.get("/", Host="localhost:1").status == 200  # as through a tunnel


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Origin": "", "Sec_Fetch_Site": "same-origin"}, 200),
        ({"Origin": ""}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),  # another program on this machine
        ({"Origin": "https://HOST"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
    ],
)
def test_forms_are_taken_from_pages_of_ours_alone(
    page: Served, alice: Client, headers: dict[str, str], status: int
) -> None:
    form = alice.get(alice.get("/").links("/finding/")[0]).deciding
    given = {name: value.replace("HOST", alice.host) for name, value in headers.items()}
    answer = alice.post(form.action, form.filled(kind="approve"), **given)
    assert answer.status == status and len(page.verdicts()) == (status == 200)


def test_other_pages_may_lead_here_and_show_nothing_of_it(alice: Client) -> None:
    assert alice.get("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200
    assert alice.get("/", Sec_Fetch_Site="none", Sec_Fetch_Mode="navigate").status == 200
    for site in ("cross-site", "same-site"):
        assert alice.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status == 403
        assert alice.get("/pulse", Sec_Fetch_Site=site, Sec_Fetch_Mode="cors").status == 403


def test_what_is_no_form_or_too_large_is_refused(page: Served, alice: Client) -> None:
    assert alice.post("/undo", b"{}", Content_Type="application/json").status == 415
    assert alice.post("/undo", b"a=" + b"x" * (70 << 10)).status == 413
    assert alice.post("/undo", b"&".join(b"a=1" for _ in range(1000))).status == 400
    assert alice.get("/?" + "&".join(["a=1"] * 1000)).status == 400
    with contextlib.suppress(ConnectionError):  # it may be let go before it has said everything
        assert alice.get("/?q=" + "x" * (300 << 10)).status == 400
    assert alice.ask("DELETE", "/", None, {"Origin": f"http://{alice.host}"}).status == 405
    assert alice.post("/undo", b"form=%ff&verdicts=1%00").status == 409
    assert alice.get("/").status == 200 and page.verdicts() == []


def test_who_dawdles_is_let_go_and_others_are_served_meanwhile(
    page: Served, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.review.web.peers.REQUEST_S", 0.5)
    host, port = page.where.rsplit(":", 1)
    slow = []
    for begun in (b"", b"GET / HTTP/1.1\r\nHost: ", b"POST /undo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na"):
        slow.append(socket.create_connection((host, int(port)), timeout=30))
        slow[-1].sendall(begun)
    assert alice.get("/").status == 200
    for one in slow:
        with one:
            while one.recv(65536):
                pass  # until it is closed


def test_a_restart_stores_nothing_of_pages_from_before_and_a_socket_asks_again(scanned: Path, tmp_path: Path) -> None:
    state, where = copied(scanned, tmp_path / "copy"), str(tmp_path / "review.sock")
    client = Client(where)
    with served(state, where):
        form = client.get(client.get("/").links("/finding/")[0]).deciding
    with served(state, where) as again:
        answer = client.send(form, kind="false_positive", reason="checked")
        assert answer.status == 409 and "drawn for another session" in answer.words
        assert again.verdicts() == [] and dict(answer.deciding.fields)["reason"] == "checked"
        assert client.send(answer.deciding, kind="false_positive").status == 200 and len(again.verdicts()) == 1


def test_sessions_end_when_nobody_uses_them_and_belong_to_one_user() -> None:
    now = 0.0
    sessions = Sessions(lambda: now)
    name = sessions.begin("alice", 1000)
    assert (
        sessions.find(name, 1000) is not None
        and sessions.find(name, 1001) is None
        and sessions.find(name, None) is None
    )
    now = 11 * 3600.0
    assert sessions.find(name, 1000) is not None
    now += 6 * 3600.0
    assert sessions.find(name, 1000, used=False) is not None  # a page that asks by itself
    now += 6 * 3600.0 + 1
    assert sessions.find(name, 1000) is None
    names = [sessions.begin("bob", 1001) for _ in range(300)]
    assert sessions.find(names[0], 1001) is None and sessions.find(names[-1], 1001) is not None


def test_a_form_is_remembered_as_sent_for_as_long_as_it_may_come_again() -> None:
    sessions = Sessions(time.monotonic)
    session = sessions.find(sessions.begin("alice", None), None)
    assert session is not None
    first = session.read("x", session.issue("x", 3, ["ab", "cd"]))
    assert first is not None and (first.seq, first.marks, session.outcome(first)) == (3, ("ab", "cd"), None)
    session.spend(first, "7")
    assert session.outcome(first) == "7"
    assert session.read("y", session.issue("x", 3)) is None and session.read("x", "") is None


def test_a_program_that_ends_while_somebody_waits_ends(scanned: Path, tmp_path: Path) -> None:
    with served(copied(scanned, tmp_path / "copy")) as page:
        host, port = page.where.rsplit(":", 1)
        waiting = socket.create_connection((host, int(port)), timeout=30)
    with waiting, contextlib.suppress(ConnectionResetError):  # where it had not been taken from the queue yet
        assert waiting.recv(1) == b""
    until(lambda: not page._thread.is_alive(), "ended")
