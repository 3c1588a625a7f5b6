"""One bounded HTTP exchange: no redirect, no proxy, no more time or bytes than it may take."""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from daemon.sinks.network.settings import Url
from daemon.sinks.network.tls import refused
from pipeline.engine.bounded import read_body, within
from pipeline.errors import SinkError

MOST_WAIT_S = 3600.0  # whatever the other side asks for


@dataclass(slots=True, frozen=True)
class Reply:
    """Attributes:
    data: the body, whole.
    retry_after_s: how long the other side wants to be left alone; 0 where it did not say.
    """

    status: int
    data: bytes
    retry_after_s: float = 0.0


class _Connection(http.client.HTTPConnection):
    """Attributes:
    channel: the socket, once it is there.
    """

    channel: socket.socket | None = None

    def __init__(self, url: Url, context: ssl.SSLContext | None, timeout_s: float) -> None:
        super().__init__(url.host, url.port, timeout=timeout_s)
        self._context = context

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self.channel = plain
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            # The handshake later, so that there is something to interrupt it by.
            secured = self._context.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock = self.channel = secured
            secured.do_handshake()


def exchange(
    url: Url,
    context: ssl.SSLContext | None,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    timeout_s: float,
    most: int,
) -> Reply:
    """Send a request and read the whole answer.

    Args:
        context: for TLS; None sends it readable.
        most: bytes that the answer may have.

    Raises:
        SinkError: if there is no answer, or no whole one: the other side may have taken the records or not.
    """
    connection = _Connection(url, context, timeout_s)
    with contextlib.closing(connection), within(timeout_s, lambda: connection.channel) as late:
        try:
            connection.request(method, path, body, {**headers, "Connection": "close"})
            response = connection.getresponse()
            data = read_body(response, most)
            left = response.length
        except (OSError, http.client.HTTPException, ValueError) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise _late(url, timeout_s) from error
            if isinstance(error, ssl.SSLError):
                raise refused(url.place, error) from error
            reason = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
            raise SinkError(f"{url.place}: no answer: {reason}; see that it runs and can be reached") from error
    if late.is_set():
        raise _late(url, timeout_s)
    if len(data) > most:
        raise SinkError(f"{url.place}: answers with more than {most >> 10} KiB; see whether the address is right")
    if left:
        raise SinkError(f"{url.place}: its answer was cut off; the records are sent again")
    return Reply(response.status, data, _retry_after(response.getheader("Retry-After"), response.getheader("Date")))


def _late(url: Url, timeout_s: float) -> SinkError:
    return SinkError(f"{url.place}: no answer within {timeout_s:g} s; see what keeps it, or raise timeout_s")


def _retry_after(said: str | None, date: str | None) -> float:
    """Read how long to wait: seconds, or a date, which is held against the other side's own clock where it says one."""
    if said is None:
        return 0.0
    said = said.strip()
    if said.isascii() and said.isdecimal():
        return min(float(said[:9]), MOST_WAIT_S)
    try:
        until = parsedate_to_datetime(said)
        now = parsedate_to_datetime(date) if date is not None else datetime.now(UTC)
        return min(max((until - now).total_seconds(), 0.0), MOST_WAIT_S)
    except (TypeError, ValueError):  # no date, or one of the two without a zone
        return 0.0
