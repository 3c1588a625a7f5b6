"""Sees whether a web address answers, without sending a record."""

from daemon.sinks.http.settings import HttpSettings
from daemon.sinks.network.exchange import exchange
from daemon.sinks.network.secrets import read_secret
from daemon.sinks.network.tls import client_context
from pipeline.errors import SinkError

_MOST_BYTES = 1 << 20


def probe_http(settings: HttpSettings) -> str:
    """Ask with HEAD, which changes nothing; whatever it answers shows that it is there. Returns a line for people.

    Raises:
        SinkError: if it does not answer, or a secret cannot be read.
    """
    name, url = f"http:{settings.name}", settings.address
    try:
        for setting in ("password_file", "token_file", "secret_file"):
            if place := getattr(settings, setting):
                read_secret(setting, place)
        context = client_context(settings) if url.tls else None
        reply = exchange(
            url, context, "HEAD", url.path, None, {"User-Agent": "sysscan-agent"},
            timeout_s=settings.timeout_s, most=_MOST_BYTES,
        )  # fmt: skip
    except SinkError as error:
        raise SinkError(f"{name}: {error}") from error
    secured = "its certificate is good" if url.tls else "without TLS"
    return f"{url.place} answers ({reply.status}), {secured}; whether it takes records shows when there are some"
