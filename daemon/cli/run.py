"""`sysscan-agent run`, and `sysscan-agent --watch`."""

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.checkpoints import Checkpoints
from daemon.cli import startup
from daemon.cli.exits import Exit, die
from daemon.compose import is_pipe, open_shard
from daemon.ledger import Ledger
from daemon.log import configure, get_logger
from daemon.metrics import Metrics
from daemon.notify import Notifier
from daemon.resources import open_resources
from daemon.service import Service
from daemon.settings import load_settings
from daemon.shard import Shard
from daemon.sources.bindings import Bindings
from daemon.sources.standard_input import NAME as STANDARD_INPUT
from daemon.version import VERSION

logger = get_logger(__name__)

CHECKPOINTS = "checkpoints.db"


def run_daemon(given: Mapping[str, Any], config: Path | None, *, once: bool) -> Exit:
    """Run the daemon until it is told to stop, or until all is delivered: of what is there (`once`), of a pipe."""
    os.umask(0o077)
    settings = load_settings(os.environ, given, config)
    if not settings.watch.roots:
        die(Exit.USAGE, "nothing to watch; give --watch DIRECTORY or set watch.roots in the configuration")
    if STANDARD_INPUT in settings.watch.roots and len(settings.watch.roots) > 1:
        die(Exit.USAGE, "--watch -: standard input stands alone; start another daemon for the directories")
    configure(settings.log.level, settings.log.format)
    notifier = Notifier(os.environ)
    notifier.status("starting")
    with Ledger.open(
        settings.state_dir, clock=time.time, host=settings.host, max_findings=settings.limits.max_findings
    ) as ledger:
        resources = open_resources(settings, ledger.analyses, logger.warning)
        startup.loaded()
        for key, reason in Bindings(settings.watch.bind).without_effect(settings.watch.roots):
            logger.warning("bind.without_effect", directory=key, reason=reason)
        for warning in resources.intel.warnings:
            logger.warning("intel.skipped", reason=warning)
        if resources.notice is not None:
            logger.warning("model.unavailable", reason=resources.notice, see="sysscan-agent doctor")
        checkpoints = Checkpoints(settings.state_dir / CHECKPOINTS)
        try:
            shard = open_shard(settings, ledger, resources, checkpoints)
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
            asyncio.run(Service([shard], settings.metrics, notifier, Metrics()).run())
        finally:
            checkpoints.close()
            resources.close()
    return Exit.DONE


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
