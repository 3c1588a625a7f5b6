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
    """Where reports come from and records go, and as whom.

    Attributes:
        brokers: some of the cluster's, as HOST:PORT; none: no Kafka.
        send: records go to `topic` and `scans_topic`.
        consume: reports come from `input_topic`, with other members of `group`, or, where `partitions` are named, from
            those and as nobody's member.
        instance_id: of a static member of the group: the same after a restart, and no other's.
        require_key: a record without a key is refused; else its scan is whose it says, and compared with no other.
        dlq_unlimited: go on although more than a fifth of the records cannot be used.
        on_loss: when the brokers have lost what they had confirmed: stop, or send what is still here again.
        on_recreated: when the topic is not the one that was read: stop, or begin with it anew.
        topic: of findings; `scans_topic` is that of the records of whole scans, and may be the same.
        input_topic: reports come from here, or are published to it.
        state_topic: compacted; what a worker needs to go on for another one.
        dlq_topic: of what cannot be used.
        verdicts_topic: one partition, from which nothing is ever deleted: what reviewers have decided, for all workers.
        group: of the workers that share the partitions of the input topic.
        id_prefix: what the transactional id and the group of this agent begin with; ACLs can be given to a prefix.
        password_file: its first line is the password; it stands nowhere else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    brokers: Annotated[tuple[str, ...], AfterValidator(_host_and_port)] = ()
    send: bool = True
    consume: bool = False
    partitions: tuple[Annotated[int, Field(ge=0, le=99_999)], ...] = ()
    instance_id: Annotated[str, Field(pattern=_PREFIX)] | None = None
    session_timeout_s: float = Field(default=45.0, ge=1, le=1800)  # without a sign of life, others take the partitions
    require_key: bool = True
    incomplete_after_s: float = Field(default=600.0, gt=0)  # as `watch.incomplete_after_s`, of a key's stream
    dlq_unlimited: bool = False
    on_loss: Literal["stop", "resend"] = "stop"
    on_recreated: Literal["stop", "restart"] = "stop"
    topic: Annotated[str, Field(pattern=TOPIC)] = "sysscan.findings"
    scans_topic: Annotated[str, Field(pattern=TOPIC)] = "sysscan.scans"
    input_topic: Annotated[str, Field(pattern=TOPIC)] = "sysscan.reports"
    state_topic: Annotated[str, Field(pattern=TOPIC)] = "sysscan.state"
    dlq_topic: Annotated[str, Field(pattern=TOPIC)] = "sysscan.dlq"
    verdicts_topic: Annotated[str, Field(pattern=TOPIC)] = "sysscan.verdicts"
    group: Annotated[str, Field(pattern=_PREFIX)] = "sysscan-agent"
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

    @property
    def consumes(self) -> bool:
        """Say whether reports are read from Kafka."""
        return self.consume or bool(self.partitions)

    @model_validator(mode="after")
    def _fits(self) -> "KafkaSettings":
        if self.consumes and not self.brokers:
            raise ValueError("kafka.consume and kafka.partitions need kafka.brokers")
        if self.partitions and self.instance_id is not None:
            raise ValueError("kafka.instance_id is of a member of a group, and kafka.partitions are read by nobody's")
        if len(set(self.partitions)) != len(self.partitions):
            raise ValueError("kafka.partitions names one twice")
        if self.consumes:
            roles = ("input_topic", "state_topic", "dlq_topic", "verdicts_topic", "topic", "scans_topic")
            for number, role in enumerate(roles):
                for other in roles[:number]:
                    same = getattr(self, role) == getattr(self, other)
                    if same and (other, role) != ("topic", "scans_topic"):
                        raise ValueError(f"kafka.{other} and kafka.{role} name one topic, {getattr(self, role)!r}")
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
