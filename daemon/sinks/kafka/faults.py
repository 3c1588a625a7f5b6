"""What a fault of the brokers is called, and what a person does about it."""

from collections.abc import Mapping, Sequence

from daemon.sinks.kafka.settings import KafkaSettings

# By the names of the library's errors, which are those of Kafka's protocol: so this table needs no library.
_ADVICE: Mapping[str, str] = {
    "UnknownTopicOrPartitionError": "a topic does not exist: create {topics}",
    "TopicAuthorizationFailedError": "not allowed: give {user} WRITE and DESCRIBE on {topics}",
    "GroupAuthorizationFailedError": "not allowed: give {user} READ on groups that begin with {prefix}",
    "TransactionalIdAuthorizationFailed": "not allowed: give {user} WRITE and DESCRIBE on transactional ids that begin "
    "with {prefix}",
    "ClusterAuthorizationFailedError": "not allowed: give {user} WRITE and DESCRIBE on {topics} (and, before "
    "Kafka 2.8, IDEMPOTENT_WRITE on the cluster)",
    "AuthenticationFailedError": "the password is refused: look at kafka.username and kafka.password_file",
    "SaslAuthenticationFailed": "the password is refused: look at kafka.username and kafka.password_file",
    "UnsupportedSaslMechanismError": "the brokers do not know kafka.sasl = {sasl}",
    "MessageSizeTooLargeError": "a record is too large for the topic: raise its max.message.bytes",
    "RecordListTooLargeError": "a record is too large for the topic: raise its max.message.bytes",
    "InvalidTransactionTimeout": "kafka.transaction_timeout_s is longer than the brokers' transaction.max.timeout.ms",
    "NotEnoughReplicasError": "too few replicas are in sync (min.insync.replicas); it goes on when they are back",
    "NotEnoughReplicasAfterAppendError": "too few replicas are in sync (min.insync.replicas); it goes on when they are",
    "KafkaStorageError": "a broker's disk fails or is full",
    "LeaderNotAvailableError": "a partition has no leader just now",
    "CoordinatorNotAvailableError": "the brokers are still starting, or too few of them are there",
    "ProducerFenced": "another agent with a copy of this state directory writes there, or a transaction took longer "
    "than kafka.transaction_timeout_s",
}
_LOGGED = (
    ("CERTIFICATE_VERIFY_FAILED", "the brokers' certificate is not trusted, or has expired: look at kafka.ca_file"),
    ("uthentication failed", "the password is refused: look at kafka.username and kafka.password_file"),
    ("AuthenticationFailed", "the password is refused: look at kafka.username and kafka.password_file"),
    ("UnsupportedSaslMechanism", "the brokers do not know kafka.sasl = {sasl}"),
    ("AuthorizationFailed", "not allowed: give {user} WRITE and DESCRIBE on {topics}"),
    ("WRONG_VERSION_NUMBER", "the brokers do not speak TLS on this port: look at kafka.tls and kafka.brokers"),
    ("not found in cluster metadata", "a topic does not exist: create {topics}"),
    ("not known", "no such host: look at kafka.brokers"),
)  # fmt: skip


def explain(
    settings: KafkaSettings,
    what: str,
    error: BaseException,
    logged: str,
    topics: Sequence[str] = (),
    *,
    again: bool = True,
    prefix: str = "",
) -> str:
    """Say in one line what happened and what to do.

    Args:
        what: that the brokers do, or do not.
        logged: what the library logged last; some reasons stand nowhere else.
        topics: that it is about, where they are not those of the sink.
        again: it is tried again by itself.
        prefix: of groups and transactional ids, where it is not that of the sink.
    """
    brokers = ",".join(settings.brokers)
    topics = topics or _topics(settings) or (settings.topic,)
    words = {
        "topics": " and ".join(dict.fromkeys(topics)),
        "user": settings.username or "this agent",
        "prefix": prefix or (settings.group if settings.consumes else settings.id_prefix),
        "sasl": settings.sasl,
    }
    advice = _by_class(error) or _by_log(logged)
    if advice is None and isinstance(error, TimeoutError):
        advice = f"no answer in {settings.timeout_s:g} s" + (f" ({_short(logged)})" if logged else "")
    if advice is None:
        advice = _short(logged) if logged and type(error).__name__ == "KafkaConnectionError" else _short(_name(error))
    ending = "; tried again" if again else ""
    return f"kafka {topics[0]}: {brokers} {what}: {advice.format_map(words)}{ending}"


def _topics(settings: KafkaSettings) -> list[str]:
    sent = [settings.topic, settings.scans_topic] if settings.send else []
    return [settings.input_topic, *sent, settings.state_topic, settings.dlq_topic] if settings.consumes else sent


def _by_class(error: BaseException | None) -> str | None:
    while error is not None:
        if type(error).__name__ in _ADVICE:
            return _ADVICE[type(error).__name__]
        error = error.__cause__
    return None


def _by_log(logged: str) -> str | None:
    if logged.startswith("Unable connect") and logged.rstrip().endswith('":'):  # no reason: the other end hung up
        return "the connection is closed at once: look at kafka.tls, and at the port in kafka.brokers"
    return next((advice for sign, advice in _LOGGED if sign in logged), None)


def _name(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}"


def _short(text: str) -> str:
    return " ".join(text.replace("{", "(").replace("}", ")").split())[:300]
