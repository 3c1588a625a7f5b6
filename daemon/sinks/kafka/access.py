"""What every client of the library is made with, how it is left, and what its errors mean.

aiokafka is imported here and in the clients beside this file, which are imported by name where brokers are named.
"""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from daemon.sinks.kafka.faults import explain
from daemon.sinks.kafka.lenient import read_any_header
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sinks.kafka.topics import not_there
from pipeline.engine.reading import read_regular
from pipeline.errors import SinkError

_PASSWORD_BYTES = 64 << 10

LEAVE_S = 2.0  # for the brokers to take a goodbye
_NEW_S, _POLL_S = 2.0, 0.1  # a broker may not have heard yet of a topic that was created just now


async def leave(producer: AIOKafkaProducer) -> None:
    """Stop a producer, whether the brokers answer or not."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(LEAVE_S):
            await producer.stop()
            return
    # It waits for brokers that do not answer; its sockets and tasks must not stay.
    with contextlib.suppress(Exception):
        task = producer._sender.sender_task
        if task is not None:
            task.cancel()
    with contextlib.suppress(Exception):
        async with asyncio.timeout(LEAVE_S):
            await producer.client.close()


async def stop(consumer: AIOKafkaConsumer, within_s: float = LEAVE_S) -> None:
    """Stop a consumer, whether the brokers answer or not.

    Its own tasks may be cancelled over it, and the library lets that out as if we were.
    """
    try:
        async with asyncio.timeout(within_s):
            await consumer.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
    except Exception:  # it was to end, and has
        return


def access(settings: KafkaSettings) -> dict[str, Any]:
    """Give what every client of the library is made with.

    Raises:
        SinkError: when a file with a secret or a certificate cannot be used.
    """
    read_any_header()
    protocol = ("SASL_" if settings.sasl != "none" else "") + ("SSL" if settings.tls else "PLAINTEXT")
    access: dict[str, Any] = {
        "bootstrap_servers": list(settings.brokers),
        "client_id": settings.id_prefix,
        "security_protocol": protocol,
        "request_timeout_ms": round(settings.timeout_s * 1000),
    }
    if settings.tls:
        access["ssl_context"] = _tls(settings)
    if settings.password_file is not None:
        access["sasl_mechanism"] = settings.sasl.upper()
        access["sasl_plain_username"] = settings.username
        access["sasl_plain_password"] = _password(settings.password_file)
    return access


async def count_partitions(client: AIOKafkaClient, settings: KafkaSettings, topics: Sequence[str]) -> dict[str, int]:
    """Say how many partitions topics have. Without this the library waits for one that is not there until its time-out.

    Raises:
        SinkError: names those that are not there.
        KafkaError: when one may not be used.
    """
    await client.set_topics(topics)
    deadline = time.monotonic() + min(_NEW_S, settings.timeout_s / 2)
    while missing := [one for one in topics if client.cluster.partitions_for_topic(one) is None]:
        if forbidden := client.cluster.unauthorized_topics.intersection(missing):
            raise TopicAuthorizationFailedError(*sorted(forbidden))
        if time.monotonic() > deadline:
            raise SinkError(not_there(settings, missing))
        await asyncio.sleep(_POLL_S)
        await client.force_metadata_update()
    return {one: len(client.cluster.partitions_for_topic(one)) for one in topics}


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file, password=_no_password)
    except OSError as error:  # ssl.SSLError is one
        files = [str(one) for one in (settings.ca_file, settings.cert_file, settings.key_file) if one is not None]
        raise SinkError(f"kafka: {', '.join(files)}: {error.strerror or error}; PEM files are wanted") from error
    return context


def _no_password() -> str:
    """Answer for a key that is encrypted: without this the library asks the terminal."""
    return ""


def _password(path: Path) -> str:
    try:
        lines = read_regular(path, _PASSWORD_BYTES).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SinkError(f"kafka.password_file: {path}: {reason}; its first line is the password") from error
    if not lines or not lines[0]:
        raise SinkError(f"kafka.password_file: {path}: is empty; its first line is the password")
    return lines[0]


class _LastWords(logging.Handler):
    """Keeps what the library logs out of ours, and the last of it: it says there why it cannot connect."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        self.said = record.getMessage()


_last_words = _LastWords()


@contextlib.contextmanager
def told(
    settings: KafkaSettings, what: str, topics: Sequence[str] = (), *, again: bool = True, prefix: str = ""
) -> Iterator[None]:
    """Turn what the library raises into one line.

    Args:
        what: that the brokers do, or do not.
        topics: that it is about, where they are not those of the sink.
        again: it is tried again by itself.
        prefix: of groups and transactional ids, where it is not that of the sink.

    Raises:
        SinkError: for everything that the library or the network makes of the brokers.
    """
    library = logging.getLogger("aiokafka")
    library.propagate = False
    if _last_words not in library.handlers:
        library.addHandler(_last_words)
    _last_words.said = ""
    try:
        yield
    except (KafkaError, OSError, TimeoutError, RuntimeError, ValueError) as error:
        raise SinkError(explain(settings, what, error, _last_words.said, topics, again=again, prefix=prefix)) from error
