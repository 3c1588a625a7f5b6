"""All partitions of a process: lanes that come with an assignment and go with it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from daemon.capacity import Capacity
from daemon.lane.lane import Lane, Unfinished
from daemon.lane.port import Client, Verdicts
from daemon.log import get_logger
from daemon.metrics import Metrics
from daemon.parser import DocumentParser
from daemon.settings import Settings
from daemon.shard import Shard
from daemon.waiting import wait_for_any, wake
from pipeline.graph.resources import Resources

logger = get_logger(__name__)

_LOOK_S = 1.0


@dataclass(slots=True)
class _Running:
    lane: Lane
    task: "asyncio.Task[None]"
    stop: asyncio.Event


class Lanes:
    """A `daemon.crew.Crew` with a lane for each partition that is ours.

    Attributes:
        quarantined: pieces that lanes which have ended could not use.
    """

    def __init__(
        self,
        settings: Settings,
        resources: Resources,
        client: Client,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        verdicts: Verdicts | None = None,
        parser: DocumentParser | None = None,
    ) -> None:
        """Args:
        clock: monotonic seconds; `wall`: seconds since the epoch.
        verdicts: follows the log that all workers share; None takes the file here for all there is.
        parser: reads large documents, for all of them; whoever gives it closes it.
        """
        self._verdicts = verdicts
        self._parser = parser
        self._settings = settings
        self._resources = resources
        self._client = client
        self._clock = clock
        self._wall = wall
        self._capacity = Capacity()
        self._running: dict[int, _Running] = {}
        self.quarantined = 0

    @property
    def lanes(self) -> list[Lane]:
        """Give those that are there, in order of their partitions."""
        return [self._running[partition].lane for partition in sorted(self._running)]

    @property
    def resources(self) -> Resources:
        """Give what the next scan of every partition is worked on with."""
        return self._resources

    def replace(self, resources: Resources) -> None:
        """Work with other resources, each partition from its next scan on."""
        self._resources = resources
        for lane in self.lanes:
            lane.replace(resources)

    def all_in_use(self) -> Iterable[Resources]:
        """Give what scans in hand, and the next ones, are worked on with."""
        return [self._resources, *(one for lane in self.lanes for one in lane.all_in_use())]

    def shards(self) -> Sequence[Shard]:
        """Give the shards of partitions that are acquired."""
        return [lane.shard for lane in self.lanes if lane.shard is not None]

    @property
    def ready(self) -> bool:
        """Say whether all partitions that are ours are acquired."""
        assigned = self._client.assigned()
        return assigned is not None and all(
            partition in self._running and self._running[partition].lane.shard is not None for partition in assigned
        )

    def problems(self) -> list[str]:
        """Say what keeps partitions from being read."""
        lines = [] if self._client.fault is None else [self._client.fault]
        assigned = self._client.assigned()
        if assigned is None and not lines:
            lines.append(f"kafka {self._settings.kafka.input_topic}: no partitions are assigned yet")
        if self._verdicts is not None and self._verdicts.problem is not None:
            lines.append(self._verdicts.problem)
        return lines + [line for lane in self.lanes for line in lane.problems()]

    def summary(self) -> list[str]:
        """Say how many partitions there are, and how far behind they are."""
        lags = [lag for lane in self.lanes if (lag := lane.lag()) is not None]
        said = [f"{len(self.shards())} partitions", f"{sum(lag[0] for lag in lags):,} records to read"]
        if self._verdicts is not None and self._verdicts.absent:
            said.append(f"no verdicts: there is no topic {self._settings.kafka.verdicts_topic}")
        return said

    def measure(self, metrics: Metrics) -> None:
        """Set what is known of each partition."""
        if self._verdicts is not None:
            metrics.strange.set(self._verdicts.strange)
        metrics.lag.samples.clear()  # of partitions that others have by now
        for lane in self.lanes:
            counts, label = lane.counts, str(lane.partition)
            lag = lane.lag()
            if lag is not None:
                metrics.lag.set(lag[0], partition=label, by="position")
                metrics.lag.set(lag[1], partition=label, by="delivery")
            for kind, number in counts.acquisitions.items():
                metrics.acquisitions.set(number, partition=label, kind=kind)
            metrics.fenced.set(counts.fenced, partition=label)
            metrics.transactions.set(counts.transactions, partition=label)
            metrics.transaction_s.set(counts.transaction_s, partition=label)
            metrics.letters.set(counts.letters, partition=label)
            metrics.gaps.set(counts.gaps, partition=label)
            metrics.paused_s.set(counts.paused_s, partition=label)

    async def run(self, stop: asyncio.Event, told: Callable[[], None], *, dry: bool = False) -> None:
        """Run lanes as partitions are assigned, until told to stop, or, if `dry`, until those that are assigned first
        are done.

        Raises:
            AgentError: what ended a lane, or what makes it pointless to go on.
        """
        changed = asyncio.Event()
        tell = partial(wake, asyncio.get_running_loop(), changed)
        self._client.start(tell)
        if self._verdicts is not None:
            self._verdicts.start(tell)
        done: set[int] = set()
        try:
            while not stop.is_set():
                changed.clear()
                failure = self._client.failure()
                if failure is not None:
                    raise failure
                self._bring_in_line(told, changed, done, dry)
                done |= self._reap()
                told()
                assigned = self._client.assigned()
                if dry and assigned is None and self._client.fault is not None:
                    raise Unfinished(self._client.fault)
                if dry and assigned is not None and not self._running and done >= assigned:
                    break
                await wait_for_any(_LOOK_S, changed, stop)
        finally:
            await self._end_all()
            await asyncio.to_thread(self._client.stop)
            if self._verdicts is not None:
                await asyncio.to_thread(self._verdicts.stop)

    def _bring_in_line(self, told: Callable[[], None], changed: asyncio.Event, done: set[int], dry: bool) -> None:
        assigned = self._client.assigned()
        if assigned is None:
            return
        for partition, running in self._running.items():
            if partition not in assigned and not running.stop.is_set():
                logger.info("partition.revoked", partition=running.lane.name)
                running.lane.leave()
                running.stop.set()
        for partition in sorted(assigned - self._running.keys() - (done if dry else set())):
            lane = Lane(
                partition, self._settings, self._resources, self._client, self._capacity, self._clock, self._wall,
                self._verdicts, self._parser,
            )  # fmt: skip
            leave = asyncio.Event()
            task = asyncio.ensure_future(lane.run(leave, told, dry=dry))
            task.add_done_callback(lambda _: changed.set())
            self._running[partition] = _Running(lane, task, leave)

    def _reap(self) -> set[int]:
        """Forget lanes that have ended; what one raised ends all."""
        ended = {partition for partition, running in self._running.items() if running.task.done()}
        for partition in ended:
            running = self._running.pop(partition)
            running.task.result()
            self.quarantined += running.lane.quarantined
        return ended

    async def _end_all(self) -> None:
        for running in self._running.values():
            running.stop.set()
        tasks = [running.task for running in self._running.values()]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                logger.error("lane.failed", error=repr(result))
