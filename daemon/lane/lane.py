"""One partition of the input topic while it is ours: acquired, decided on, read, worked on and delivered."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import TypeVar

from daemon.capacity import Capacity
from daemon.lane.counts import Counts
from daemon.lane.delivery import LaneLost
from daemon.lane.home import Home, furnish
from daemon.lane.mark import Kind, Mark, decide
from daemon.lane.port import Acquired, Client, Verdicts
from daemon.lane.rebuild import ledger_dir, open_ledger, put_aside, rebuild
from daemon.lane.transaction import SINK, carried, held_by
from daemon.ledger.lane import LaneStore
from daemon.ledger.ledger import Ledger
from daemon.log import get_logger
from daemon.parser import DocumentParser
from daemon.settings import Settings
from daemon.shard import Shard
from daemon.waiting import wait_for_any, wake
from pipeline.errors import ConfigError, LedgerError, SinkError
from pipeline.graph.resources import Resources
from pipeline.review.chain import Head
from pipeline.review.log import FILE_NAME as VERDICTS
from pipeline.review.log import head_at

logger = get_logger(__name__)

T = TypeVar("T")

_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_DRY_FAULTS = 2  # a run that is to end by itself tries no more often
_SETTLE_S = 5.0  # for the transaction under way, when the partition is left


class Halted(ConfigError):
    """Raised when a partition is not gone on with until a person has looked; the others are not concerned."""


class Unfinished(SinkError):
    """Raised when a run that was to end by itself has left something undelivered."""


class Lane:
    """Attributes:
    partition: its number.
    counts: what has happened to it.
    quarantined: pieces that could not be used, by the end of the last shard.
    """

    def __init__(
        self,
        partition: int,
        settings: Settings,
        resources: Resources,
        client: Client,
        capacity: Capacity,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        verdicts: Verdicts | None = None,
        parser: DocumentParser | None = None,
    ) -> None:
        """Args:
        capacity: shared by all lanes of the process.
        clock, wall: monotonic seconds, and seconds since the epoch.
        verdicts: follows the log that all workers share; None takes the file for all there is.
        parser: reads large documents, for all partitions; None has them read here.
        """
        self._capacity = capacity
        self.partition = partition
        self._verdicts = verdicts
        self._parser = parser
        self.counts = Counts()
        self._settings = settings
        self._resources = resources
        self._client = client
        self._clock = clock
        self._wall = wall
        self.quarantined = 0
        self._home: Home | None = None
        self._problem: str | None = "not acquired yet"
        self._resend = 0  # position up to which records are sent again, because the brokers have lost them
        self._dir = ledger_dir(settings.state_dir, settings.kafka.input_topic, partition)

    @property
    def name(self) -> str:
        """Name it, for people."""
        return f"{self._settings.kafka.input_topic}/{self.partition}"

    @property
    def shard(self) -> Shard | None:
        """Give the shard while there is one."""
        return self._home.shard if self._home is not None else None

    def replace(self, resources: Resources) -> None:
        """Work with other resources from the next scan on."""
        self._resources = resources
        if self._home is not None:
            self._home.replace(resources)

    def all_in_use(self) -> tuple[Resources, ...]:
        """Give what the scan in hand, and the next one, is worked on with."""
        return self._home.shard.worker.all_in_use() if self._home is not None else ()

    def lag(self) -> tuple[int, int] | None:
        """Count the records that are not read, and those that are not delivered; None before that is known."""
        home, end = self._home, self._client.mailbox(self.partition).end
        position = home.store.position() if home is not None else None
        if home is None or position is None or not end:
            return None
        return max(0, end - position.next), max(0, end - home.delivery.mark.offset)

    def leave(self) -> None:
        """Begin no more transactions: the partition is another's."""
        if self._home is not None:
            self._home.delivery.leave()

    def problems(self) -> list[str]:
        """Say what keeps it from working."""
        return [] if self._problem is None else [f"kafka {self.name}: {self._problem}"]

    async def run(self, stop: asyncio.Event, told: Callable[[], None], *, dry: bool = False) -> None:
        """Work on the partition until told to stop, or, if `dry`, until all that was there is delivered.

        Raises:
            LedgerError: when its ledger is damaged.
            ConfigError: what a person must change.
        """
        faults = 0
        while not stop.is_set():
            try:
                home = await self._open(stop)
                if home is None:
                    return
                faults = 0
                await self._work(home, stop, told, dry)
                return
            except LaneLost as error:
                logger.warning("partition.lost", partition=self.name, reason=str(error))
            except (SinkError, LedgerError) as error:
                if isinstance(error, LedgerError) and not error.transient:
                    raise
                if isinstance(error, Unfinished) or (dry and faults >= _DRY_FAULTS):
                    raise
                delay = _DELAYS_S[min(faults, len(_DELAYS_S) - 1)]
                if self._problem != str(error):
                    logger.error("partition.not_acquired", partition=self.name, error=str(error), retry_in_s=delay)
                self._problem = str(error)
                told()
                faults += 1
                await wait_for_any(delay, stop)
            except Halted as error:
                self._problem = str(error)
                logger.error("partition.halted", partition=self.name, reason=str(error))
                told()
                if dry:
                    raise
                while not stop.is_set():
                    await wait_for_any(1.0, stop)
            finally:
                if self._home is not None:
                    self._home.close()
                    self._home = None
        await self._await(self._client.leave(self.partition), stop, anyway=True)

    # Acquiring

    async def _open(self, stop: asyncio.Event) -> Home | None:
        since = 0.0
        while not self._client.confirmed(since):
            await wait_for_any(0.2, stop)
            if stop.is_set():
                return None
        acquired = await self._await(self._client.acquire(self.partition), stop)
        if acquired is None:
            return None
        self._refuse_other_count(acquired)
        if not await self._has_verdicts(acquired.mark.told if acquired.mark is not None else Head(), stop):
            return None
        ledger = self._own_ledger()
        try:
            kind = decide(acquired.mark, None if ledger is None else held_by(ledger, SINK, acquired.mark))
            if kind == "lost":
                assert ledger is not None
                self._lost(ledger, acquired)
            elif kind in ("stale", "restored", "rebuilt"):
                if ledger is not None:
                    ledger.close()
                    ledger = None
                    put_aside(self._dir)
                if not await self._rebuild(acquired, stop):
                    return None
            if ledger is None:
                ledger = self._make_ledger()
            self.counts.acquisitions[kind] += 1
            logger.info("partition.acquired", partition=self.name, kind=kind)
            home = await self._furnish(ledger, acquired, kind, stop)
        except BaseException:
            if ledger is not None:
                ledger.close()
            raise
        if home is None:
            ledger.close()
            return None
        self._home = home
        self._problem = None
        return home

    async def _has_verdicts(self, told: Head, stop: asyncio.Event) -> bool:
        """Wait for all verdicts that scans of this partition were judged with, wherever; False where there was no time.

        Raises:
            SinkError: when they are not there just now.
        """
        verdicts = self._verdicts
        while verdicts is not None and not verdicts.looked:
            await wait_for_any(0.05, stop)
            if stop.is_set():
                return False
        if verdicts is not None and verdicts.conflict is not None:
            raise SinkError(verdicts.conflict)
        path = self._settings.state_dir / VERDICTS
        try:
            lacks = bool(told.seq) and head_at(path, told.seq) != told
        except LedgerError as error:
            if verdicts is None:
                raise
            topic = self._settings.kafka.verdicts_topic
            raise SinkError(f"{path}: cannot be read; it is a copy of kafka {topic}, and is read anew") from error
        if lacks:
            raise SinkError(
                f"scans of it were judged with the verdicts up to {told.seq}, which {path} does not have"
                + (f": {verdicts.problem}" if verdicts is not None and verdicts.problem is not None else " yet")
            )
        return True

    def _refuse_other_count(self, acquired: Acquired) -> None:
        before = acquired.mark.partitions if acquired.mark is not None else 0
        if before and before != acquired.partitions:
            raise Halted(
                f"the topic has {acquired.partitions} partitions and had {before}: hosts are in other ones now; see "
                "`sysscan-agent kafka adopt-partitions`"
            )

    def _own_ledger(self) -> Ledger | None:
        return self._make_ledger() if (self._dir / "ledger.db").exists() else None

    def _make_ledger(self) -> Ledger:
        return open_ledger(self._dir, self._settings, self._wall)

    def _lost(self, ledger: Ledger, acquired: Acquired) -> None:
        """Answer for brokers that know of less than they had confirmed."""
        through = acquired.mark.through if acquired.mark is not None else 0
        mine = ledger.outbox.sinks().get(SINK, 0)
        first = ledger.outbox.first()
        if self._settings.kafka.on_loss == "stop":
            raise Halted(
                f"the brokers have lost what they had confirmed: records {through + 1} to {mine} of this ledger; start "
                'with kafka.on_loss = "resend" to send those again that are still here'
            )
        kept = max(through, first - 1)
        ledger.outbox.lower(SINK, kept)
        self._resend = mine
        logger.error(
            "partition.resent", partition=self.name, resent=mine - kept, gone=kept - through,
            reason="the brokers have lost what they had confirmed",
        )  # fmt: skip

    async def _rebuild(self, acquired: Acquired, stop: asyncio.Event) -> bool:
        assert acquired.mark is not None
        states = await self._await(self._client.states(self.partition), stop)
        if states is None:
            return False
        hosts = rebuild(self._dir, self._settings, self.partition, acquired.mark, states, self._wall)
        logger.info("partition.rebuilt", partition=self.name, hosts=hosts, offset=acquired.mark.offset)
        return True

    async def _furnish(self, ledger: Ledger, acquired: Acquired, kind: Kind, stop: asyncio.Event) -> Home | None:
        settings = self._settings
        ledger.outbox.register(SINK)
        store = LaneStore(ledger, settings.kafka.input_topic, self.partition)
        mark = acquired.mark
        if mark is not None and kind in ("own", "adopted"):
            # Also where the position is the same: a transaction may have had dead letters alone.
            store.delivered(SINK, mark.through, mark.letters, mark.metadata())
            store.take_told(mark.told, mark.through)
        if mark is None:
            mark = Mark(acquired.first, ledger.identity(), partitions=acquired.partitions)
        if kind == "lost":
            mark = replace(mark, through=ledger.outbox.sinks()[SINK])
        elif mark.ledger != ledger.identity():
            mark = carried(mark, ledger.identity())
        if not await self._check_place(store, acquired, mark, stop):
            return None
        position = store.position()
        assert position is not None
        await self._await(self._client.read(self.partition, position.next), stop)
        return furnish(
            self._dir, settings, self._resources, self._capacity, self._client, self.partition, ledger, store, acquired,
            mark, self.counts, self._clock, resend=self._resend, parser=self._parser,
        )  # fmt: skip

    async def _check_place(self, store: LaneStore, acquired: Acquired, mark: Mark, stop: asyncio.Event) -> bool:
        """See that the topic is the one that was read, and say where to go on; False where there was no time for it.

        Raises:
            Halted: when it is another one.
        """
        position = store.position()
        seen = (position.last, position.digest) if position is not None else mark.seen
        at = position.next if position is not None else mark.offset
        reason = None
        if at > acquired.end:
            reason = f"it ends at {acquired.end}, and {at} records of it were read"
        elif seen[0] >= acquired.first and seen[1]:
            future = self._client.peek(self.partition, seen[0])
            digest = await self._await(future, stop)
            if digest is None and not future.done():
                return False
            if digest != seen[1]:
                reason = f"its record {seen[0]} is not the one that was read"
        if reason is None:
            if position is None:
                store.begin_at(at)
            return True
        if self._settings.kafka.on_recreated == "stop":
            raise Halted(
                f'the topic was made anew or cut: {reason}; start with kafka.on_recreated = "restart" to begin with it '
                "anew"
            )
        logger.error("partition.restarted", partition=self.name, reason=reason, at=acquired.first)
        store.restart(acquired.first)
        return True

    # Working

    async def _work(self, home: Home, stop: asyncio.Event, told: Callable[[], None], dry: bool) -> None:
        try:
            await home.shard.run(stop, told, dry=dry)
            if dry and not stop.is_set():
                _refuse_unfinished(home.shard, self.name)
        finally:
            self.quarantined = home.shard.taken.admitted.quarantined
            home.delivery.leave()
            ends = self._clock() + _SETTLE_S
            while home.delivery.held and self._clock() < ends:
                if not home.delivery.step():
                    await asyncio.sleep(0.01)

    async def _await(self, future: "Future[T]", stop: asyncio.Event, *, anyway: bool = False) -> T | None:
        """Wait for what the client does; None where it was time to stop before."""
        done = asyncio.Event()
        future.add_done_callback(partial(_told, asyncio.get_running_loop(), done))
        while not future.done():
            if stop.is_set() and not anyway:
                return None
            await (asyncio.sleep(0.01) if stop.is_set() else wait_for_any(0.5, done, stop))
        return future.result()


def _refuse_unfinished(shard: Shard, name: str) -> None:
    """See that a run which ends by itself has left nothing undelivered.

    Raises:
        Unfinished: says what it has left, and why.
    """
    for delivery in shard.deliveries:
        if delivery.fault is not None:
            raise Unfinished(f"{name}: {delivery.fault}; the findings wait in the ledger")
        if delivery.recovering or delivery.held or delivery.unfinished:
            raise Unfinished(f"{name}: {delivery.name} does not answer; the findings wait in the ledger")
    for line in shard.problems():
        raise Unfinished(line)


def _told(loop: asyncio.AbstractEventLoop, done: asyncio.Event, _: object) -> None:
    wake(loop, done)
