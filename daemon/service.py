"""The daemon: joins source, ledger, pipeline and sinks, and says how it is doing."""

import asyncio
import contextlib
import math
import os
import signal
import time
from collections.abc import Callable
from types import FrameType

import structlog

from daemon.ledger import Ledger
from daemon.metrics import Metrics
from daemon.notify import Notifier
from daemon.settings import Settings
from daemon.sinks.delivery import BATCH_ROWS, Delivery
from daemon.sources.directory import ReportDirectory
from daemon.sources.tracked import SweepResult
from daemon.worker import Worker
from pipeline.errors import LedgerError

logger = structlog.get_logger(__name__)

# Records that may wait for a sink before no more is read; the rest waits in its files. 700 MB of ledger.
MAX_BACKLOG = 200_000
_HEARTBEAT_S = 1.0
_RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # after faults of the ledger's disk in a row
_STALLED_S = 120.0  # a piece of work is a second at most; what does not move for this long never will
FORCED = 130  # exit code when a second signal came: the work in hand was dropped
_POLL_S = 0.5  # how late a part notices what nobody told it of


def ours(settings: Settings) -> list[str]:
    """List what we write ourselves, so that it is never taken for a report."""
    return [str(settings.state_dir), str(settings.output_path)]


class Progress:
    """When each part last got somewhere; the watchdog is pinged only while all of them do."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at: dict[str, float] = {}

    def mark(self, part: str) -> None:
        """Note that a part is alive: it did something, or found nothing to do."""
        self._at[part] = self._clock()

    def stalled(self) -> list[str]:
        """List the parts that have not moved for too long."""
        now = self._clock()
        return sorted(part for part, at in self._at.items() if now - at > _STALLED_S)


class Service:
    """One daemon on one state directory.

    Everything runs on one event loop and in one thread: a step of any part is short (a batch of findings takes
    about 80 ms, and a model answers in a process of its own), and the ledger's connection belongs to one thread.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        worker: Worker,
        deliveries: list[Delivery],
        notifier: Notifier,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._source = ReportDirectory(
            ledger,
            settings.limits,
            settings.watch,
            clock=clock,
            excluded=ours(settings),
            blocked=self._blocked,
            on_sweep=self._swept,
        )
        self._worker = worker
        self._deliveries = deliveries
        self._notifier = notifier
        self._metrics = metrics
        self._progress = Progress(clock)
        self._clock = clock
        self._work = asyncio.Event()
        self._outgoing = asyncio.Event()
        self._stop = asyncio.Event()
        self._told = False  # by a signal, to stop
        self._ready = False

    async def run(self) -> None:
        """Run until told to stop; then finish the batch in hand and deliver what is committed.

        Raises:
            LedgerError: when the ledger is damaged; a full disk is waited for.
        """
        loop = asyncio.get_running_loop()

        def stop(number: int, frame: FrameType | None) -> None:
            if self._told:
                os._exit(FORCED)  # even in the middle of a step; what is not committed is done again
            self._told = True
            loop.call_soon_threadsafe(self._told_to_stop, number)

        # Not through the loop: a step that hangs would keep the second signal waiting.
        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        loop.add_signal_handler(signal.SIGHUP, self._source.request_sweep)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._take_in())
                group.create_task(self._analyse())
                for delivery in self._deliveries:
                    group.create_task(self._deliver(delivery))
                group.create_task(self._heartbeat())
        except* LedgerError as errors:
            raise errors.exceptions[0] from None
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            for number, handler in before.items():
                signal.signal(number, handler)
        logger.info("service.stopped", backlog=self._ledger.backlog())

    def _told_to_stop(self, number: int) -> None:
        logger.info("service.stopping", signal=signal.Signals(number).name)
        self._notifier.stopping()
        self._stop.set()
        self._work.set()
        self._outgoing.set()

    # Taking in

    async def _take_in(self) -> None:
        faults = 0
        while not self._stop.is_set():
            began = self._clock()
            try:
                await self._source.run(self._stop)
            except LedgerError as error:
                faults = 0 if self._clock() - began > _RETRY_S[-1] else faults
                faults = await self._wait_out("source", error, faults)

    def _blocked(self) -> bool:
        """Read no more while too much waits; files that are rotated away meanwhile are held open."""
        outgoing = max(self._ledger.backlog().values(), default=0)
        # An open scan waits for lines that nobody would read then; each has a bound of its own.
        return outgoing + self._ledger.waiting().closed > MAX_BACKLOG

    def _swept(self, result: SweepResult) -> None:
        """Take notice of a sweep."""
        self._progress.mark("source")
        admitted, metrics = result.admitted, self._metrics
        metrics.bytes_read.add(result.bytes_read)
        metrics.scans.add(admitted.scans, outcome="admitted")
        metrics.scans.add(admitted.redelivered_scans, outcome="redelivered")
        metrics.parsed.add(admitted.findings)
        metrics.redelivered.add(admitted.redelivered_findings)
        metrics.quarantined.add(admitted.quarantined)
        if admitted.quarantined:
            logger.warning("input.quarantined", pieces=admitted.quarantined, see="ledger quarantine list")
        if admitted.redelivered_scans:
            logger.info("scan.redelivered", scans=admitted.redelivered_scans, findings=admitted.redelivered_findings)
        if admitted.scans or admitted.findings:
            self._work.set()
        if not self._ready and result.full and self._is_reachable(result):
            self._ready = self._notifier.ready()
            logger.info("service.ready", roots=list(self._settings.watch.roots), files=result.files)

    def _is_reachable(self, result: SweepResult) -> bool:
        """Say whether every root is there and can be read; one report that cannot be read holds nobody up."""
        return not result.missing_roots and not set(self._settings.watch.roots).intersection(result.unreadable)

    # Working

    async def _analyse(self) -> None:
        faults = 0
        self._progress.mark("worker")
        untidy = True  # upkeep writes, so an idle daemon must not do it again and again
        while not self._stop.is_set():
            self._work.clear()
            try:
                busy = self._worker.step()
                if not busy and untidy:
                    untidy = self._ledger.idle()
                    if not untidy:
                        self._worker.tidy()
            except LedgerError as error:
                faults = await self._wait_out("worker", error, faults)
                continue
            faults = 0
            self._progress.mark("worker")
            if busy:
                untidy = True
                self._outgoing.set()
            if self._worker.awaited.waiting:
                await self._worker.awaited.rest()
            elif busy or untidy:
                await asyncio.sleep(0)
            else:
                await _wait(self._work, _POLL_S)

    async def _deliver(self, delivery: Delivery) -> None:
        faults = 0
        while True:
            self._outgoing.clear()
            try:
                busy = delivery.step()
                if busy:  # not only when there is nothing else to do, which may be never
                    self._ledger.prune_outbox(BATCH_ROWS)
            except LedgerError as error:
                if self._stop.is_set():
                    raise
                faults = await self._wait_out(f"delivery {delivery.name}", error, faults)
                continue
            faults = 0
            self._progress.mark(f"delivery {delivery.name}")
            if busy:
                await asyncio.sleep(0)
            elif self._stop.is_set():
                delivery.close()
                return
            else:
                if delivery.starved:
                    self._source.release()
                    self._source.release()  # the file, and its directory to sync
                await _wait(self._outgoing, _POLL_S)

    async def _wait_out(self, part: str, error: LedgerError, faults: int) -> int:
        """Wait for a disk that is full or fails just now; a ledger that is damaged ends the daemon."""
        if not error.transient or self._stop.is_set():
            raise error
        delay = _RETRY_S[min(faults, len(_RETRY_S) - 1)]
        logger.error("ledger.failed", part=part, error=str(error), retry_in_s=delay)
        self._progress.mark(part)  # it waits for a person; a restart would not help
        await _wait(self._stop, delay)
        return faults + 1

    # Saying how it is

    async def _heartbeat(self) -> None:
        written_at = -math.inf
        while not self._stop.is_set():
            stalled = self._progress.stalled()
            if stalled:
                logger.error("service.stalled", parts=stalled)
            else:
                self._notifier.ping()
            try:
                self._notifier.status(self._status())
                if self._clock() - written_at >= self._settings.metrics.every_s:
                    written_at = self._clock()
                    self.write_metrics()
            except LedgerError as error:
                if not error.transient:
                    raise
                self._notifier.status(str(error))
            await _wait(self._stop, _HEARTBEAT_S)
        self._notifier.status("stopping")
        with contextlib.suppress(LedgerError):
            self.write_metrics()

    def _status(self) -> str:
        counts = self._ledger.waiting()
        outgoing = max(self._ledger.backlog().values(), default=0)
        parts = [f"{counts.findings:,} findings to analyse", f"{outgoing:,} records to deliver"]
        parts += self._source.problems()
        parts += [delivery.fault for delivery in self._deliveries if delivery.fault is not None]
        refused = self._worker.model_health.refused
        parts += [f"the rules answer for the model: {refused}"] if refused is not None else []
        return "; ".join(parts)

    def write_metrics(self) -> None:
        """Bring the gauges up to date and write the textfile, if one is asked for."""
        metrics, counts = self._metrics, self._ledger.waiting()
        for origin, count in self._worker.analysed.items():
            metrics.analysed.set(count, origin=origin)
        metrics.model.set(1.0 if self._worker.has_model else 0.0)
        health = self._worker.model_health
        metrics.model_running.set(1.0 if health.running else 0.0)
        metrics.model_refused.set(1.0 if health.refused is not None else 0.0)
        metrics.model_deaths.set(health.deaths)
        for delivery in self._deliveries:
            metrics.delivered.set(delivery.records, sink=delivery.name)
        metrics.backlog.set(counts.findings, stage="analysis")
        for name, rows in self._ledger.backlog().items():
            metrics.backlog.set(rows, stage=f"delivery {name}")
        metrics.behind.set(counts.age_s)
        metrics.healthy.set(1.0 if self._source.healthy else 0.0)
        metrics.overflows.set(self._source.overflows)
        path = self._settings.metrics.path
        if path is not None:
            try:
                metrics.write(path)
            except OSError as error:
                logger.warning("metrics.not_written", path=str(path), error=error.strerror)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
