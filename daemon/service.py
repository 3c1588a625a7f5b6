"""The daemon as systemd sees it: keeps shards running, and says how they are doing."""

import asyncio
import contextlib
import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType

from daemon.crew import Crew, Fixed
from daemon.heap import HEAP
from daemon.ledger import Ledger
from daemon.log import get_logger
from daemon.log_writer import dropped_lines
from daemon.metrics import Metrics
from daemon.notify import Notifier
from daemon.ports.delivery import Delivering
from daemon.ports.source import Source, Taken
from daemon.posture import Posture
from daemon.reloading import Reloading
from daemon.settings import MetricsSettings
from daemon.shard import Shard, raise_first
from daemon.vitals import Vitals
from daemon.waiting import wait_for_any
from pipeline.errors import LedgerError
from pipeline.finding import LEVELS

logger = get_logger(__name__)

_HEARTBEAT_S = 1.0
FORCED = 130  # exit code when a second signal came: the work in hand was dropped


class Service:
    """Runs shards side by side until told to stop: signals, watchdog, readiness, status and metrics are of all.

    Everything runs on one event loop and in one thread: a step of any part is short (a batch of findings takes
    about 80 ms, and long work gives way every eighth of a second), and a ledger's connection belongs to one thread.
    """

    def __init__(
        self,
        shards: Sequence[Shard] | Crew,
        settings: MetricsSettings,
        notifier: Notifier,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        reloading: Reloading | None = None,
    ) -> None:
        """Args:
        shards: that run from the beginning to the end, or a crew of such as come and go.
        clock: gives monotonic seconds.
        reloading: reads changed files when SIGHUP comes.
        """
        self._reloading = reloading
        self._crew: Crew = Fixed(shards) if isinstance(shards, Sequence) else shards
        self._settings = settings
        self._notifier = notifier
        self._metrics = metrics
        self._clock = clock
        self._stop = asyncio.Event()
        self._told = False  # by a signal, to stop
        self._ready = False
        self._stalled: list[str] = []
        self._posture = Posture()

    async def run(self) -> None:
        """Run until told to stop; then finish the batches in hand and deliver what is committed.

        Raises:
            LedgerError: when a ledger is damaged, or was taken away; a full disk is waited for.
        """
        loop = asyncio.get_running_loop()

        def stop(number: int, frame: FrameType | None) -> None:
            if self._told:
                os._exit(FORCED)  # even in the middle of a step; what is not committed is done again
            self._told = True
            loop.call_soon_threadsafe(self._told_to_stop, number)

        # Not through the loop: a step that hangs would keep the second signal waiting.
        vitals = Vitals(self._settings.listen, self.answer) if self._settings.listen is not None else None
        if vitals is not None:
            logger.info("service.listening", where=vitals.where)
        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        loop.add_signal_handler(signal.SIGHUP, self._look_again)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._crew.run(self._stop, self._see_whether_ready))
                group.create_task(self._heartbeat())
        except BaseExceptionGroup as errors:
            raise_first(errors)
        finally:
            if vitals is not None:
                vitals.stop()
            loop.remove_signal_handler(signal.SIGHUP)
            for number, handler in before.items():
                signal.signal(number, handler)
        backlog = {name: rows for shard in self._crew.shards() for name, rows in shard.ledger.outbox.backlog().items()}
        logger.info("service.stopped", backlog=backlog)

    def _told_to_stop(self, number: int) -> None:
        logger.info("service.stopping", signal=signal.Signals(number).name)
        self._notifier.stopping()
        self._stop.set()

    def _look_again(self) -> None:
        for source in self._sources():
            source.look_again()
        if self._reloading is not None:
            self._reloading.ask()

    # Saying how it is

    def _see_whether_ready(self) -> None:
        if not self._ready and self._crew.ready and all(source.ready for source in self._sources()):
            self._ready = self._notifier.ready()
            logger.info("service.ready", sources=[source.name for source in self._sources()])

    async def _heartbeat(self) -> None:
        written_at = -math.inf
        while not self._stop.is_set():
            self._stalled = [part for shard in self._crew.shards() for part in shard.stalled()]
            if self._stalled:
                logger.error("service.stalled", parts=self._stalled)
            else:
                self._notifier.ping()
            for shard in self._crew.shards():
                shard.ledger.check_in_place()
            if self._reloading is not None:
                self._reloading.look()
            HEAP.look()
            try:
                self._notifier.status(self._status())
                if self._clock() - written_at >= self._settings.every_s:
                    written_at = self._clock()
                    self.write_metrics()
            except LedgerError as error:
                if not error.transient:
                    raise
                self._notifier.status(str(error))
            await wait_for_any(_HEARTBEAT_S, self._stop)
        self._notifier.status("stopping")
        with contextlib.suppress(LedgerError):
            self.write_metrics()

    def _status(self) -> str:
        shards = self._crew.shards()
        findings = sum(shard.ledger.waiting().findings for shard in shards)
        records = sum(max(shard.ledger.outbox.backlog().values(), default=0) for shard in shards)
        parts = [*self._crew.summary(), f"{findings:,} findings to analyse", f"{records:,} records to deliver"]
        aside = sum(shard.ledger.aside.count() for shard in shards)
        if aside:
            parts.append(f"{aside:,} scans set aside (`sysscan-agent ledger aside list`)")
        dropped = dropped_lines()
        if dropped:
            parts.append(f"{dropped:,} lines of the log dropped since the start: whoever reads it does not keep up")
        refused = {shard.worker.model_health.refused for shard in shards} - {None}  # they may share a model
        parts += [f"the rules answer for the model: {reason}" for reason in sorted(map(str, refused))]
        if self._reloading is not None and self._reloading.problem is not None:
            parts.append(self._reloading.problem)
        parts += self._crew.problems()
        return "; ".join([*parts, *(problem for shard in shards for problem in shard.problems())])

    def answer(self, path: str) -> tuple[int, str]:
        """Answer a question for one of `vitals.PATHS`: status of HTTP, and text.

        Raises:
            LedgerError: when a ledger cannot be read just now.
        """
        if path == "/metrics":
            self._measure()
            return 200, self._metrics.render()
        wrong = [f"stalled: {part}" for part in self._stalled]
        if path == "/readyz":
            wrong += [
                f"not ready: {source.name}" for source in self._sources() if not source.ready or not source.healthy
            ]
            wrong += self._crew.problems()
            wrong += [problem for shard in self._crew.shards() for problem in shard.problems()]
            if not self._ready or not self._crew.ready:
                wrong = wrong or ["not ready yet"]
        return (503, "".join(f"{one}\n" for one in wrong)) if wrong else (200, "ok\n")

    def write_metrics(self) -> None:
        """Bring all of them up to date and write the textfile, if one is asked for."""
        path = self._settings.path
        if path is None:
            return
        self._measure()
        try:
            self._metrics.write(path)
        except OSError as error:
            logger.warning("metrics.not_written", path=str(path), error=error.strerror)

    def _measure(self) -> None:
        metrics, shards = self._metrics, self._crew.shards()
        taken = Taken()
        for shard in shards:
            taken = Taken(taken.bytes_read + shard.taken.bytes_read, taken.admitted + shard.taken.admitted)
        metrics.bytes_read.set(taken.bytes_read)
        metrics.scans.set(taken.admitted.scans, outcome="admitted")
        metrics.scans.set(taken.admitted.redelivered_scans, outcome="redelivered")
        metrics.parsed.set(taken.admitted.findings)
        metrics.redelivered.set(taken.admitted.redelivered_findings)
        metrics.quarantined.set(taken.admitted.quarantined)
        for origin in shards[0].worker.analysed if shards else ():
            metrics.analysed.set(sum(shard.worker.analysed[origin] for shard in shards), origin=origin)
        metrics.model.set(1.0 if any(shard.worker.has_model for shard in shards) else 0.0)
        models = [shard.worker.model_health for shard in shards]  # of one model, or of none
        metrics.model_info.samples.clear()
        for name in sorted({shard.worker.model_name for shard in shards} - {None}, key=str):
            metrics.model_info.set(1.0, name=str(name))
        metrics.model_running.set(1.0 if any(model.running for model in models) else 0.0)
        metrics.model_refused.set(1.0 if any(model.refused is not None for model in models) else 0.0)
        metrics.model_deaths.set(max((model.deaths for model in models), default=0))
        waiting = [shard.ledger.waiting() for shard in shards]
        metrics.backlog.set(sum(one.findings for one in waiting), stage="analysis")
        metrics.aside.set(sum(shard.ledger.aside.count() for shard in shards))
        metrics.behind.set(max((one.age_s for one in waiting), default=0.0))
        for delivery in self._deliveries():
            metrics.delivered.set(delivery.records, sink=delivery.name)
            metrics.sink_failing.set(1.0 if delivery.failing else 0.0, sink=delivery.name)
            metrics.sink_faults.set(delivery.faults, sink=delivery.name)
        for shard in shards:
            for name, rows in shard.ledger.outbox.backlog().items():
                metrics.backlog.set(rows, stage=f"delivery {name}")
        well = self._crew.ready and not self._crew.problems() and all(source.healthy for source in self._sources())
        metrics.healthy.set(1.0 if well else 0.0)
        metrics.overflows.set(sum(source.overflows for source in self._sources()))
        metrics.log_dropped.set(dropped_lines())
        self._measure_posture([shard.ledger for shard in shards])
        self._crew.measure(metrics)

    def _measure_posture(self, ledgers: Sequence[Ledger]) -> None:
        metrics, posture = self._metrics, self._posture
        posture.look(ledgers)
        for level in LEVELS:
            metrics.at_stake.set(posture.levels[level], level=level)
        metrics.found.samples.clear()
        for status, count in posture.statuses.items():
            metrics.found.set(count, status=status)
        metrics.scopes.set(len(posture.times))
        if posture.times:
            metrics.last_scan.set(max(posture.times), of="newest")
            metrics.last_scan.set(min(posture.times), of="oldest")

    def _sources(self) -> list[Source]:
        return [source for shard in self._crew.shards() for source in shard.sources]

    def _deliveries(self) -> list[Delivering]:
        return [delivery for shard in self._crew.shards() for delivery in shard.deliveries]
