"""Puts a shard together from the settings: which kinds of source and sink there are, and which are wanted.

A new kind is a row in one of the two tables, beside its own settings and its own file.
"""

import importlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType

from daemon.checkpoints import Checkpoints
from daemon.in_hand import InHand
from daemon.ledger import Ledger
from daemon.log import get_logger
from daemon.ports.sink import Sink
from daemon.ports.source import Source
from daemon.review.telling import Telling
from daemon.review.verdicts import PinnedVerdicts
from daemon.settings import Settings
from daemon.shard import Shard
from daemon.sinks.delivery import Delivery
from daemon.sinks.kafka.topic import KafkaTopic
from daemon.sinks.ndjson_file import NdjsonFile
from daemon.sources.directory.source import ReportDirectory
from daemon.sources.standard_input import NAME as STANDARD_INPUT
from daemon.sources.standard_input import Descriptor, StandardInput
from daemon.worker import Worker
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
) -> Shard:
    """Make the shard of a state directory. Nothing is read or written yet, but the ledger knows its sinks.

    Sinks that are no longer configured would hold their records back for ever, so the ledger lets them go.

    Raises:
        ConfigError: when no sink is configured, or what one needs is not installed.
    """
    sinks = [sink for kind in SINKS.values() for sink in kind(settings, ledger)]
    if not sinks:
        raise ConfigError("records have nowhere to go; set output.enabled or kafka.brokers")
    names = [sink.name for sink in sinks]
    for released in ledger.outbox.keep_only(names):
        logger.warning("sink.replaced", sink=released, by=", ".join(names))
    deliveries = [Delivery(ledger.outbox, sink, clock) for sink in sinks]
    ledger.reviews.keep(settings.review.retain_days, settings.review.retain_bytes)
    verdicts = PinnedVerdicts(settings.state_dir / VERDICTS)  # one log, however many ledgers
    worker = Worker(
        ledger.work,
        resources,
        checkpoints,
        settings.analysis.batch_size,
        in_hand=in_hand,
        verdicts=verdicts,
        retains=settings.review.retain_bytes > 0,
    )
    telling = Telling(ledger, verdicts, lambda: worker.policy)
    shard = Shard(ledger, worker, deliveries, name=name, clock=clock, telling=telling)
    for kind in SOURCES.values():
        shard.read_from(*kind(settings, ledger, shard.blocked, clock))
    return shard


def is_pipe(settings: Settings) -> bool:
    """Say whether reports come from standard input, which ends."""
    return settings.watch.roots == (STANDARD_INPUT,)


def _standard_input(
    settings: Settings, ledger: Ledger, blocked: Blocked, clock: Callable[[], float]
) -> Iterable[Source]:
    if is_pipe(settings):
        if sys.stdin is None:  # its descriptor may be that of another file by now
            raise SourceError("--watch -: standard input is closed; pipe a report in")
        yield StandardInput(Descriptor(_STDIN), ledger.inputs, settings.limits, blocked=blocked)


def _directories(settings: Settings, ledger: Ledger, blocked: Blocked, clock: Callable[[], float]) -> Iterable[Source]:
    if settings.watch.roots and not is_pipe(settings):
        yield ReportDirectory(
            ledger.inputs,
            ledger.files,
            settings.limits,
            settings.watch,
            clock=clock,
            excluded=_ours(settings),
            blocked=blocked,
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
        )


def _kafka(settings: Settings, ledger: Ledger) -> Iterable[Sink]:
    if settings.kafka.brokers:
        yield KafkaTopic(settings.kafka, kafka_client().connect_as(settings.kafka, ledger.identity()))


def kafka_client() -> ModuleType:
    """Import what stands on aiokafka, which is installed only where it is wanted.

    Raises:
        ConfigError: when it is not.
    """
    try:
        return importlib.import_module("daemon.sinks.kafka.client")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"kafka.brokers is set, but {error.name} is not installed: install sysscan-agent[kafka]"
        ) from error


def _ours(settings: Settings) -> list[str]:
    """List what we write ourselves, so that it is never taken for a report."""
    return [str(settings.state_dir), str(settings.output_path)]


SOURCES: Mapping[str, Callable[[Settings, Ledger, Blocked, Callable[[], float]], Iterable[Source]]] = {
    "directory": _directories,
    "stdin": _standard_input,
}

SINKS: Mapping[str, Callable[[Settings, Ledger], Iterable[Sink]]] = {
    "file": _files,
    "kafka": _kafka,
}
