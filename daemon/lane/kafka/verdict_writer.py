"""Adds verdicts to their topic: one behind the other, whoever else decides at the same time.

Who adds holds a transactional id that all share. To take it reads to the end of the topic after everybody before us is
fenced; so what is added then follows what is there, or is not added at all.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from daemon.lane.kafka.thread import LoopThread
from daemon.lane.kafka.verdict_topic import Chain, is_there, open_consumer, outgoing, passed_over, read_upto
from daemon.lane.kafka.writer import is_fenced
from daemon.lane.shared_log import StoppedDeciding
from daemon.sinks.kafka.access import access, leave, stop, told
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sinks.kafka.topics import not_there
from pipeline.errors import SinkError
from pipeline.review.chain import Head, Row

_ATTEMPTS = 12  # others may decide at the same moment
_OTHER_ATTEMPTS = 2  # after faults that are none of theirs
_REST_S = 0.3  # at most so long after the first time that somebody was quicker, and longer each time
_POLL_S = 0.05


class VerdictWriter:
    """For one thread, which waits for each call."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Nothing is connected before the first call."""
        self._settings = settings
        self._thread = LoopThread("verdicts")
        self._producer: AIOKafkaProducer | None = None
        self._chain = Chain()
        self._rows: list[Row] = []
        self._adding: asyncio.Task[object] | None = None
        self._sending = self._stopping = False

    @property
    def strange(self) -> str | None:
        """Say in a line what of the topic is no verdict, after it was read; None where all are."""
        return passed_over(self._settings.verdicts_topic, self._chain)

    def rows(self) -> list[Row]:
        """Read all that is in the topic.

        Raises:
            SinkError: why it cannot be read.
        """
        return self._thread.call(self._read_rows()).result()

    def append(self, make: Callable[[Head], Sequence[Row]]) -> list[Row]:
        """Add rows behind the last one, all of them or none; returns all rows that the topic has then.

        Args:
            make: gives them, behind where the log goes; it may be called again where somebody else was quicker.

        Raises:
            SinkError: when nothing was added, or when that is not known; the message says which.
        """
        try:
            return self._thread.call(self._append(make)).result()
        except CancelledError:
            raise StoppedDeciding("stopped; nothing was decided") from None

    def stop(self) -> None:
        """Have `append` give up what it has not sent yet; from any thread."""
        self._thread.tell(self._give_up)

    def close(self) -> None:
        """Disconnect."""
        self._thread.end(self._close())

    # On the thread

    async def _read_rows(self) -> list[Row]:
        with self._told("do not give verdicts"):
            await self._require_topic()
            self._chain, self._rows = await self._read()
        return self._rows

    def _give_up(self) -> None:
        self._stopping = True
        if self._adding is not None and not self._sending:
            self._adding.cancel()

    async def _append(self, make: Callable[[Head], Sequence[Row]]) -> list[Row]:
        self._adding = asyncio.current_task()
        self._sending = self._stopping = False
        try:
            return await self._add(make)
        finally:
            self._adding = None

    async def _add(self, make: Callable[[Head], Sequence[Row]]) -> list[Row]:
        tried: Sequence[Row] = ()
        failed: SinkError | None = None
        faults, fenced = 0, False
        unknown = "it is not known whether the verdict was stored: see `review history` before you repeat it"
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                if self._producer is None:
                    await self._open()
                    if tried and tried[-1].seq <= self._chain.head.seq:
                        if self._rows[tried[-1].seq - 1] == tried[-1]:  # it went through, and the answer was lost
                            return self._rows
                        tried = ()
                    self._sending = False  # whatever was sent is known by now: it is there, or given up
            except SinkError as error:
                await self._close()
                raise SinkError(f"{error}; {unknown if tried else 'nothing was decided'}") from error
            if self._stopping:
                raise StoppedDeciding("stopped; nothing was decided")
            tried = rows = list(make(self._chain.head))
            if not rows:
                return self._rows
            try:
                self._sending = True  # from here on it takes an answer to know
                await self._commit(rows)
            except SinkError as error:
                fenced = is_fenced(error) or "UnknownError" in repr(error.__cause__)  # the library does not know all
                await self._close()
                failed, faults = error, faults + (not fenced)
                if faults == _OTHER_ATTEMPTS:
                    break
                if fenced:  # the other one is to get through
                    await asyncio.sleep(random.uniform(0, _REST_S * attempt))  # noqa: S311 - no secret
                continue
            self._rows += rows
            self._chain.head = Head(rows[-1].seq, rows[-1].hash)
            return self._rows
        # What another one fenced off was given up by the brokers; of anything else the answer may have been lost.
        raise SinkError(f"{failed}; {'nothing was decided' if fenced else unknown}")

    async def _commit(self, rows: Sequence[Row]) -> None:
        producer, topic = self._producer, self._settings.verdicts_topic
        assert producer is not None
        with self._told("do not take verdicts"):
            async with asyncio.timeout(self._settings.timeout_s):
                await producer.begin_transaction()
                records = [outgoing(topic, row) for row in rows]
                sent = [
                    await producer.send(topic, one.value, key=one.key, partition=0, headers=list(one.headers))
                    for one in records
                ]
                await asyncio.gather(*sent)
                await producer.commit_transaction()

    async def _open(self) -> None:
        settings = self._settings
        with self._told("cannot be reached"):
            await self._require_topic()
            self._producer = AIOKafkaProducer(
                **access(settings),
                transactional_id=f"{settings.group}.{settings.input_topic}.verdicts",
                transaction_timeout_ms=round(settings.transaction_timeout_s * 1000),
                compression_type=None if settings.compression == "none" else settings.compression,
                max_request_size=settings.max_record_bytes,
            )
            async with asyncio.timeout(settings.timeout_s):
                await self._producer.start()
            self._chain, self._rows = await self._read()

    async def _require_topic(self) -> None:
        if not await is_there(self._settings):
            raise SinkError(not_there(self._settings, [self._settings.verdicts_topic]))

    async def _read(self) -> tuple[Chain, list[Row]]:
        """Read to the end, once no transaction is open: of a commit the leader hears after it was confirmed."""
        settings, chain = self._settings, Chain()
        consumer, place = await open_consumer(settings)
        plain = AIOKafkaConsumer(**access(settings), enable_auto_commit=False)
        try:
            async with asyncio.timeout(settings.timeout_s):
                await plain.start()
                while True:
                    end = (await plain.end_offsets([place]))[place]
                    if (await consumer.end_offsets([place]))[place] >= end:
                        break
                    await asyncio.sleep(_POLL_S)
            rows = await read_upto(consumer, place, end, chain, settings)
        finally:
            await stop(consumer)
            await stop(plain)
        return chain, rows

    def _told(self, what: str) -> AbstractContextManager[None]:
        settings = self._settings
        return told(settings, what, (settings.verdicts_topic,), again=False, prefix=settings.group)

    async def _close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await leave(producer)
