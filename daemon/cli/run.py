"""`sysscan-agent run`, and `sysscan-agent --watch`."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.checkpoints import Checkpoints
from daemon.cli import startup
from daemon.cli.exits import Exit, die
from daemon.cli.patience import Patience
from daemon.compose import is_pipe, open_lanes, open_shard
from daemon.in_hand import Ended, InHand
from daemon.ledger import Ledger
from daemon.log import configure, get_logger
from daemon.metrics import Metrics
from daemon.notify import Notifier
from daemon.parser import DocumentParser
from daemon.reloading import FILE_NAME as RELOADED
from daemon.reloading import Reloading, Working
from daemon.resources import open_resources, reopen_resources
from daemon.service import Service
from daemon.settings import Settings, load_settings
from daemon.shard import Shard
from daemon.sources.bindings import Bindings
from daemon.sources.standard_input import NAME as STANDARD_INPUT
from daemon.version import VERSION
from pipeline.errors import SinkError
from pipeline.graph.resources import Resources
from pipeline.models.registry import POINTER

logger = get_logger(__name__)

CHECKPOINTS = "checkpoints.db"
IN_HAND = "in-hand"


def run_daemon(given: Mapping[str, Any], config: Path | None, *, once: bool) -> Exit:
    """Run the daemon until it is told to stop, or until all is delivered: of what is there (`once`), of a pipe."""
    os.umask(0o077)
    settings = load_settings(os.environ, given, config)
    if not settings.watch.roots and not settings.kafka.consumes:
        die(Exit.USAGE, "nothing to watch; give --watch DIRECTORY or set watch.roots in the configuration")
    if STANDARD_INPUT in settings.watch.roots and len(settings.watch.roots) > 1:
        die(Exit.USAGE, "--watch -: standard input stands alone; start another daemon for the directories")
    configure(settings.log.level, settings.log.format)
    # A request to look again is no end: until there is something to look with, it is what comes next anyway.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    notifier = Notifier(os.environ)
    notifier.status("starting")
    patience = Patience(notifier, forever=not once and not is_pipe(settings))
    with patience.until_possible(lambda: _open_ledger(settings)) as ledger:
        resources = patience.until_possible(lambda: open_resources(settings, tell=logger.warning))
        startup.loaded()
        for key, reason in Bindings(settings.watch.bind).without_effect(settings.watch.roots):
            logger.warning("bind.without_effect", directory=key, reason=reason)
        for warning in resources.intel.warnings:
            logger.warning("intel.skipped", reason=warning)
        if resources.notice is not None:
            logger.warning("model.unavailable", reason=resources.notice, see="sysscan-agent doctor")
        if settings.kafka.consumes:
            return _run_lanes(settings, resources, notifier, once=once)
        checkpoints = Checkpoints(settings.state_dir / CHECKPOINTS)
        in_hand = InHand(settings.state_dir / IN_HAND)
        parser = DocumentParser(settings.limits)
        try:
            in_hand.note_crashes()
            patience.until_possible(lambda: _count_attempt(ledger, in_hand.ended))
            shard = patience.until_possible(
                lambda: open_shard(settings, ledger, resources, checkpoints, in_hand=in_hand, parser=parser)
            )
            logger.info(
                "service.started",
                version=VERSION,
                state_dir=str(settings.state_dir),
                sinks=[delivery.name for delivery in shard.deliveries],
                knowledge=resources.knowledge.digest,
                policy=resources.policy.digest,
                model=resources.analyst.model if resources.analyst is not None else None,
            )
            if once or is_pipe(settings):
                asyncio.run(shard.run(asyncio.Event(), dry=True))
                return _end(shard)
            reloading = _reloading(settings, shard.worker)
            try:
                asyncio.run(Service([shard], settings.metrics, notifier, Metrics(), reloading=reloading).run())
            finally:
                reloading.close()
        finally:
            parser.close()
            in_hand.close()
            checkpoints.close()
            resources.close()
    return Exit.DONE


def _run_lanes(settings: Settings, resources: Resources, notifier: Notifier, *, once: bool) -> Exit:
    """Read a topic. Each partition has a ledger of its own; that of the state directory keeps answers, and its lock."""
    parser = DocumentParser(settings.limits)
    try:
        lanes = open_lanes(settings, resources, parser)
        logger.info(
            "service.started", version=VERSION, state_dir=str(settings.state_dir), topic=settings.kafka.input_topic,
            partitions=list(settings.kafka.partitions) or settings.kafka.group, knowledge=resources.knowledge.digest,
            policy=resources.policy.digest, model=resources.analyst.model if resources.analyst is not None else None,
        )  # fmt: skip
        if not once:
            reloading = _reloading(settings, lanes)
            try:
                asyncio.run(Service(lanes, settings.metrics, notifier, Metrics(), reloading=reloading).run())
            finally:
                reloading.close()
            return Exit.DONE
        try:
            asyncio.run(lanes.run(asyncio.Event(), lambda: None, dry=True))
        except SinkError as error:
            die(Exit.REJECTED, str(error))
        return Exit.REJECTED if lanes.quarantined else Exit.DONE
    finally:
        parser.close()
        resources.close()


def _reloading(settings: Settings, working: Working) -> Reloading:
    return Reloading(
        working,
        lambda before: reopen_resources(settings, before, logger.warning),
        settings.state_dir / RELOADED,
        settings.models_dir / POINTER,
    )


def _open_ledger(settings: Settings) -> Ledger:
    limits = settings.limits
    return Ledger.open(
        settings.state_dir,
        clock=time.time,
        host=settings.host,
        max_findings=limits.max_findings,
        max_scan_bytes=limits.max_scan_bytes,
        max_part_bytes=limits.max_bytes,
    )


def _count_attempt(ledger: Ledger, ended: Ended | None) -> None:
    """Count that the last process ended over a scan, if it did, before that scan is worked on again."""
    if ended is None or ended.reason is None:
        return
    set_aside = ledger.work.count_attempt(ended.scan_no, ended.reason)
    logger.error(
        "scan.set_aside" if set_aside else "scan.ended_the_process",
        scan_no=ended.scan_no,
        reason=ended.reason,
        crash=ended.crash,
        see="ledger aside list",
    )


def _end(shard: Shard) -> Exit:
    """Say what has become of a run that has ended by itself."""
    for delivery in shard.deliveries:
        if delivery.fault is not None:
            die(Exit.REJECTED, f"{delivery.fault}; the findings wait in the ledger")
        if delivery.recovering:
            die(Exit.REJECTED, f"{delivery.name}: does not answer; the findings wait in the ledger")
        if delivery.held:
            die(
                Exit.REJECTED, f"{delivery.name}: does not let go of {delivery.held:,} records; they wait in the ledger"
            )
    return Exit.REJECTED if shard.taken.admitted.quarantined else Exit.DONE
