"""Settings that every sink of this kind has, and those of the two that speak HTTP."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pipeline.finding import Level

NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
CREDENTIAL = "credential:"  # in front of the name of a systemd credential


def _file_or_credential(place: str) -> str:
    if not re.fullmatch(r"/.+|credential:[A-Za-z0-9][A-Za-z0-9._-]{0,199}", place):
        raise ValueError("must be the absolute path of a file, or credential:NAME for one that systemd hands over")
    return place


SecretFile = Annotated[str, AfterValidator(_file_or_credential)]
Kind = Literal["finding", "issue", "scan", "verdict"]


class NetworkSettings(BaseModel):
    """Which records go where, and how long an answer may take.

    Attributes:
        name: of this sink among those of its kind; the ledger keeps its mark under it.
        emit: all records, or of the findings only what changed.
        kinds: of records that are sent.
        timeout_s: that connecting and sending a batch may take, its answer with it.
        ca_file: PEM of the authorities that the other side's certificate comes from; none: those the system trusts.
        cert_file: PEM of this agent's certificate, where the other side wants to see one; `key_file` is its key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=NAME)]
    emit: Literal["all", "changes"] = "all"
    min_level: Level = "info"
    kinds: tuple[Kind, ...] = ("finding", "issue", "scan", "verdict")
    timeout_s: float = Field(default=30.0, ge=1, le=600)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _kinds_and_certificate(self) -> "NetworkSettings":
        if not self.kinds:
            raise ValueError("kinds is empty, so that nothing would be sent; leave the whole table out instead")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together")
        return self


class HttpAccess(NetworkSettings):
    """Where to, as whom, and how much at a time.

    Attributes:
        plaintext: an address without TLS on another machine is meant.
        mapping: records as they are, or with the fields of the Elastic Common Schema in front.
        batch_records: that are sent together at most; `batch_bytes` bounds them, too, but for one that is larger.
        password_file: of `username`; its first line, as of the other files with a secret.
        token_file: of a bearer token.
        dead_letter: a file that records which are refused for what they are go to; none: the sink waits for a person.
    """

    url: str
    plaintext: bool = False
    mapping: Literal["plain", "ecs"] = "plain"
    batch_records: int = Field(default=500, ge=1, le=10_000)
    batch_bytes: int = Field(default=1 << 20, ge=1024, le=64 << 20)
    username: str | None = Field(default=None, min_length=1)
    password_file: SecretFile | None = None
    token_file: SecretFile | None = None
    dead_letter: Path | None = None

    @model_validator(mode="after")
    def _reachable(self) -> "HttpAccess":
        # Here and not in a validator of the field: an error of that would print the value, with a password in it.
        parts = split_url(self.url)
        if self.dead_letter is not None and not self.dead_letter.is_absolute():
            raise ValueError("dead_letter must be an absolute path")
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file belong together")
        if self.username is not None and ":" in self.username:
            raise ValueError("username must not contain a colon: the other side could not tell where it ends")
        if self.username is not None and self.token_file is not None:
            raise ValueError("username and token_file are two ways to say who sends; leave one of them out")
        if parts.tls:
            if self.plaintext:
                raise ValueError("plaintext has no effect on an https address; leave it out")
            return self
        if self.ca_file or self.cert_file:
            raise ValueError("ca_file, cert_file and key_file have no effect on an http address; use https")
        if parts.loopback:
            return self
        if not self.plaintext:
            raise ValueError("an http address sends findings readable; use https, or set plaintext = true")
        if self.password_file is not None or self.token_file is not None:
            raise ValueError("a password or a token would be sent readable; use https")
        return self

    @property
    def address(self) -> "Url":
        """Give the parts of the URL."""
        return split_url(self.url)


class Url(BaseModel):
    """A checked http or https address."""

    model_config = ConfigDict(frozen=True)

    tls: bool
    host: str
    port: int
    path: str  # with the query, if there is one

    @property
    def loopback(self) -> bool:
        """Say whether it is on this machine."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def place(self) -> str:
        """Name the other side without the path, which may hold a secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def split_url(url: str) -> Url:
    """Take an address apart.

    Raises:
        ValueError: if it is none; the message does not repeat it.
    """
    if not re.fullmatch(r"https?://[!-~]+", url):
        raise ValueError("url must begin with https:// or http:// and have no blanks; encode what is not ASCII")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("url is no address, such as https://siem.example.org/hook") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("url must not hold a name or a password; use username and password_file")
    if "#" in url:
        raise ValueError("url must not have a fragment (#…)")
    if not host or port == 0:
        raise ValueError("url names no host, or port 0")
    tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Url(tls=tls, host=host, port=port or (443 if tls else 80), path=path)
