"""Follows the topic of verdicts into a file, which the lanes of the process read as the daemon of a directory does."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from daemon.lane.kafka.thread import LoopThread
from daemon.lane.kafka.verdict_topic import Chain, is_there, open_consumer, passed_over
from daemon.lane.verdict_copy import NewCopy, Signature, damage_of, put_aside, signature
from daemon.log import get_logger
from daemon.sinks.kafka.access import stop, told
from daemon.sinks.kafka.settings import KafkaSettings
from pipeline.errors import LedgerError, SinkError
from pipeline.review.chain import Head, Row
from pipeline.review.log import VerdictLog

logger = get_logger(__name__)

_POLL_MS = 1_000  # as often the copy is looked at
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
        self._seen: Signature | None = None  # of the copy, as we left it
        self._changed: Callable[[], None] = _nobody
        # Read by the other thread; each is replaced as a whole.
        self._looked = False
        self._absent = False
        self._strange = 0
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
    def strange(self) -> int:
        """Count the records of the topic that are no verdicts which follow the one before."""
        return self._strange

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

    async def _follow(self) -> None:
        faults = 0
        while True:
            try:
                with told(self._settings, "do not give verdicts", (self._settings.verdicts_topic,)):
                    there = await is_there(self._settings)
                    if there:
                        self._absent = False
                        await self._read()
                    else:
                        self._miss()
                    delay, faults = 0.0 if there else _ABSENT_S, 0
            except (SinkError, LedgerError) as error:
                delay = _DELAYS_S[min(faults, len(_DELAYS_S) - 1)]
                faults = 0 if self._problem is None else faults + 1
                self._say(str(error))
            finally:
                self._close()  # it may be moved, or removed
                await self._drop()
            await asyncio.sleep(delay)

    async def _read(self) -> None:
        """Read from the beginning, and on; returns when the copy is to be read anew."""
        self._consumer, place = await open_consumer(self._settings)
        consumer, chain = self._consumer, Chain()
        self._put_damaged_aside()
        before = self._head()  # the copy before the end is asked for: others add to both
        new = NewCopy(self._path) if not before.seq else None
        end = (await consumer.end_offsets([place]))[place]
        consumer.resume(place)
        try:
            while await consumer.position(place) < end:
                rows = await self._fetch(chain, place, 500)
                if rows and new is not None:
                    new.add(rows)
                elif rows:
                    self._copy(rows, place)
            if new is not None:
                self._close()  # of the one that it takes the place of
                new.finish()
        finally:
            if new is not None:
                new.drop()
        self._contradicted(place, chain, before)
        if new is not None and chain.head.seq:
            logger.info("verdicts.copied", upto=chain.head.seq)
            self._changed()
        self._seen = signature(self._path)
        while True:
            self._looked, self._strange = True, chain.passed_over
            self._say(passed_over(place.topic, chain))
            rows = await self._fetch(chain, place, _POLL_MS)
            if self._is_lost():
                return
            if rows:
                self._copy(rows, place)
                self._seen = signature(self._path)

    def _contradicted(self, place: TopicPartition, chain: Chain, before: Head) -> None:
        """See that the copy has nothing that the topic lacks.

        Raises:
            SinkError: when it has; then it is for a person to say which counts.
        """
        if before.seq > chain.head.seq:
            self._contradict(
                f"{self._path} has verdicts up to {before.seq}, and kafka {place.topic} only up to {chain.head.seq}; "
                "`sysscan-agent kafka verdicts --restore` sends them there, if they are to count; or move the file"
            )
            raise SinkError(self._conflict or "")
        self._conflict = None

    async def _fetch(self, chain: Chain, place: TopicPartition, wait_ms: int) -> list[Row]:
        consumer = self._consumer
        assert consumer is not None
        fetched = await consumer.getmany(place, timeout_ms=wait_ms)
        return [row for records in fetched.values() for one in records if (row := chain.take(one)) is not None]

    def _copy(self, rows: Sequence[Row], place: TopicPartition) -> None:
        known = self._head()
        try:
            self._opened().copy(rows)
        except LedgerError as error:
            if error.transient:
                raise
            if damage_of(self._path) is not None:
                raise SinkError(f"{self._path}: damaged, and read anew from kafka {place.topic}") from error
            self._contradict(f"kafka {place.topic}: {error}; move the file away if the topic is right")
            raise
        if rows[-1].seq > known.seq:
            logger.info("verdicts.copied", upto=rows[-1].seq)
            self._changed()

    def _put_damaged_aside(self) -> None:
        damage = damage_of(self._path)
        if damage is not None:
            self._close()
            self._tell_lost(damage, moved_to=str(put_aside(self._path)))

    def _is_lost(self) -> bool:
        """Look whether the copy is still the one that we write, and whole; if not, it is to be read anew."""
        now = signature(self._path)
        if now == self._seen:
            return False
        if self._seen is not None and (now is None or now[:2] != self._seen[:2]):
            self._tell_lost("it is gone" if now is None else "another file has its name")
            self._close()
            return True
        if damage_of(self._path) is not None:  # told of when it is moved aside
            return True
        self._seen = now  # somebody else has added to it, as commands do
        return False

    def _tell_lost(self, reason: str, **more: str) -> None:
        topic = self._settings.verdicts_topic
        logger.error("verdicts.read_anew", path=str(self._path), reason=reason, source=f"kafka {topic}", **more)

    def _head(self) -> Head:
        if self._log is None and not self._path.exists():
            return Head()
        return self._opened().head()

    def _opened(self) -> VerdictLog:
        if self._log is None:
            self._log = VerdictLog.open(self._path)
        return self._log

    def _close(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            log.close()

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


def _nobody() -> None:
    """Tell nobody."""
