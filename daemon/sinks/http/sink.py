"""Posts records to a web address, signed."""

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence

from daemon.sinks.http.settings import HttpSettings
from daemon.sinks.network.courier import NetworkSink
from daemon.sinks.network.items import Item, item_maker
from daemon.sinks.network.secrets import read_secret
from daemon.sinks.network.sending import HttpClient, Refusal, Sending

_MOST_BYTES = 1 << 20  # of an answer, which says nothing but its status


def open_http(settings: HttpSettings, wall_clock: Callable[[], float] = time.time) -> NetworkSink:
    """Make the sink. Nothing is connected before the first record."""
    name = f"http:{settings.name}"
    sending = Sending(settings, name, Webhook(settings, name, wall_clock), lambda item: len(item.line) + 1)
    return NetworkSink(name, item_maker(settings, settings.mapping), sending)


class Webhook:
    """Sends one request for each batch.

    Its headers: ``Sysscan-Records``, how many there are; ``Sysscan-Batch``, a digest of their keys, the same when the
    same records are sent again together; with a secret ``Sysscan-Timestamp``, seconds since 1970, and
    ``Sysscan-Signature``, ``v1=`` and the HMAC-SHA256 of timestamp, a dot and the body, in hexadecimal digits.
    """

    def __init__(self, settings: HttpSettings, name: str, wall_clock: Callable[[], float]) -> None:
        self._settings = settings
        self._name = name
        self._path = settings.address.path
        self._client = HttpClient(settings, name)
        self._wall_clock = wall_clock

    def __call__(self, batch: Sequence[Item]) -> Sequence[Refusal]:
        """Send; it is taken as a whole or not at all.

        Raises:
            SinkError: when it was not taken, or that is not known.
        """
        body, kind = _body(batch, self._settings.format)
        headers = {
            "Content-Type": kind,
            "Sysscan-Records": str(len(batch)),
            "Sysscan-Batch": hashlib.sha256("\n".join(item.key for item in batch).encode()).hexdigest()[:32],
        }
        secrets = []
        if self._settings.secret_file is not None:
            secret = read_secret(f"{self._name}: secret_file", self._settings.secret_file)
            timestamp = str(int(self._wall_clock()))
            headers["Sysscan-Timestamp"] = timestamp
            headers["Sysscan-Signature"] = f"v1={signature(secret, timestamp, body)}"
            secrets.append(secret)
        self._client.ask("POST", self._path, body, headers, secrets, most=_MOST_BYTES)
        return ()


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Sign a request: hexadecimal digits."""
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def _body(batch: Sequence[Item], form: str) -> tuple[bytes, str]:
    if form == "json":
        return b"[" + b",".join(item.line for item in batch) + b"]", "application/json"
    return b"".join(item.line + b"\n" for item in batch), "application/x-ndjson"
