"""Sees whether a cluster answers, and with what, without sending a record."""

from typing import Any

from daemon.sinks.network.sending import HttpClient
from daemon.sinks.opensearch.settings import OpenSearchSettings
from daemon.sinks.opensearch.sink import authorization
from pipeline.display import printable
from pipeline.engine.reading import parse_json
from pipeline.errors import SinkError

_MOST_BYTES = 1 << 20


def probe_opensearch(settings: OpenSearchSettings) -> str:
    """Ask for the version; returns a line for people.

    Raises:
        SinkError: if it does not answer, does not take the credentials, or is something else.
    """
    name, address = f"opensearch:{settings.name}", settings.address
    headers, secrets = authorization(settings, name)
    path = address.path.rstrip("/") + "/"
    reply = HttpClient(settings, name).ask("GET", path, None, headers, secrets, most=_MOST_BYTES)
    try:
        said: Any = parse_json(reply.data)
        version = said["version"]
        product, number = version.get("distribution", "elasticsearch"), version["number"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SinkError(
            f"{name}: {address.place}: is neither OpenSearch nor Elasticsearch; see that url is right"
        ) from error
    secured = "" if address.tls else ", without TLS"
    return f"{address.place} is {printable(str(product), 40)} {printable(str(number), 40)}{secured}"
