"""Puts a shard together from the settings: which kinds of source and sink there are, and which are wanted.

A new kind is a row in one of the two tables, beside its own settings and its own file.
"""

import importlib
import random
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType

from daemon.checkpoints import Checkpoints
from daemon.in_hand import InHand
from daemon.lane.lanes import Lanes
from daemon.lane.shared_log import VerdictWriting
from daemon.ledger import Ledger
from daemon.log import get_logger
from daemon.parser import DocumentParser
from daemon.ports.sink import Sink
from daemon.ports.source import Source
from daemon.review.telling import Telling
from daemon.review.verdicts import PinnedVerdicts
from daemon.settings import Settings
from daemon.shard import Shard
from daemon.sinks.delivery import Delivery
from daemon.sinks.http.sink import open_http
from daemon.sinks.kafka.topic import KafkaTopic
from daemon.sinks.lines import line_maker
from daemon.sinks.ndjson_file import NdjsonFile
from daemon.sinks.opensearch.sink import open_opensearch
from daemon.sinks.syslog.sink import open_syslog
from daemon.sources.directory.source import ReportDirectory
from daemon.sources.standard_input import NAME as STANDARD_INPUT
from daemon.sources.standard_input import Descriptor, StandardInput
from daemon.worker import Worker
from pipeline.engine.extras import how_to_install
from pipeline.errors import ConfigError, SourceError
from pipeline.graph.resources import Resources
from pipeline.review.log import FILE_NAME as VERDICTS

logger = get_logger(__name__)

Blocked = Callable[[], bool]  # says that the ledger takes nothing more just now

_STDIN = 0  # its descriptor: what Python buffers of it would wait until the buffer is full


def open_shard(
    settings: Settings,
    ledger: Ledger,
    resources: Resources,
    checkpoints: Checkpoints,
    *,
    name: str = "",
    clock: Callable[[], float] = time.monotonic,
    in_hand: InHand | None = None,
    parser: DocumentParser | None = None,
) -> Shard:
    """Make the shard of a state directory. Nothing is read or written yet, but the ledger knows its sinks.

    Shards side by side share a `parser`, which reads large documents; None has each read them itself.

    Sinks that are no longer configured would hold their records back for ever, so the ledger lets them go. Scans that
    were left open in inputs of which no kind of source is configured any more would wait for ever, so they are closed.

    Raises:
        ConfigError: when no sink is configured, or what one needs is not installed.
    """
    sinks = [sink for kind in SINKS.values() for sink in kind(settings, ledger)]
    if not sinks:
        raise ConfigError("records have nowhere to go; set output.enabled, kafka.brokers or sinks")
    names = [sink.name for sink in sinks]
    for released in ledger.outbox.keep_only(names):
        logger.warning("sink.replaced", sink=released, by=", ".join(names))
    deliveries = [Delivery(ledger.outbox, sink, clock, random.random) for sink in sinks]
    ledger.reviews.keep(settings.review.retain_days, settings.review.retain_bytes)
    verdicts = PinnedVerdicts(settings.state_dir / VERDICTS)  # one log, however many ledgers
    worker = Worker(
        ledger.work,
        resources.with_store(ledger.analyses),
        checkpoints,
        settings.analysis.batch_size,
        in_hand=in_hand,
        verdicts=verdicts,
        retains=settings.review.retain_bytes > 0,
    )
    telling = Telling(ledger, verdicts, lambda: worker.policy)
    shard = Shard(ledger, worker, deliveries, name=name, clock=clock, telling=telling)
    for kind in SOURCES.values():
        shard.read_from(*kind(settings, ledger, shard.blocked, clock, parser))
    for left in ledger.inputs.close_left({source.kind for source in shard.sources}):
        logger.warning("input.left", source=left.name, kind=left.kind, advice="its open scan was closed, incomplete")
    return shard


def open_lanes(settings: Settings, resources: Resources, parser: DocumentParser | None = None) -> Lanes:
    """Make the lanes of a process that reads a topic. Nothing is connected yet.

    `parser` reads large documents; whoever gives it closes it.

    Raises:
        ConfigError: when what they need is not installed, or a directory is to be watched, too.
    """
    if settings.watch.roots:
        raise ConfigError("kafka.consume reads a topic, and watch.roots directories; start an agent for each of them")
    if settings.sinks.every:
        raise ConfigError(
            "sinks has no effect where kafka.consume is set: workers write to topics and files; have kafka.topic read"
        )
    client = _imported("daemon.lane.kafka.client", "kafka.consume").KafkaClient(settings.kafka)
    feed = _imported("daemon.lane.kafka.verdict_feed", "kafka.consume").VerdictFeed(
        settings.kafka, settings.state_dir / VERDICTS
    )
    return Lanes(settings, resources, client, verdicts=feed, parser=parser)


def open_verdict_writer(settings: Settings) -> VerdictWriting:
    """Make what adds verdicts to the log that workers share. Nothing is connected yet.

    Raises:
        ConfigError: when what it needs is not installed.
    """
    writer: VerdictWriting = _imported("daemon.lane.kafka.verdict_writer", "kafka.consume").VerdictWriter(
        settings.kafka
    )
    return writer


def is_pipe(settings: Settings) -> bool:
    """Say whether reports come from standard input, which ends."""
    return settings.watch.roots == (STANDARD_INPUT,)


def _standard_input(
    settings: Settings, ledger: Ledger, blocked: Blocked, clock: Callable[[], float], parser: DocumentParser | None
) -> Iterable[Source]:
    if is_pipe(settings):
        if sys.stdin is None:  # its descriptor may be that of another file by now
            raise SourceError("--watch -: standard input is closed; pipe a report in")
        yield StandardInput(Descriptor(_STDIN), ledger.inputs, settings.limits, blocked=blocked, parser=parser)


def _directories(
    settings: Settings, ledger: Ledger, blocked: Blocked, clock: Callable[[], float], parser: DocumentParser | None
) -> Iterable[Source]:
    if settings.watch.roots and not is_pipe(settings):
        yield ReportDirectory(
            ledger.inputs,
            ledger.files,
            settings.limits,
            settings.watch,
            clock=clock,
            excluded=_ours(settings),
            blocked=blocked,
            parser=parser,
        )


def _files(settings: Settings, ledger: Ledger) -> Iterable[Sink]:
    output = settings.output
    if output.enabled:
        yield NdjsonFile(
            settings.output_path,
            rotate_bytes=output.rotate_bytes,
            keep_segments=output.keep_segments,
            emit_changes_only=output.emit == "changes",
            min_level=output.min_level,
            lines=line_maker(output.mapping, changes_only=output.emit == "changes", min_level=output.min_level),
        )


def _kafka(settings: Settings, ledger: Ledger) -> Iterable[Sink]:
    if settings.kafka.brokers and settings.kafka.send:
        yield KafkaTopic(settings.kafka, kafka_client().connect_as(settings.kafka, ledger.identity()))


def _http(settings: Settings, ledger: Ledger) -> Iterable[Sink]:
    return map(open_http, settings.sinks.http)


def _opensearch(settings: Settings, ledger: Ledger) -> Iterable[Sink]:
    return map(open_opensearch, settings.sinks.opensearch)


def _syslog(settings: Settings, ledger: Ledger) -> Iterable[Sink]:
    return map(open_syslog, settings.sinks.syslog)


def kafka_client() -> ModuleType:
    """Import what stands on aiokafka, which is installed only where it is wanted.

    Raises:
        ConfigError: when it is not.
    """
    return kafka_part("client")


def kafka_part(name: str) -> ModuleType:
    """Import a file beside that one.

    Raises:
        ConfigError: when aiokafka is not installed.
    """
    return _imported(f"daemon.sinks.kafka.{name}", "kafka.brokers")


def kafka_adoption() -> ModuleType:
    """Import what moves hosts between partitions.

    Raises:
        ConfigError: when aiokafka is not installed.
    """
    return _imported("daemon.lane.kafka.adopt", "kafka.brokers")


def kafka_verdict_topic() -> ModuleType:
    """Import what reads the topic of verdicts.

    Raises:
        ConfigError: when aiokafka is not installed.
    """
    return _imported("daemon.lane.kafka.verdict_topic", "kafka.brokers")


def _imported(module: str, setting: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{setting} is set, but {error.name} is not installed: {how_to_install('kafka')}") from error


def _ours(settings: Settings) -> list[str]:
    """List what we write ourselves, so that it is never taken for a report."""
    return [str(settings.state_dir), str(settings.output_path), *map(str, settings.sinks.dead_letters)]


OpensSources = Callable[[Settings, Ledger, Blocked, Callable[[], float], DocumentParser | None], Iterable[Source]]

SOURCES: Mapping[str, OpensSources] = {
    "directory": _directories,
    "stdin": _standard_input,
}

SINKS: Mapping[str, Callable[[Settings, Ledger], Iterable[Sink]]] = {
    "file": _files,
    "kafka": _kafka,
    "http": _http,
    "opensearch": _opensearch,
    "syslog": _syslog,
}
