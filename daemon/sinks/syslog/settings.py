"""Settings of the syslog sink."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from daemon.sinks.network.settings import NetworkSettings

Transport = Literal["udp", "tcp", "tls", "unix"]
Facility = Literal[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
]  # fmt: skip
FACILITIES: tuple[str, ...] = get_args(Facility)  # in the order of their numbers
_PORTS = {"udp": 514, "tcp": 601, "tls": 6514}
_MOST = {"udp": 2048, "tcp": 8192, "tls": 8192, "unix": 8192}  # bytes that RFC 5424, 5425 and 5426 have receivers take


@dataclass(slots=True, frozen=True)
class Receiver:
    """Where messages go; `host` is the path of a UNIX socket."""

    transport: Transport
    host: str
    port: int

    @property
    def place(self) -> str:
        """Name it for people."""
        if self.transport == "unix":
            return f"unix:{self.host}"
        return f"{self.transport}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class SyslogSettings(NetworkSettings):
    """Attributes:
    address: ``tls://HOST:6514``, ``tcp://HOST:601``, ``udp://HOST:514`` or ``unix:/dev/log``.
    plaintext: an address without TLS on another machine is meant.
    message: the record as JSON, or a sentence.
    max_bytes: of one message; none: what receivers have to take at least.
    sd_id: name of the structured data; with the number of your own enterprise, where you have one.
    """

    address: str
    plaintext: bool = False
    facility: Facility = "local4"
    message: Literal["record", "text"] = "record"
    max_bytes: int | None = Field(default=None, ge=1024, le=1 << 20)
    sd_id: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,14}@[0-9][0-9.]{0,15}$")] = "sysscan@32473"

    @model_validator(mode="after")
    def _reachable(self) -> "SyslogSettings":
        receiver = self.receiver
        if receiver.transport != "tls" and (self.ca_file or self.cert_file):
            raise ValueError("ca_file, cert_file and key_file have an effect with tls:// alone")
        meant = receiver.transport in ("tls", "unix") or receiver.host in ("127.0.0.1", "::1", "localhost")
        if receiver.transport in ("tls", "unix") and self.plaintext:
            raise ValueError("plaintext has an effect with udp:// and tcp:// alone; leave it out")
        if not meant and not self.plaintext:
            raise ValueError("udp and tcp send findings readable; use tls://, or set plaintext = true")
        if receiver.transport in ("udp", "unix") and self.most > 65_000:
            raise ValueError("max_bytes of a datagram is 65000 at most")
        return self

    @property
    def receiver(self) -> Receiver:
        """Take the address apart.

        Raises:
            ValueError: if it is none.
        """
        if path := re.fullmatch(r"unix:(/[^\x00-\x1f]{1,106})", self.address):
            return Receiver("unix", path[1], 0)
        found = re.fullmatch(
            r"(udp|tcp|tls)://(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?", self.address
        )
        if found is None:
            raise ValueError("address must be tls://HOST:PORT, tcp://HOST:PORT, udp://HOST:PORT or unix:/PATH")
        transport: Transport = found[1]  # type: ignore[assignment]
        port = int(found[4]) if found[4] else _PORTS[transport]
        if not 0 < port < 65536:
            raise ValueError("address names no port from 1 to 65535")
        return Receiver(transport, found[2] or found[3], port)

    @property
    def most(self) -> int:
        """Say how many bytes a message may have."""
        return self.max_bytes or _MOST[self.receiver.transport]
