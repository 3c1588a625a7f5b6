"""Takes the records of one partition into its ledger."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from daemon.lane.counts import Counts
from daemon.lane.mailbox import Mailbox, digest_of
from daemon.ledger.lane import LaneStore
from daemon.ledger.lane_admission import DOCUMENTS
from daemon.ledger.ledger import Ledger
from daemon.log import get_logger
from daemon.ports.inputs import Admitted
from daemon.ports.lane import Arrival, Joined, Letter, Whole
from daemon.ports.parts import ReportPart
from daemon.ports.source import Taken
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sources.kafka.messages import Lines, Message, Part, Read, Refused, Reports, joined, read_message
from daemon.waiting import wait_for_any, wake
from pipeline.errors import LedgerError
from pipeline.finding import Reject
from pipeline.report.limits import Limits

logger = get_logger(__name__)

_RECORDS, _BYTES = 500, 256 << 10  # of one step: some 50 ms, and more only for a single large record
_TELL_S = 1.0
_SAMPLE, _MOST_REFUSED = 100, 20  # so many of so many consecutive records: then it is not the records that are wrong


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
    ) -> None:
        """Args:
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
                    taken = _sum(taken, self._take_in(records))
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

    def _take_in(self, records: list[Message]) -> Taken:
        """Hand records over; where the ledger does not take them they wait again.

        A part is handed over alone: it may be the last one, and then what it completes stands in its place.
        """
        admitted = Admitted()
        size = 0
        while records:
            batch: list[Arrival] = []
            count = 0
            for message in records:
                arrival = self._read(message)
                if isinstance(arrival.content, ReportPart) and batch:
                    break
                batch.append(arrival)
                count += 1
                if isinstance(arrival.content, ReportPart):
                    break
            try:
                taken = self._store.admit(batch)
                admitted += taken.admitted
                self._count(taken.refused)
                if taken.joined is not None:
                    last = records[count - 1]
                    whole = self._arrival(
                        last, read_message(joined(last, taken.joined.value), self._limits, require_key=self._keyed),
                        taken.joined,
                    )  # fmt: skip
                    taken = self._store.admit([whole])
                    admitted += taken.admitted
                    self._count(taken.refused)
            except LedgerError:
                self._mailbox.put_back(records)
                raise
            size += sum(len(message.value or b"") for message in records[:count])
            records = records[count:]
        return Taken(size, admitted)

    @property
    def _keyed(self) -> bool:
        return self._settings.require_key

    def _read(self, message: Message) -> Arrival:
        return self._arrival(message, read_message(message, self._limits, require_key=self._keyed))

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


def _rfc3339(timestamp_ms: int) -> str:
    """Write when a record was written, to the second: what reading it again must give once more."""
    return datetime.fromtimestamp(max(0, timestamp_ms) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _sum(one: Taken, other: Taken) -> Taken:
    return Taken(one.bytes_read + other.bytes_read, one.admitted + other.admitted)
