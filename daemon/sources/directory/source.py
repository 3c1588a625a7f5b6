"""The directory source: decides when to sweep."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from daemon.log import get_logger
from daemon.parser import DocumentParser
from daemon.ports.files import KIND, Files
from daemon.ports.inputs import Inputs
from daemon.ports.source import Taken
from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.sweep import Sweeper
from daemon.sources.directory.tracked import SweepResult
from daemon.sources.directory.watch import DirectoryWatch
from daemon.waiting import wait_for_any, wake
from pipeline.errors import SourceError
from pipeline.report.limits import Limits

logger = get_logger(__name__)

_TELL_S = 1.0  # a first sweep may take minutes
_RETRY_S = 1.0  # when something moved, or was short, during a sweep
_SHARE_S = 0.1  # of a large document between two sweeps, however fast these follow each other
_HOLD_S = 2.0  # a sweep that only waits for a large document does so for as long, though there is something new
_BLOCKED_S = 0.1  # before a run that is to end looks whether the ledger has room again


class ReportDirectory:
    """A `daemon.ports.source.Source`.

    Sweeps at the start, when a directory changed, when a deadline falls, and every few seconds in any case.

    Attributes:
        ready: every root is there and was swept; one report that cannot be read holds nobody up.
        last: of the latest sweep, for status and metrics.
        swept_at: when a sweep last got on (monotonic); stands still when the source hangs.
        polling: events are not to be had for all of the tree, so it is swept every `poll_s`.
    """

    kind = KIND
    name = "directory"

    def __init__(
        self,
        inputs: Inputs,
        files: Files,
        limits: Limits,
        settings: WatchSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        excluded: Sequence[str] = (),
        blocked: Callable[[], bool] = lambda: False,
        parser: DocumentParser | None = None,
    ) -> None:
        """Args:
        excluded: our own output and state, never read.
        blocked: says that the ledger takes nothing more just now.
        parser: reads large documents; None has them read here.
        """
        self._settings = settings
        self._clock = clock
        self._told: Callable[[Taken], None] = lambda taken: None
        self._stop = asyncio.Event()
        self._blocked = blocked
        self._sweeper = Sweeper(
            inputs, files, limits, settings, clock=clock, excluded=excluded, blocked=blocked, parser=parser
        )
        self._wanted: asyncio.Event = asyncio.Event()
        self._everything = True
        self._watch: DirectoryWatch | None = None
        self._unwatched: list[str] = []
        self.ready = False
        self.last = SweepResult()
        self._missing: tuple[str, ...] = ()
        self._awaited: tuple[str, ...] = ()
        self.swept_at = clock()
        self.swept_fully_at: float | None = None
        self.polling = settings.watch == "poll"

    @property
    def healthy(self) -> bool:
        """Say whether every root is there and was swept, and changes in it will be noticed."""
        return self.swept_fully_at is not None and not self.problems()

    def problems(self) -> list[str]:
        """Say what keeps the source from being healthy, one line each."""
        lines = [f"{root}: is not there; create or mount it" for root in self.last.missing_roots]
        lines += [f"{root}: was replaced, and is not watched again yet" for root in self.last.replaced_roots]
        if not self.polling:
            lines += [f"{root}: cannot be watched" for root in self._unwatched]
        lines += [f"{path}: cannot be read; check its permissions" for path in self.last.unreadable[:3]]
        lines += [f"{path}: waits, {reason}" for path, reason in self.last.unparsed[:3]]
        return lines

    @property
    def overflows(self) -> int:
        return self._watch.overflows if self._watch is not None else 0

    @property
    def restarts(self) -> int:
        return self._watch.restarts if self._watch is not None else 0

    @property
    def unwatched(self) -> int:
        """Count the directories that inotify had no watch for."""
        return len(self._watch.unwatched) if self._watch is not None else 0

    def look_again(self) -> None:
        """Sweep everything as soon as possible (SIGHUP, or room in the ledger again)."""
        self._everything = True
        self._wanted.set()

    def release(self) -> bool:
        """Close one file that can be opened again, for a part that has run out of descriptors."""
        return self._sweeper.release()

    async def run(self, stop: asyncio.Event, told: Callable[[Taken], None], *, dry: bool = False) -> None:
        """Sweep until told to stop, then read what would be lost and close all files.

        A `dry` run reads all that is there and waits for nothing: cut reports are refused, open scans closed.

        Args:
            told: called after each sweep, on the loop, and with what was done so far during a long one.

        Raises:
            SourceError: when a root of a dry run is not there.
            LedgerError: when the ledger takes nothing more. Files that are gone stay open, and the next run goes on.
        """
        self._told, self._stop = told, stop
        if dry:
            await self._read_all(stop)
            return
        loop = asyncio.get_running_loop()
        self._everything = True
        if self._settings.watch == "auto":
            self._watch = DirectoryWatch(lambda: wake(loop, self._wanted))
        try:
            while not stop.is_set():
                await self._sweep_once()
                await self._sleep(stop)
            await self._close()
        finally:
            if self._watch is not None:
                self._watch.stop()
            if stop.is_set():
                self._sweeper.close_files()

    async def _read_all(self, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                result = SweepResult()
                await self._go_through(self._sweeper.final_steps(result), result)
                for root in (*result.missing_roots, *result.awaited):
                    raise SourceError(f"{root}: is not there; check the name, or create or mount it")
                if not result.unread_bytes:
                    break
                await asyncio.sleep(_BLOCKED_S)
            await self._close()
        finally:
            self._sweeper.close_files()

    async def _close(self) -> None:
        result = SweepResult()
        await self._go_through(self._sweeper.closing_steps(result), result, to_the_end=True)

    async def _sweep_once(self) -> None:
        self._wanted.clear()
        paths: set[str] | None = set()
        now = self._clock()
        due = self.swept_fully_at is None or now >= self.swept_fully_at + self._interval_s()
        if due or self._everything or (self.last.next_due is not None and now >= self.last.next_due) or self.last.again:
            paths = None
        if self._watch is not None:
            if due or self._everything or self.last.replaced_roots:
                self._revive(self._watch)
            dirty = self._watch.take()
            paths = None if dirty is None or paths is None else dirty
        self._everything = False
        result = SweepResult()
        await self._go_through(self._sweeper.steps(paths, result), result)

    async def _go_through(self, steps: Iterator[None], result: SweepResult, *, to_the_end: bool = False) -> None:
        """Go through a sweep; told to stop, the step in hand is finished, and the rest is left to the next start."""
        told_at = began = self._clock()
        for _ in steps:
            await (self._sweeper.documents.rest() if self._sweeper.idle else asyncio.sleep(0))
            if self._stop.is_set() and not to_the_end:
                break
            if self._sweeper.holding and self._wanted.is_set() and self._clock() - began >= _HOLD_S:
                break  # what has come meanwhile may be of another host; what waits is found again
            told_at = self._tell_now_and_then(result, told_at)
        self._report(result)

    async def _go_on(self, until: float) -> None:
        """Go on with a large document between two sweeps, as long as there is no reason for one."""
        result = SweepResult()
        told_at = began = self._clock()
        while not (self._stop.is_set() or self._blocked()):
            wanted = self._wanted.is_set() or self._clock() >= until
            if wanted and self._clock() - began >= _SHARE_S:
                break
            if not self._sweeper.go_on(result):
                break
            await self._sweeper.documents.rest()
            told_at = self._tell_now_and_then(result, told_at)
        if not self._sweeper.taking:
            self._everything = self._everything or self._sweeper.holding
            self.last.again = self.last.again or result.again
            self.last.expect(result.next_due)
            self.last.waiting += result.waiting
            self.last.unparsed = (*self.last.unparsed, *result.unparsed)
        self._told(Taken(result.bytes_read, result.admitted))

    def _tell_now_and_then(self, result: SweepResult, told_at: float) -> float:
        if self._clock() - told_at < _TELL_S:
            return told_at
        self.swept_at = self._clock()
        part = result.part()
        self._told(Taken(part.bytes_read, part.admitted))
        return self.swept_at

    def _revive(self, watch: DirectoryWatch) -> None:
        before = watch.restarts
        self._unwatched = watch.check(self._sweeper.tree.watched)
        if watch.restarts > before:
            logger.warning("source.watch_restarted", times=watch.restarts - before)
        polling = bool(watch.unwatched or self._unwatched)
        if polling and not self.polling:
            logger.warning(
                "source.polling",
                unwatched=sorted(watch.unwatched)[:5],
                advice="raise fs.inotify.max_user_watches or max_user_instances, or set watch = 'poll'",
            )
        self.polling = polling

    def _report(self, result: SweepResult) -> None:
        if result.replaced_roots:
            logger.warning("source.root_replaced", roots=result.replaced_roots)
            self._everything = True
        if result.full and result.missing_roots != self._missing:
            if result.missing_roots:
                logger.warning(
                    "source.root_missing", roots=result.missing_roots, advice="it is watched as soon as it appears"
                )
            self._missing = result.missing_roots
        if result.full and result.awaited != self._awaited:
            for path in result.awaited:
                logger.info("source.file_awaited", path=path)
            self._awaited = result.awaited
        self.last = result
        self.swept_at = self._clock()
        if result.full:
            self.swept_fully_at = self.swept_at
            self.ready = not result.missing_roots and not set(self._settings.roots).intersection(result.unreadable)
        self._told(Taken(result.bytes_read, result.admitted))

    async def _sleep(self, stop: asyncio.Event) -> None:
        if self._sweeper.taking:
            await self._go_on(self._next_sweep())
        await wait_for_any(max(0.0, self._next_sweep() - self._clock()), self._wanted, stop)
        if self._wanted.is_set():
            await wait_for_any(self._settings.debounce_s, stop)

    def _next_sweep(self) -> float:
        """Say when to sweep though nothing happens."""
        now = self._clock()
        until = (self.swept_fully_at if self.swept_fully_at is not None else now) + self._interval_s()
        if self.last.next_due is not None:
            until = min(until, self.last.next_due)
        if self.last.again or self.last.exhausted:
            until = min(until, now + _RETRY_S)
        return now if self._everything else until

    def _interval_s(self) -> float:
        # A root that is not there cannot announce its coming.
        often = self.polling or self.last.missing_roots
        return min(self._settings.poll_s, self._settings.full_sweep_s) if often else self._settings.full_sweep_s
