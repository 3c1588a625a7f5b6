"""Runs the view until it is told to stop: the page first, then the brokers, then what reads them."""

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import faust

from daemon.fleet.brokers import examine
from daemon.fleet.fleet import Fleet, Spans, View
from daemon.fleet.gauges import metrics
from daemon.fleet.keeper import Keeper
from daemon.fleet.page import State, render
from daemon.fleet.web import Web
from daemon.fleet.worker import FleetWorker, Progress, quieten
from daemon.log import get_logger
from daemon.notify import Notifier
from daemon.settings import FleetSettings, Settings
from daemon.version import VERSION
from pipeline.errors import SinkError

logger = get_logger(__name__)

_VIEW_S = 2.0  # a view is shown for this long, however often it is asked for,
_VIEW_SHARE = 20  # and for so many times as long as it takes to be made
_GARBAGE = 50_000  # objects more than there were, before the collector looks
_STOP_S, _GIVE_UP_S = 20.0, 5.0  # for an end in order, and for one after a fault
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_SAID_S = 30.0  # that nothing has moved for so long is said
_HOUR_MS = 3600 * 1000


class _Runner(faust.Worker):
    """Faust's worker without its signals, one of which would stop the process in a debugger."""

    def install_signal_handlers(self) -> None:
        """Install none: ours are there."""


class Program:
    """One for the process."""

    def __init__(self, settings: Settings, notifier: Notifier, *, anew: bool = False) -> None:
        """Take the settings; nothing is opened before `run`."""
        self._settings = settings
        self._notifier = notifier
        self._anew = anew
        fleet = settings.fleet
        self.keeper = Keeper(Fleet(spans(fleet)), round(fleet.alert_max_age_h * _HOUR_MS))
        self.web = Web(
            fleet.listen,
            {
                "/": ("text/html; charset=utf-8", self._page),
                "/metrics": ("text/plain; version=0.0.4; charset=utf-8", self._metrics),
                "/healthz": ("text/plain; charset=utf-8", self._health),
            },
        )
        self._worker: FleetWorker | None = None
        self._progress: Progress | None = None
        self._waiting = "the brokers are asked"
        self._stop = asyncio.Event()
        self._seen: tuple[float, View] | None = None  # until when, and what

    async def run(self) -> str | None:
        """Run until told to stop; returns why it had to end by itself, or None.

        Raises:
            ConfigError: when a person must change something first.
        """
        with _signals(self._stop.set):
            await self.web.start()
            logger.info("fleet.started", version=VERSION, page=f"{self._settings.fleet.listen}", port=self.web.port)
            self._notifier.ready()
            async with _beside(self._watch()):
                try:
                    partitions = await self._partitions()
                    return await self._read(partitions) if partitions else None
                finally:
                    self._notifier.stopping()
                    await self.web.stop()

    async def _partitions(self) -> int:
        """Wait for brokers that have what is needed; 0 when told to stop."""
        wait = _FIRST_WAIT_S
        while not self._stop.is_set():
            try:
                return (await examine(self._settings)).partitions
            except SinkError as error:
                if str(error) != self._waiting:
                    self._waiting = str(error)
                    logger.warning("fleet.waiting", reason=self._waiting)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), wait)
            wait = min(_LONGEST_WAIT_S, wait * 2)
        return 0

    async def _read(self, partitions: int) -> str | None:
        quieten()
        worker = FleetWorker(self._settings, self.keeper, partitions, anew=self._anew)
        runner = _Runner(
            worker.app, loop=asyncio.get_running_loop(), override_logging=False, redirect_stdouts=False, quiet=True,
            loglevel="ERROR",
        )  # fmt: skip
        runner.spinner = None  # it writes to the terminal
        # A record is a thousand objects that live for a millisecond, beside rows that stay: with the collector's own
        # settings it would look for garbage among all of them in every other record.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE, 20, 20)
        self._progress = Progress(worker)
        self._worker = worker
        running = asyncio.ensure_future(runner.start())
        stopping = asyncio.ensure_future(self._stop.wait())
        failing = asyncio.ensure_future(worker.failed.wait())
        try:
            await asyncio.wait({running, stopping, failing}, return_when=asyncio.FIRST_COMPLETED)
            if worker.failure is None and not self._stop.is_set():
                reason = runner.crash_reason or worker.app.crash_reason or (running.done() and running.exception())
                worker.fail(f"Faust ended: {type(reason).__name__}: {reason}" if reason else "Faust ended")
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_STOP_S if worker.failure is None else _GIVE_UP_S):
                    if worker.failure is None:
                        await worker.drain()
                    await runner.stop()
        finally:
            for task in (running, stopping, failing):
                task.cancel()
        return worker.failure

    async def _watch(self) -> None:
        """Tell the service manager that all is well as long as something moves, or there is nothing to read."""
        limit = self._settings.fleet.stalled_after_s
        said = False
        while True:
            still = self._progress.still_s() if self._progress is not None else 0.0
            if self._worker is not None:
                self._worker.help_restoring()
            if still < _SAID_S:
                said = False
            elif not said:
                said = True
                logger.warning("fleet.still", seconds=round(still), ends_after_s=limit, behind=self._lag())
            if still < limit:
                self._notifier.ping()
            elif self._worker is not None:
                self._worker.fail(f"nothing has moved for {still:.0f} s")
            self._notifier.status(self._status())
            await asyncio.sleep(1.0)

    def _status(self) -> str:
        if self._worker is None:
            return f"waiting: {self._waiting}"
        if not self._worker.ready:
            return "restoring the postures"
        return f"{len(self.keeper.fleet.rows):,} hosts, {self._lag():,} records behind"

    def _lag(self) -> int:
        return sum(self._worker.lags().values()) if self._worker is not None else 0

    def _view(self) -> View:
        now = time.monotonic()
        if self._seen is None or now > self._seen[0]:
            view = self.keeper.fleet.view(self.keeper.now())
            took = time.monotonic() - now
            self._seen = now + max(_VIEW_S, took * _VIEW_SHARE), view
        return self._seen[1]

    def _notes(self) -> tuple[str, ...]:
        worker = self._worker
        if worker is None:
            return (f"Nothing is read yet: {self._waiting}",)
        if not worker.ready:
            return ("The postures are being restored; there are more hosts than are shown.",)
        notes = []
        have = worker.assigned()
        if have < worker.partitions:
            notes.append(
                f"Only {have} of {worker.partitions} partitions are read here, so hosts are missing: another program "
                f"of the group {self._settings.fleet.group} has the others, or the group is being rearranged."
            )
        if lag := self._lag():
            notes.append(f"{lag:,} scan records are not read yet: what is shown is older than what is known.")
        still = self._progress.still_s() if self._progress is not None else 0.0
        if still > _SAID_S:
            notes.append(f"Nothing was heard from the brokers for {still:.0f} s.")
        if refused := sum(count for reason, count in self.keeper.refused.items() if reason != "not_a_scan"):
            notes.append(f"{refused:,} records could not be used; the log names them.")
        return tuple(notes)

    def _page(self) -> tuple[int, str]:
        return 200, render(self._view(), State(self._notes(), self._lag()))

    def _metrics(self) -> tuple[int, str]:
        worker = self._worker
        still = self._progress.still_s() if self._progress is not None else 0.0
        lags, unread = (worker.lags(), worker.unread) if worker is not None else ({}, 0)
        return 200, metrics(self._view(), self.keeper, lags, still, unread)

    def _health(self) -> tuple[int, str]:
        notes = self._notes()
        return (503, "\n".join(notes) + "\n") if self._worker is None or not self._worker.ready else (200, "ready\n")


def spans(fleet: FleetSettings) -> Spans:
    """Turn the settings into milliseconds."""
    return Spans(
        silent=round(fleet.silent_after_h * _HOUR_MS),
        forget=round(fleet.forget_after_days * 24 * _HOUR_MS),
        scope=round(fleet.scope_h * _HOUR_MS),
        window=round(fleet.window_h * _HOUR_MS),
    )


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Any:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def _beside(work: Any) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
