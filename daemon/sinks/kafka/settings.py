"""Settings of the Kafka sink."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pipeline.finding import Level

TOPIC = r"^[A-Za-z0-9._-]{1,249}$"
_PREFIX = r"^[A-Za-z0-9._-]{1,100}$"


def _host_and_port(brokers: tuple[str, ...]) -> tuple[str, ...]:
    for broker in brokers:
        host, _, port = broker.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536 or "/" in host:
            raise ValueError(f"{broker!r} is not HOST:PORT")
    return brokers


class KafkaSettings(BaseModel):
    """Where records go, and as whom.

    Attributes:
        brokers: some of the cluster's, as HOST:PORT; none: no Kafka.
        topic: of findings; `scans_topic` is that of the records of whole scans, and may be the same.
        id_prefix: what the transactional id and the group of this agent begin with; ACLs can be given to a prefix.
        password_file: its first line is the password; it stands nowhere else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    brokers: Annotated[tuple[str, ...], AfterValidator(_host_and_port)] = ()
    topic: Annotated[str, Field(pattern=TOPIC)] = "sysscan.findings"
    scans_topic: Annotated[str, Field(pattern=TOPIC)] = "sysscan.scans"
    emit: Literal["all", "changes"] = "all"
    min_level: Level = "info"
    id_prefix: Annotated[str, Field(pattern=_PREFIX)] = "sysscan-agent"
    compression: Literal["none", "gzip", "zstd"] = "zstd"
    max_record_bytes: int = Field(default=1_000_000, ge=1024, le=64 << 20)  # brokers take 1 MiB if not told otherwise
    timeout_s: float = Field(default=30.0, ge=1, le=600)  # without an answer for this long, all is begun anew
    # What an agent that dies leaves open is given up by the broker after this time; until then nobody can read further.
    transaction_timeout_s: float = Field(default=15.0, ge=1, le=900)
    tls: bool = False
    ca_file: Path | None = None  # none: those that the system trusts
    cert_file: Path | None = None  # of this agent, where the brokers want to see one
    key_file: Path | None = None
    sasl: Literal["none", "plain", "scram-sha-256", "scram-sha-512"] = "none"
    username: str | None = Field(default=None, min_length=1)
    password_file: Path | None = None

    @model_validator(mode="after")
    def _fits(self) -> "KafkaSettings":
        if self.sasl != "none" and (self.username is None or self.password_file is None):
            raise ValueError(f"kafka.sasl = {self.sasl!r} needs kafka.username and kafka.password_file")
        if self.sasl == "none" and (self.username is not None or self.password_file is not None):
            raise ValueError('kafka.username and kafka.password_file need kafka.sasl, such as "scram-sha-512"')
        if self.sasl == "plain" and not self.tls:
            raise ValueError('kafka.sasl = "plain" would send the password readable; set kafka.tls = true')
        if not self.tls and (self.ca_file or self.cert_file or self.key_file):
            raise ValueError("kafka.ca_file, cert_file and key_file need kafka.tls = true")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("kafka.cert_file and kafka.key_file belong together")
        return self
