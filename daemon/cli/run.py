"""`sysscan-agent run`, and `sysscan-agent --watch`."""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from daemon.checkpoints import Checkpoints
from daemon.cli import startup
from daemon.cli.exits import Exit, die
from daemon.ledger import Ledger
from daemon.log import configure
from daemon.metrics import Metrics
from daemon.notify import Notifier
from daemon.resources import open_resources
from daemon.service import Service, ours
from daemon.settings import Settings, load_settings
from daemon.sinks.delivery import BATCH_ROWS, Delivery
from daemon.sinks.ndjson_file import NdjsonFile
from daemon.sources.bindings import Bindings
from daemon.sources.standard_input import NAME as STANDARD_INPUT
from daemon.sources.standard_input import StandardInput
from daemon.sources.sweep import Sweeper
from daemon.sources.tracked import SweepResult
from daemon.version import VERSION
from daemon.worker import Worker

logger = structlog.get_logger(__name__)

CHECKPOINTS = "checkpoints.db"


def run_daemon(given: Mapping[str, Any], config: Path | None, *, once: bool) -> Exit:
    """Run the daemon until it is told to stop, or until all is delivered: of what is there (`once`), of a pipe."""
    os.umask(0o077)
    settings = load_settings(os.environ, given, config)
    if not settings.watch.roots:
        die(Exit.USAGE, "nothing to watch; give --watch DIRECTORY or set watch.roots in the configuration")
    if STANDARD_INPUT in settings.watch.roots and len(settings.watch.roots) > 1:
        die(Exit.USAGE, "--watch -: standard input stands alone; start another daemon for the directories")
    configure(settings.log)
    notifier = Notifier(os.environ)
    notifier.status("starting")
    with Ledger.open(
        settings.state_dir, clock=time.time, host=settings.host, max_findings=settings.limits.max_findings
    ) as ledger:
        resources = open_resources(settings, ledger)
        startup.loaded()
        for key, reason in Bindings(settings.watch.bind).without_effect(settings.watch.roots):
            logger.warning("bind.without_effect", directory=key, reason=reason)
        for warning in resources.intel.warnings:
            logger.warning("intel.skipped", reason=warning)
        if resources.notice is not None:
            logger.warning("model.unavailable", reason=resources.notice, see="sysscan-agent doctor")
        sink = _sink(settings)
        checkpoints = Checkpoints(settings.state_dir / CHECKPOINTS)
        try:
            # A sink that is no longer configured would hold its records back for ever.
            for name in ledger.replace_sinks(sink.name):
                logger.warning("sink.replaced", sink=name, by=sink.name)
            delivery = Delivery(ledger, sink, time.monotonic)
            worker = Worker(ledger, resources, checkpoints, settings.analysis.batch_size)
            logger.info(
                "service.started",
                version=VERSION,
                state_dir=str(settings.state_dir),
                output=str(settings.output_path),
                knowledge=resources.knowledge.digest,
                policy=resources.policy.digest,
                model=resources.analyst.model if resources.analyst is not None else None,
            )
            if settings.watch.roots == (STANDARD_INPUT,):
                return _follow_input(settings, ledger, worker, delivery)
            if once:
                return _drain(settings, ledger, worker, delivery)
            service = Service(settings, ledger, worker, [delivery], notifier, Metrics())
            asyncio.run(service.run())
        finally:
            checkpoints.close()
    return Exit.DONE


def _sink(settings: Settings) -> NdjsonFile:
    output = settings.output
    return NdjsonFile(
        settings.output_path,
        rotate_bytes=output.rotate_bytes,
        keep_segments=output.keep_segments,
        emit_changes_only=output.emit == "changes",
        min_level=output.min_level,
    )


def _drain(settings: Settings, ledger: Ledger, worker: Worker, delivery: Delivery) -> Exit:
    """Take in what is there, and deliver all that is known."""
    sweeper = Sweeper(ledger, settings.limits, settings.watch, excluded=ours(settings))
    result = sweeper.finish()
    if result.missing_roots:
        die(Exit.USAGE, f"{result.missing_roots[0]}: is not there")
    sweeper.close()
    _work_off(ledger, worker, delivery)
    return _end(settings, ledger, worker, delivery, result)


def _follow_input(settings: Settings, ledger: Ledger, worker: Worker, delivery: Delivery) -> Exit:
    """Take in what a pipe brings, a scan at a time, until it ends."""
    result = SweepResult()
    # os.read gives what is there; a buffered read would wait until its buffer is full.
    for _ in StandardInput(partial(os.read, sys.stdin.fileno()), ledger, settings.limits).steps(result):
        _work_off(ledger, worker, delivery)
    _work_off(ledger, worker, delivery)
    return _end(settings, ledger, worker, delivery, result)


def _work_off(ledger: Ledger, worker: Worker, delivery: Delivery) -> None:
    while worker.step():
        if ledger.backlog()[delivery.name] >= BATCH_ROWS and delivery.step():
            ledger.prune_outbox(BATCH_ROWS)
    while delivery.step():
        ledger.prune_outbox(BATCH_ROWS)


def _end(settings: Settings, ledger: Ledger, worker: Worker, delivery: Delivery, result: SweepResult) -> Exit:
    while ledger.idle():
        pass
    worker.tidy()
    delivery.close()
    if delivery.fault is not None:
        die(Exit.REJECTED, f"{delivery.fault}; the findings wait in the ledger")
    if result.admitted.quarantined:
        logger.warning("input.quarantined", pieces=result.admitted.quarantined, see="ledger quarantine list")
        return Exit.REJECTED
    return Exit.DONE
