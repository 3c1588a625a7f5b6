"""Settings of the sink that indexes records."""

import re
from typing import Annotated

from pydantic import Field, model_validator

from daemon.sinks.network.settings import HttpAccess, SecretFile


class OpenSearchSettings(HttpAccess):
    """Attributes:
    index: that records go to; ``{kind}`` in it stands for finding, issue, scan or verdict.
    api_key_file: of Elasticsearch's API keys, in the encoded form.
    pipeline: an ingest pipeline that every record goes through.
    """

    index: str = "sysscan-{kind}"
    api_key_file: SecretFile | None = None
    pipeline: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")] | None = None

    @model_validator(mode="after")
    def _fits(self) -> "OpenSearchSettings":
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,199}", self.index.replace("{kind}", "finding")):
            raise ValueError("index must be lower-case letters, digits, dots, dashes and underscores, and maybe {kind}")
        if self.api_key_file is not None and (self.username is not None or self.token_file is not None):
            raise ValueError("api_key_file, token_file and username are ways to say who sends; leave all but one out")
        if "?" in self.url:
            raise ValueError("url must have no query; it is where the cluster is, such as https://search:9200")
        address = self.address
        if self.api_key_file is not None and not address.tls and not address.loopback:
            raise ValueError("an API key would be sent readable; use https")
        return self
