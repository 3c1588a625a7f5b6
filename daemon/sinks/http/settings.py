"""Settings of the sink that posts to a web address."""

from typing import Literal

from daemon.sinks.network.settings import HttpAccess, SecretFile


class HttpSettings(HttpAccess):
    """Attributes:
    format: of a request: records one a line, or a JSON array.
    secret_file: of the key that requests are signed with.
    """

    format: Literal["ndjson", "json"] = "ndjson"
    secret_file: SecretFile | None = None
