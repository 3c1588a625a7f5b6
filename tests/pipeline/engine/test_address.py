"""Which addresses of a model server are this machine's alone."""

import socket

import pytest

from pipeline.engine.address import parse_address


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("http://127.0.0.1:8080/v1", ("127.0.0.1", 8080)),
        ("http://127.9.8.7:1/v1/", ("127.9.8.7", 1)),
        ("http://[::1]:11434", ("::1", 11434)),
        ("http://localhost:8080", ("127.0.0.1", 8080)),
        ("http://LOCALHOST:8080/", ("127.0.0.1", 8080)),
    ],
)
def test_loopback_is_taken_and_no_name_is_looked_up(
    text: str, reached: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "gethostbyname", refuse)
    address = parse_address(text)
    assert (address.host, address.port, address.socket) == (*reached, None)


def test_a_socket_is_taken_by_its_absolute_path() -> None:
    assert parse_address("unix:/run/llama/model.sock").socket == "/run/llama/model.sock"


@pytest.mark.parametrize(
    "text",
    [
        "http://192.0.2.1:8080",
        "http://10.0.0.1:8080",
        "http://0.0.0.0:8080",
        "http://[::]:8080",
        "http://[::ffff:127.0.0.1]:8080",
        "http://[fe80::1%25lo]:8080",
        "http://example.org:8080",
        "http://localhost.example.org:8080",
        "http://127.0.0.1.example.org:8080",
        "http://127.0.0.1@192.0.2.1:8080",
        "http://user@127.0.0.1:8080",
        "http://127.1:8080",
        "http://2130706433:8080",
        "http://0x7f.0.0.1:8080",
        "http://127.0.0.256:8080",
        "http://127.0.0.1",
        "http://127.0.0.1:0",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:8080/v2",
        "http://127.0.0.1:8080/v1?to=elsewhere",
        "http://127.0.0.1:8080#192.0.2.1",
        "http://127.0.0.1:8080\r\nHost: elsewhere",
        "http://127.0.0.1:8080 ",
        "https://127.0.0.1:8080",
        "//127.0.0.1:8080",
        "127.0.0.1:8080",
        "unix:model.sock",
        "unix:",
        f"unix:/{'x' * 107}",
        "",
    ],
)
def test_everything_else_is_refused_in_one_line_that_says_what_to_give(text: str) -> None:
    with pytest.raises(ValueError, match=r"give http://127\.0\.0\.1:PORT or unix:/PATH/OF/SOCKET") as refused:
        parse_address(text)
    assert "\n" not in str(refused.value)
