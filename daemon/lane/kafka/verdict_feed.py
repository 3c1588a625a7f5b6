"""Follows the topic of verdicts into a file, which the lanes of the process read as the daemon of a directory does."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from daemon.lane.kafka.thread import LoopThread
from daemon.lane.kafka.verdict_topic import Chain, is_there, open_consumer
from daemon.log import get_logger
from daemon.sinks.kafka.access import stop, told
from daemon.sinks.kafka.settings import KafkaSettings
from pipeline.errors import LedgerError, SinkError
from pipeline.review.chain import Head
from pipeline.review.log import VerdictLog

logger = get_logger(__name__)

_POLL_MS = 5_000
_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # after faults in a row
_ABSENT_S = 10.0  # until it is looked for again


class VerdictFeed:
    """Implements `daemon.lane.port.Verdicts`; it has a thread and a consumer of its own, and writes the file there."""

    def __init__(self, settings: KafkaSettings, path: Path) -> None:
        """Nothing is connected before `start`. Args: `path`: of the copy."""
        self._settings = settings
        self._path = path
        self._thread: LoopThread | None = None
        self._following: asyncio.Task[None] | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._log: VerdictLog | None = None
        self._changed: Callable[[], None] = _nobody
        # Read by the other thread; each is replaced as a whole.
        self._looked = False
        self._absent = False
        self._problem: str | None = None
        self._conflict: str | None = None

    # From the other thread

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to follow."""
        self._changed = changed
        self._thread = LoopThread("verdicts")
        self._thread.call(self._begin())

    @property
    def looked(self) -> bool:
        """Say whether the copy is as far as the topic was a moment ago, or there is nothing to be had just now."""
        return self._looked

    @property
    def absent(self) -> bool:
        """Say whether there is no such topic."""
        return self._absent

    @property
    def problem(self) -> str | None:
        """Say what keeps verdicts from coming in, or None."""
        return self._conflict or self._problem

    @property
    def conflict(self) -> str | None:
        """Say why the copy is not one of the topic, or None: then nothing is to be judged by it."""
        return self._conflict

    def stop(self) -> None:
        """Disconnect, and end the thread."""
        self._changed = _nobody
        if self._thread is not None:
            self._thread.end(self._end())

    # On the thread

    async def _begin(self) -> None:
        self._following = asyncio.ensure_future(self._follow())

    async def _end(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._drop()
        if self._log is not None:
            self._log.close()

    async def _follow(self) -> None:
        faults = 0
        while True:
            try:
                with told(self._settings, "do not give verdicts", (self._settings.verdicts_topic,)):
                    if await is_there(self._settings):
                        self._absent = False
                        await self._read()
                    self._miss()
                    delay, faults = _ABSENT_S, 0
            except (SinkError, LedgerError) as error:
                delay = _DELAYS_S[min(faults, len(_DELAYS_S) - 1)]
                faults = 0 if self._problem is None else faults + 1
                self._say(str(error))
            finally:
                await self._drop()
            await asyncio.sleep(delay)

    async def _read(self) -> None:
        """Read from the beginning, and on; returns when there is no such topic any more."""
        self._consumer, place = await open_consumer(self._settings)
        chain, before = Chain(), self._head()  # the copy before the end is asked for: others add to both
        end = (await self._consumer.end_offsets([place]))[place]
        while await self._consumer.position(place) < end:
            await self._take(chain, place, 500)
        if before.seq > chain.head.seq:
            self._contradict(
                f"{self._path} has verdicts up to {before.seq}, and kafka {place.topic} only up to {chain.head.seq}; "
                "`sysscan-agent kafka verdicts --restore` sends them there, if they are to count; or move the file"
            )
            raise SinkError(self._conflict or "")
        self._conflict = None
        while True:
            self._looked = True
            self._say(_passed_over(place, chain))
            await self._take(chain, place, _POLL_MS)

    async def _take(self, chain: Chain, place: TopicPartition, wait_ms: int) -> None:
        consumer = self._consumer
        assert consumer is not None
        for records in (await consumer.getmany(place, timeout_ms=wait_ms)).values():
            rows = [row for record in records if (row := chain.take(record)) is not None]
            if not rows:
                continue
            known = self._head()
            try:
                self._opened().copy(rows)
            except LedgerError as error:
                if not error.transient:
                    self._contradict(f"kafka {place.topic}: {error}; move the file away if the topic is right")
                raise
            if rows[-1].seq > known.seq:
                logger.info("verdicts.copied", upto=rows[-1].seq)
                self._changed()

    def _head(self) -> Head:
        if self._log is None and not self._path.exists():
            return Head()
        return self._opened().head()

    def _opened(self) -> VerdictLog:
        if self._log is None:
            self._log = VerdictLog.open(self._path)
        return self._log

    def _miss(self) -> None:
        """Note that there is no such topic."""
        head = self._head()
        if head.seq:
            self._contradict(
                f"{self._path} has verdicts up to {head.seq}, and kafka {self._settings.verdicts_topic} is not there; "
                "`sysscan-agent kafka topics --create` makes it, and `sysscan-agent kafka verdicts --restore` sends "
                "them there"
            )
        if not self._absent:
            logger.warning(
                "verdicts.no_topic", topic=self._settings.verdicts_topic, advice="sysscan-agent kafka topics --create",
                effect="no verdict of a reviewer counts",
            )  # fmt: skip
        self._absent = True
        self._say(None)

    def _contradict(self, reason: str) -> None:
        if reason != self._conflict:
            logger.error("verdicts.not_the_same", reason=reason)
        self._conflict = reason

    def _say(self, problem: str | None) -> None:
        if problem is not None and problem not in (self._problem, self._conflict):
            logger.error("verdicts.not_followed", reason=problem)
        self._problem = problem
        if not self._looked or problem is not None:
            self._changed()
        self._looked = True

    async def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(Exception):
                await stop(consumer)


def _passed_over(place: TopicPartition, chain: Chain) -> str | None:
    if not chain.passed_over:
        return None
    return (
        f"kafka {place.topic}: {chain.passed_over} records from offset {chain.first} on are no verdicts that follow "
        f"verdict {chain.head.seq}, and do not count: only reviewers may write there, and nothing may be deleted"
    )


def _nobody() -> None:
    """Tell nobody."""
