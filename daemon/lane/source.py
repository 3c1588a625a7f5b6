"""Takes the records of one partition into its ledger."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache, partial

from daemon.lane.counts import Counts
from daemon.lane.large import take_large
from daemon.lane.mailbox import Mailbox, digest_of
from daemon.ledger.lane import LaneStore
from daemon.ledger.lane_admission import DOCUMENTS
from daemon.ledger.lane_admission import Taken as LaneTaken
from daemon.ledger.ledger import Ledger
from daemon.log import get_logger
from daemon.parser import DocumentParser
from daemon.ports.inputs import Admitted
from daemon.ports.lane import Arrival, Joined, Letter, Whole
from daemon.ports.parts import ReportPart
from daemon.ports.source import Taken
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sources.kafka.messages import (
    Document,
    Lines,
    Message,
    Part,
    Read,
    Refused,
    Reports,
    host_of_large,
    joined,
    read_message,
    sort_message,
    weigh,
)
from daemon.waiting import wait_for_any, wake
from pipeline.finding import Reject
from pipeline.report.limits import Limits

logger = get_logger(__name__)

_RECORDS, _BYTES = 500, 256 << 10  # that are taken out of the mailbox at once
# Of one step, unpacked: some 30 ms, and 200 where all of it was made to be slow. A larger document is read by the
# process for that, more lines are taken in slices.
_STEP_BYTES = 96 << 10
_STEP_LINES = 2_000
_TELL_S = 1.0
_SAMPLE, _MOST_REFUSED = 100, 20  # so many of so many consecutive records: then it is not the records that are wrong


class _Stopped(Exception):
    """Raised to leave a record of which not all is taken."""


class TopicPartition:
    """A `daemon.ports.source.Source` of the records that a client fetches into a mailbox."""

    kind = "kafka"
    ready = True  # the partition is acquired before there is a source of it
    overflows = 0

    def __init__(
        self,
        topic: str,
        partition: int,
        mailbox: Mailbox,
        ledger: Ledger,
        store: LaneStore,
        settings: KafkaSettings,
        limits: Limits,
        counts: Counts,
        *,
        end: int,
        blocked: Callable[[], bool],
        clock: Callable[[], float],
        parser: DocumentParser | None = None,
    ) -> None:
        """Args:
        parser: reads large documents; None has them read here.
        end: offset behind the latest record there was when it began: a dry run reads up to there.
        clock: gives monotonic seconds.
        """
        self.name = f"kafka {topic}/{partition}"
        self._counts = counts
        self._mailbox = mailbox
        self._ledger = ledger
        self._store = store
        self._settings = settings
        self._limits = limits
        self._end = end
        self._blocked = blocked
        self._clock = clock
        self._parser = parser
        self._told_at = 0.0
        self._come = asyncio.Event()
        self._refused: deque[bool] = deque(maxlen=_SAMPLE)
        self._halted: str | None = None
        self._idle_since: dict[bytes, tuple[int, float]] = {}  # open streams: their latest offset, and since when

    @property
    def healthy(self) -> bool:
        """Say whether it reads."""
        return not self.problems()

    def problems(self) -> list[str]:
        """Say what keeps it from reading."""
        if self._halted is not None:
            return [self._halted]
        if self._mailbox.cut is not None:
            return [
                f"{self.name}: ends at {self._mailbox.cut}, before the record that was to come next: the topic was "
                'made anew or cut; start again with kafka.on_recreated = "restart" to begin with it anew'
            ]
        return []

    def look_again(self) -> None:
        """Try again what was given up because too much was refused."""
        self._halted = None
        self._refused.clear()
        self._come.set()

    def release(self) -> bool:
        """Give nothing back: the client has no descriptor to spare."""
        return False

    async def run(self, stop: asyncio.Event, told: Callable[[Taken], None], *, dry: bool = False) -> None:
        """Take in what comes until told to stop, or, if `dry`, all that was there when it began.

        Raises:
            LedgerError: when the ledger takes nothing more. It may be run again, and goes on.
        """
        self._mailbox.wake = partial(wake, asyncio.get_running_loop(), self._come)
        told_at = self._clock()
        taken = Taken()
        while not stop.is_set():
            self._come.clear()
            if self._halted is not None and dry:
                break
            if self._halted is not None or self._blocked():
                await self._pause(stop)
            else:
                records = self._mailbox.take(_RECORDS, _BYTES)
                if records:
                    taken = _sum(taken, await self._take_in(records, stop, told))
                elif (gap := self._mailbox.take_gap()) is not None:
                    self._note_gap(gap)
                elif dry and self._mailbox.fetched >= self._end:
                    break
                else:
                    taken = _sum(taken, Taken(0, self._close_idle()))
                    await wait_for_any(_TELL_S, self._come, stop)
            if taken.admitted.scans or self._clock() - told_at >= _TELL_S:
                told_at = self._clock()
                told(taken)
                taken = Taken()
            await asyncio.sleep(0)
        told(taken)

    async def _pause(self, stop: asyncio.Event) -> None:
        began = self._clock()
        await wait_for_any(_TELL_S, stop)
        self._counts.paused_s += self._clock() - began

    # Taking in

    async def _take_in(self, records: list[Message], stop: asyncio.Event, told: Callable[[Taken], None]) -> Taken:
        """Hand records over, a step at a time; where the ledger does not take them they wait again, and so do those
        that there was no time for.

        A part is handed over alone: it may be the last one, and then what it completes stands in its place.
        """
        admitted = Admitted()
        size = done = 0
        try:
            while done < len(records) and not stop.is_set():
                message = records[done]
                weight = weigh(message, self._limits, _STEP_BYTES)
                if weight is None:
                    admitted += await self._take_large(message, None, stop, told)
                    taken = 1
                else:
                    taken, more = await self._take_small(records, done, weight, stop, told)
                    admitted += more
                size += sum(len(one.value or b"") for one in records[done : done + taken])
                done += taken
                await asyncio.sleep(0)
        except _Stopped:
            pass  # nothing of the record counts
        finally:
            if done < len(records):
                self._mailbox.put_back(records[done:])
        return Taken(size, admitted)

    async def _take_small(
        self, records: list[Message], first: int, weight: int, stop: asyncio.Event, told: Callable[[Taken], None]
    ) -> tuple[int, Admitted]:
        """Hand over as many records as a step has time for; returns how many, and what became of them."""
        batch: list[Arrival] = []
        at = first
        while True:
            message = records[at]
            read = read_message(message, self._limits, require_key=self._keyed)
            is_part = isinstance(read, Part)
            if batch and (is_part or _is_long(read)):
                break
            if _is_long(read):
                assert isinstance(read, Lines)
                return 1, await self._take_slices(message, read, None, stop, told)
            batch.append(self._arrival(message, read))
            at += 1
            more = weigh(records[at], self._limits, _STEP_BYTES) if at < len(records) else None
            if is_part or more is None or weight + more > _STEP_BYTES:
                break
            weight += more
        taken = self._admit(batch)
        admitted = taken.admitted
        if taken.joined is not None:
            last, whole = records[at - 1], taken.joined
            if weigh(joined(last, whole.value), self._limits, _STEP_BYTES) is None:
                admitted += await self._take_large(last, whole, stop, told)
            else:
                read = read_message(joined(last, whole.value), self._limits, require_key=self._keyed)
                admitted += await self._take_read(last, read, whole, stop, told)
        return at - first, admitted

    async def _take_large(
        self, message: Message, whole: Joined | None, stop: asyncio.Event, told: Callable[[Taken], None]
    ) -> Admitted:
        """Hand a record over that is too large for a step, or what its part has completed."""
        limits = self._limits
        seen = message if whole is None else joined(message, whole.value)
        host = host_of_large(seen, limits, require_key=self._keyed, most=_STEP_BYTES)
        if host is None:  # it takes all of its text to say what it is
            sort = partial(sort_message, seen, limits, require_key=self._keyed)
            found = await asyncio.to_thread(sort)
            if not isinstance(found, Document):
                return await self._take_read(message, found, whole, stop, told)
            host = (found.host,)
        value = seen.value or b""
        arrival = self._arrival(message, Reports(host[0], "", (), ()), whole)
        taken = await take_large(self._store, arrival, value, limits, self._parser, partial(self._go_on, stop, told))
        self._count(taken.refused)
        return taken.admitted

    async def _take_read(
        self, message: Message, read: Read, whole: Joined | None, stop: asyncio.Event, told: Callable[[Taken], None]
    ) -> Admitted:
        if isinstance(read, Lines):
            return await self._take_slices(message, read, whole, stop, told)
        return self._admit([self._arrival(message, read, whole)]).admitted

    async def _take_slices(
        self, message: Message, lines: Lines, whole: Joined | None, stop: asyncio.Event, told: Callable[[Taken], None]
    ) -> Admitted:
        """Hand lines over a slice at a time; the ledger knows how far it has got within the record."""
        admitted = Admitted()
        before = self._store.position()
        within = before.within if before is not None and before.next == message.offset else 0
        for piece, upto in lines.slices(_STEP_BYTES, _STEP_LINES):
            if upto is not None and upto <= within:  # taken before, by a process that has ended since
                continue
            arrival = replace(self._arrival(message, piece, whole), upto=upto, goes_on=piece.base > 0)
            admitted += self._admit([arrival]).admitted
            if upto is not None:
                self._go_on(stop, told)
                await asyncio.sleep(0)
        return admitted

    def _admit(self, batch: list[Arrival]) -> LaneTaken:
        taken = self._store.admit(batch)
        self._count(taken.refused)
        return taken

    def _go_on(self, stop: asyncio.Event, told: Callable[[Taken], None]) -> None:
        """Give a sign of life in the middle of a record.

        Raises:
            _Stopped: when there is no more time for it.
        """
        if stop.is_set():
            raise _Stopped
        if self._clock() - self._told_at >= _TELL_S:
            self._told_at = self._clock()
            told(Taken())

    @property
    def _keyed(self) -> bool:
        return self._settings.require_key

    def _arrival(self, message: Message, read: Read, whole: Joined | None = None) -> Arrival:
        content: Whole | Lines | ReportPart | Reject
        if isinstance(read, Refused):
            content = read.reject()
            if whole is not None:  # the parts are done with, whatever they made
                content = Whole(digest_of(message), (), (content,))
        elif isinstance(read, Reports):
            content = Whole(read.digest, read.reports, read.rejects)
        elif isinstance(read, Part):
            content = ReportPart(read.host, read.report, read.number, read.count, read.data, message.offset)
        else:
            content = read
        host = None if isinstance(read, Refused) else read.host
        return Arrival(
            message.offset,
            _rfc3339(message.timestamp_ms),
            message.key or b"",
            host,
            content.records() if isinstance(content, Lines) else content,
            Letter(message.offset, message.key, message.value, message.headers),
            digest_of(message),
            whole,
            isinstance(read, Refused) and read.begins,
        )

    def _count(self, refused: tuple[bool, ...]) -> None:
        self._refused.extend(refused)
        if self._settings.dlq_unlimited or sum(self._refused) <= _MOST_REFUSED:
            return
        self._halted = (
            f"{self.name}: {sum(self._refused)} of the last {len(self._refused)} records could not be used, so it is "
            "not read on (see `sysscan-agent ledger quarantine list`); mend what writes there and start again, or set "
            "kafka.dlq_unlimited = true"
        )
        logger.error("partition.halted", source=self.name, reason=self._halted)

    def _note_gap(self, after: int) -> None:
        position = self._store.position()
        before = 0 if position is None else position.next
        detail = (
            f"the records {before} to {after - 1} were gone before they were read: the topic's retention is shorter "
            "than the time that this took"
        )
        self._store.note_gap(before, after, detail)
        self._counts.gaps += 1
        logger.error("partition.gap", source=self.name, first=before, last=after - 1, advice="raise retention.ms")

    def _close_idle(self) -> Admitted:
        """End the scans of streams that nothing more comes of; only while all that is there is read."""
        now, admitted = self._clock(), Admitted()
        open_now = self._store.open_streams()
        since = {
            key: self._idle_since[key] if self._idle_since.get(key, (-1, 0.0))[0] == last else (last, now)
            for key, last in open_now.items()
        }
        for key, (_, idle_since) in list(since.items()):
            if now - idle_since >= self._settings.incomplete_after_s:
                admitted += self._store.close_idle(key)
                del since[key]
        self._idle_since = since
        if self._ledger.parts.parts_from(DOCUMENTS) is not None:
            while self._ledger.parts.expire_parts(DOCUMENTS, self._settings.incomplete_after_s):
                pass
        return admitted


def _is_long(read: Read) -> bool:
    """Say whether these are more lines than a step has time for."""
    return isinstance(read, Lines) and read.text.count(b"\n") > _STEP_LINES


def _rfc3339(timestamp_ms: int) -> str:
    """Write when a record was written, to the second: what reading it again must give once more."""
    return _written(max(0, timestamp_ms) // 1000)


@lru_cache(maxsize=64)  # line by line, thousands are of one second
def _written(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _sum(one: Taken, other: Taken) -> Taken:
    return Taken(one.bytes_read + other.bytes_read, one.admitted + other.admitted)
