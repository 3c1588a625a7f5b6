"""One request to a model server and its answer, both JSON, within bounds of time and size.

Nothing is followed, looked up or taken from the environment: no redirect, no name, no proxy.
"""

import contextlib
import http.client
import json
import socket
from typing import Any

from pipeline.engine.address import Address
from pipeline.engine.bounded import read_body, within
from pipeline.engine.errors import Refusal, RuntimeFault
from pipeline.engine.reading import parse_json

MAX_BYTES = 1 << 20  # of a reply; an answer has a few KB
_SHOWN_CHARS = 200


class _Connection(http.client.HTTPConnection):
    """HTTP to a literal address or a UNIX socket.

    Attributes:
        channel: the socket, once it is there; `sock` is gone when a reply has no length.
    """

    channel: socket.socket | None = None

    def __init__(self, address: Address, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._address = address
        self._timeout_s = timeout_s

    def connect(self) -> None:
        address = self._address
        if address.socket is not None:
            channel = socket.socket(socket.AF_UNIX)
        else:
            channel = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
        self.sock = self.channel = channel
        channel.settimeout(self._timeout_s)
        channel.connect(address.socket or (address.host, address.port))


def exchange(address: Address, path: str, body: object = None, *, timeout_s: float) -> Any:
    """Ask a server: POST where there is a body, else GET. Returns the JSON value that it answers with.

    Raises:
        Refusal: if it does not want to answer this request (status 4xx).
        RuntimeFault: if it is not there, too slow, or answers with something else; one line.
    """
    connection = _Connection(address, timeout_s)
    with contextlib.closing(connection), within(timeout_s, lambda: connection.channel) as late:
        try:
            status, data = _converse(connection, path, body)
        except (OSError, http.client.HTTPException) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise _late(address, timeout_s) from error
            reason = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
            raise RuntimeFault(f"{address.text}: no answer: {reason}; does the server run?") from error
    if late.is_set():
        raise _late(address, timeout_s)
    if 300 <= status < 400:
        raise RuntimeFault(f"{address.text}: redirects to elsewhere (status {status}), which is not followed")
    if status >= 400:
        kind = Refusal if status < 500 else RuntimeFault
        raise kind(f"{address.text}: refuses {path} (status {status}): {_shown(data)}")
    if len(data) > MAX_BYTES:
        raise RuntimeFault(f"{address.text}: answers {path} with more than {MAX_BYTES >> 20} MiB")
    try:
        return parse_json(data)
    except ValueError as error:
        raise RuntimeFault(f"{address.text}: answers {path} with something that is no JSON: {_shown(data)}") from error


def _converse(connection: _Connection, path: str, body: object) -> tuple[int, bytes]:
    """Send the request; return the status and what follows, or a little more than `MAX_BYTES` of it."""
    headers = {"Accept": "application/json", "Connection": "close"}
    if body is None:
        connection.request("GET", path, headers=headers)
    else:
        packed = json.dumps(body, ensure_ascii=False).encode()
        connection.request("POST", path, packed, {**headers, "Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, read_body(response, MAX_BYTES)


def _late(address: Address, timeout_s: float) -> RuntimeFault:
    return RuntimeFault(
        f"{address.text}: no answer within {timeout_s:g} s; see what keeps it, or raise model.endpoint_timeout_s"
    )


def _shown(data: bytes) -> str:
    """Give the beginning of what a server says, or the message in it, in one harmless line."""
    text = data[: 4 * _SHOWN_CHARS].decode(errors="replace")
    with contextlib.suppress(ValueError):
        said = parse_json(data)
        error = said.get("error", said) if isinstance(said, dict) else said
        text = str(error.get("message", error)) if isinstance(error, dict) else str(error)
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(line.split())[:_SHOWN_CHARS] or "without a word"
