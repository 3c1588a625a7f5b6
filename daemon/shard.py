"""One ledger with its sources, its worker and its deliveries, and the one loop that drives them."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import NoReturn

from daemon.heap import HEAP
from daemon.ledger import Ledger
from daemon.log import get_logger
from daemon.ports.delivery import Delivering
from daemon.ports.source import Source, Taken
from daemon.review.telling import Telling
from daemon.sinks.delivery import BATCH_ROWS
from daemon.waiting import wait_for_any, wake
from daemon.worker import Worker
from pipeline.errors import AgentError, LedgerError
from pipeline.shortage import is_shortage

logger = get_logger(__name__)

# Records that may wait for a sink before no more is read; the rest waits in its inputs. 700 MB of ledger.
MAX_BACKLOG = 200_000
_RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # after faults of the ledger's disk in a row
_BREATH_S = 0.2  # between two attempts, however often a delivery makes room
_STALLED_S = 120.0  # a piece of work is a second at most; what does not move for this long never will
_NAMED = 10  # refused pieces that the log names at once; the quarantine has all
_FOR_A_SINK = 2  # descriptors: the file, and its directory to sync
_FOR_A_PROCESS = 12  # that of a model: two pairs, what starting it takes, and what is waited at
_POLL_S = 0.5  # how late a part notices what nobody told it of
_STOP_S = 20.0  # systemd gives a minute; what is not delivered by then waits in the ledger for the next start
_HELD_S = 30.0  # a sink that holds rows without getting on for this long will not get on before the end


def _tell_nobody() -> None:
    """Do nothing: nobody wants to know."""


class Progress:
    """When each part last got somewhere; the watchdog is pinged only while all of them do."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at: dict[str, float] = {}

    def mark(self, part: str) -> None:
        """Note that a part is alive: it did something, or found nothing to do."""
        self._at[part] = self._clock()

    def forget(self, part: str) -> None:
        """Watch a part no longer: it only looks now and then, on the loop, which is watched by the others."""
        self._at.pop(part, None)

    def stalled(self) -> list[str]:
        """List the parts that have not moved for too long."""
        now = self._clock()
        return sorted(part for part, at in self._at.items() if now - at > _STALLED_S)


class Shard:
    """Runs until it is told to stop, or until all that there is has come out at the other end.

    Everything runs on the event loop of the caller, in one thread: a step of any part is short (a batch of findings
    takes about 80 ms, and a model answers in a process of its own), and the ledger's connection belongs to one
    thread. Shards side by side share the loop, and the resources of the pipeline, and nothing else.

    A part that fails ends the others, and `run` raises what it raised.

    Attributes:
        taken: what all sources have handed over since the start.
        progress: when each part last got somewhere.
    """

    def __init__(
        self,
        ledger: Ledger,
        worker: Worker,
        deliveries: Sequence[Delivering],
        *,
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
        telling: Telling | None = None,
    ) -> None:
        """Args:
        telling: tells of verdicts; None where there is no log of them.
        name: tells it from other shards in logs and in the status; none where there is one.
        clock: gives monotonic seconds.
        """
        self.name = name
        self.ledger = ledger
        self.worker = worker
        self.deliveries = tuple(deliveries)
        self.sources: tuple[Source, ...] = ()
        self.taken = Taken()
        self.progress = Progress(clock)
        self._telling = telling
        self._clock = clock
        self._dry = False
        self._stop = asyncio.Event()
        self._told: Callable[[], None] = _tell_nobody
        self._reading = 0  # sources that may hand over more
        self._room = asyncio.Event()  # a delivery has made some in the ledger
        self._work = asyncio.Event()  # there may be a scan to work on
        self._outgoing = [asyncio.Event() for _ in self.deliveries]  # there may be rows for this delivery
        self._worked_off = False  # nothing more will come into the outbox
        self._untidy = True  # there is upkeep to do, which writes, so an idle daemon must not do it again and again
        self._untold = False  # verdicts that were there at the start are not all told of

    def read_from(self, *sources: Source) -> None:
        """Add sources, which have to be made after the shard because they ask it whether it is `blocked`."""
        self.sources += sources

    def blocked(self) -> bool:
        """Say whether so much waits that nothing more is to be read; what is gone meanwhile is held open."""
        if self._dry and any(delivery.failing for delivery in self.deliveries):
            return False  # the end does not wait for a sink, so that its inputs are safe in the ledger by then
        outgoing = max(self.ledger.outbox.backlog().values(), default=0)
        # An open scan waits for lines that nobody would read then; each has a bound of its own.
        return outgoing + self.ledger.waiting().closed > MAX_BACKLOG

    async def run(self, stop: asyncio.Event, told: Callable[[], None] = _tell_nobody, *, dry: bool = False) -> None:
        """Run until told to stop, or, if `dry`, until everything that the sources have is delivered.

        Told to stop, the batch in hand is finished and what is committed is delivered, as far as that goes in some
        seconds. At either end a sink that fails is not waited for: `Delivery.fault` says why it did not take what is
        left.

        Args:
            told: called on the loop whenever a source has got on.

        Raises:
            LedgerError: when the ledger is damaged; a full disk is waited for, unless `dry`.
            SourceError: when, of a dry run, something is not there to be read.
        """
        self._stop, self._told, self._dry = stop, told, dry
        self._reading = len(self.sources)
        self._worked_off = False
        self._untold = self._telling is not None
        parts: list[tuple[str, Coroutine[None, None, None]]] = [
            *([("verdicts", self._tell_verdicts(self._telling))] if self._telling is not None else []),
            *((self._part_of(source), self._take_in(source)) for source in self.sources),
            ("worker", self._analyse()),
            *(
                (f"delivery {delivery.name}", self._deliver(delivery, wanted))
                for delivery, wanted in zip(self.deliveries, self._outgoing, strict=True)
            ),
        ]
        loop = asyncio.get_running_loop()
        for delivery, wanted in zip(self.deliveries, self._outgoing, strict=True):
            delivery.tell(partial(wake, loop, wanted))
        try:
            async with asyncio.TaskGroup() as group:
                for name, part in parts:
                    group.create_task(self._watched(name, part))
        except BaseExceptionGroup as errors:
            raise_first(errors)
        finally:
            for delivery in self.deliveries:
                delivery.close()
            if self._telling is not None:
                self._telling.close()
        if dry:
            await self._tidy_up()

    def stalled(self) -> list[str]:
        """List the parts that have not moved for too long, for people."""
        return [f"{self.name}: {part}" if self.name else part for part in self.progress.stalled()]

    def problems(self) -> list[str]:
        """Say what keeps inputs from being read and records from being delivered, one line each."""
        lines = [line for source in self.sources for line in source.problems()]
        if self._telling is not None and self._telling.problem is not None:
            lines.append(self._telling.problem)
        return lines + [delivery.fault for delivery in self.deliveries if delivery.fault is not None]

    async def _watched(self, name: str, part: Coroutine[None, None, None]) -> None:
        """Run a part; what it raises on purpose explains itself, and anything else is a fault of ours."""
        try:
            await part
        except AgentError:
            raise
        except Exception as error:
            logger.error("shard.failed", shard=self.name, part=name, error=repr(error))
            raise

    # Taking in

    async def _take_in(self, source: Source) -> None:
        part, faults = self._part_of(source), 0

        def note(taken: Taken) -> None:
            self.progress.mark(part)
            self._note(taken)

        while not self._stop.is_set():
            began = self._clock()
            try:
                await source.run(self._stop, note, dry=self._dry)
            except LedgerError as error:
                faults = 0 if self._clock() - began > _RETRY_S[-1] else faults
                faults = await self._wait_out(part, error, faults)
                continue
            if self._dry:
                break
            if not self._stop.is_set():
                raise RuntimeError(f"{part}: ended before it was told to")
        self._reading -= 1
        self._work.set()

    def _note(self, taken: Taken) -> None:
        """Take notice of what a source has handed over."""
        admitted = taken.admitted
        self.taken = Taken(self.taken.bytes_read + taken.bytes_read, self.taken.admitted + admitted)
        if admitted.quarantined:
            self._tell_refused(admitted.quarantined)
        if admitted.redelivered_scans:
            logger.info("scan.redelivered", scans=admitted.redelivered_scans, findings=admitted.redelivered_findings)
        if admitted.scans or admitted.findings:
            self._work.set()
        self._told()

    def _tell_refused(self, pieces: int) -> None:
        """Name what went to quarantine, the first few of many."""
        with contextlib.suppress(LedgerError):  # it is there to be read later
            for row in reversed(self.ledger.quarantine.rows(limit=min(pieces, _NAMED))):
                logger.warning("input.refused", source=row.source, reason=row.reason, detail=row.detail)
        logger.warning(
            "input.quarantined",
            pieces=pieces,
            see=f"sysscan-agent ledger quarantine list --state-dir {self.ledger.database.path.parent}",
        )

    def _part_of(self, source: Source) -> str:
        return f"source {source.name}"

    # Working

    async def _analyse(self) -> None:
        faults = 0
        self.progress.mark("worker")
        while not self._stop.is_set():
            self._work.clear()
            # Asked before the step, which may find what they left.
            last = self._dry and not self._reading and not self._untold
            try:
                busy = self.worker.step()
                if not busy and self._untidy and not last:
                    self._untidy = self.ledger.idle()
                    if not self._untidy:
                        self.worker.tidy()
            except LedgerError as error:
                faults = await self._wait_out("worker", error, faults)
                continue
            faults = 0
            self.progress.mark("worker")
            if busy:
                self._untidy = True
                self._tell_deliveries()
            elif last:
                break
            if self.worker.awaited.waiting:
                await self.worker.awaited.rest()
            elif busy or self._untidy:
                await asyncio.sleep(0)
            else:
                await wait_for_any(_POLL_S, self._work, self._stop)
        self._worked_off = True
        self._tell_deliveries()

    async def _tell_verdicts(self, telling: Telling) -> None:
        """Tell of verdicts as they are given; the first look comes before any scan is taken in."""
        faults = 0
        while not self._stop.is_set() and not self._worked_off:
            try:
                told = telling.step()
            except LedgerError as error:
                faults = await self._wait_out("verdicts", error, faults)
                continue
            faults = 0
            self.progress.forget("verdicts")  # marked while it waited for the disk
            if told:
                self._tell_deliveries()
                await asyncio.sleep(0)
            else:
                self._untold = False
                self._work.set()
                await wait_for_any(_POLL_S, self._stop)

    def _tell_deliveries(self) -> None:
        for wanted in self._outgoing:
            wanted.set()

    async def _deliver(self, delivery: Delivering, wanted: asyncio.Event) -> None:
        part, faults, moved_at = f"delivery {delivery.name}", 0, self._clock()
        stopped_at: float | None = None
        while True:
            wanted.clear()
            last = self._worked_off
            try:
                busy = delivery.step()
                # Not only when there is nothing else to do, which may be never.
                if busy and self.ledger.outbox.prune(BATCH_ROWS):
                    self._room.set()
            except LedgerError as error:
                faults = await self._wait_out(part, error, faults)
                continue
            faults = 0
            self.progress.mark(part)
            if self._stop.is_set():
                stopped_at = self._clock() if stopped_at is None else stopped_at
            if stopped_at is not None and self._clock() - stopped_at >= _STOP_S:
                return
            if busy:
                HEAP.use()
                self._untidy = True  # the worker sees to it when nothing else has come for a moment
                moved_at = self._clock()
                await asyncio.sleep(0)
            elif last and not self._worth_waiting_for(delivery, moved_at):
                return
            else:
                if delivery.starved:
                    self._spare(_FOR_A_SINK)
                await wait_for_any(_POLL_S, wanted, self._stop)

    def _worth_waiting_for(self, delivery: Delivering, moved_at: float) -> bool:
        """Say whether a sink may yet make durable what it holds; told to stop, nobody waits for that."""
        unsettled = delivery.held > 0 or ((delivery.recovering or delivery.unfinished) and not delivery.failing)
        return unsettled and not self._stop.is_set() and self._clock() - moved_at < _HELD_S

    async def _wait_out(self, part: str, error: LedgerError, faults: int) -> int:
        """Wait for a disk that is full or fails just now; a ledger that is damaged ends the run, as any fault does
        at its end."""
        if not error.transient or self._stop.is_set() or self._dry:
            raise error
        if is_shortage(error) and self._spare(_FOR_A_PROCESS):
            await asyncio.sleep(0)  # and at once, before a source takes them again
            return faults + 1
        delay = _RETRY_S[min(faults, len(_RETRY_S) - 1)]
        logger.error("ledger.failed", part=part, error=str(error), retry_in_s=delay)
        self.progress.mark(part)  # it waits for a person; a restart would not help
        with contextlib.suppress(LedgerError):
            self.worker.tidy()
        if dropped := self.ledger.make_room():
            logger.warning("review.dropped", findings=dropped, reason="the disk is full; to deliver comes before")
            await asyncio.sleep(0)
            return faults + 1
        breath = min(delay, _BREATH_S)
        await wait_for_any(breath, self._stop)
        self._room.clear()
        await wait_for_any(delay - breath, self._stop, self._room)
        return faults + 1

    def _spare(self, most: int) -> bool:
        """Have the sources close files that they can open again, where others ran out of descriptors.

        Returns:
            Whether there were any.
        """
        released = [source.release() for source in self.sources for _ in range(most)]
        return any(released)

    async def _tidy_up(self) -> None:
        while self.ledger.idle():
            await asyncio.sleep(0)
        self.worker.tidy()


def raise_first(errors: BaseExceptionGroup[BaseException]) -> NoReturn:
    """Raise the first of the errors that ended a group of tasks: it is the cause, and what people are told."""
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    raise first from None
