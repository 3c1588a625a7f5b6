"""Where records of a partition wait between the thread that fetches them and the one that takes them in."""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Sequence

from daemon.sources.kafka.messages import Message

MAX_BYTES = 8 << 20  # of values; then nothing more is fetched
MAX_RECORDS = 5_000


class Mailbox:
    """A bounded queue, for two threads.

    Attributes:
        wake: called, from the thread that fetches, when something has come.
    """

    def __init__(self) -> None:
        self.wake: Callable[[], None] = _nobody
        self._lock = threading.Lock()
        self._records: deque[Message] = deque()
        self._bytes = 0
        self._from: int | None = None  # the offset that is expected, or None while nothing is wanted
        self._fetched = 0
        self._end = 0
        self._gap: int | None = None
        self._cut: int | None = None

    # By the thread that fetches

    def open(self, offset: int) -> None:
        """Expect records from an offset on; what was there is dropped."""
        with self._lock:
            self._records.clear()
            self._bytes = 0
            self._gap = self._cut = None
            self._from = self._fetched = offset

    def close(self) -> None:
        """Expect nothing."""
        with self._lock:
            self._records.clear()
            self._bytes = 0
            self._from = None

    def put(self, records: Sequence[Message], fetched: int, end: int | None) -> None:
        """Take records that were fetched.

        Args:
            fetched: offset up to which everything that there is was fetched; past the last record, there may be some
                that are not for readers.
            end: offset behind the latest record of the partition, where that is known.
        """
        with self._lock:
            if self._from is None:
                return
            for record in records:
                if record.offset >= self._from:
                    self._records.append(record)
                    self._bytes += len(record.value or b"")
                    self._from = record.offset + 1
            self._fetched = max(self._fetched, fetched)
            self._end = self._end if end is None else end
        self.wake()

    def put_gap(self, first: int) -> None:
        """Note that what was to come next is gone, and that the oldest record is at `first`."""
        with self._lock:
            if self._from is None or first <= self._from:
                return
            self._gap = first
            self._from = self._fetched = first
        self.wake()

    def put_end(self, end: int) -> None:
        """Note that the partition ends before the record that was to come next: it is not the one that was read."""
        with self._lock:
            self._cut = end
        self.wake()

    @property
    def position(self) -> int | None:
        """Give the offset at which to fetch on; None while nothing is wanted."""
        with self._lock:
            return None if self._from is None else max(self._from, self._fetched)

    @property
    def wanting(self) -> bool:
        """Say whether there is room for more, and more is wanted."""
        with self._lock:
            return self._from is not None and self._bytes < MAX_BYTES and len(self._records) < MAX_RECORDS

    # By the thread that takes them in

    def take(self, most: int, most_bytes: int) -> list[Message]:
        """Give the next records: at most so many, and no more bytes than that in all but the last."""
        taken: list[Message] = []
        size = 0
        with self._lock:
            while self._records and len(taken) < most and size < most_bytes:
                if self._gap is not None and self._records[0].offset >= self._gap:
                    break  # it is told of first
                record = self._records.popleft()
                size += len(record.value or b"")
                taken.append(record)
            self._bytes -= size
        return taken

    def put_back(self, records: Sequence[Message]) -> None:
        """Give back what could not be taken in."""
        with self._lock:
            self._records.extendleft(reversed(records))
            self._bytes += sum(len(record.value or b"") for record in records)

    def take_gap(self) -> int | None:
        """Give the offset behind a gap, once all that came before it is taken."""
        with self._lock:
            if self._records and self._gap is not None and self._records[0].offset < self._gap:
                return None
            gap, self._gap = self._gap, None
            return gap

    @property
    def cut(self) -> int | None:
        """Give where the partition ends, where that is before what was to come next; else None."""
        with self._lock:
            return self._cut

    @property
    def fetched(self) -> int:
        """Give the offset up to which everything was fetched; where nothing waits, everything is taken."""
        with self._lock:
            return -1 if self._records else self._fetched

    @property
    def end(self) -> int:
        """Give the offset behind the latest record, as far as it is known."""
        with self._lock:
            return self._end


def digest_of(message: Message) -> str:
    """Give what a record is known by: 128 bits in hex over key, value and time."""
    key, value, time = message.key, message.value, b"%d" % message.timestamp_ms
    state = hashlib.sha256(_begun(key) + (key or b"") + _begun(value))
    state.update(value or b"")
    state.update(_begun(time) + time)
    return state.hexdigest()[:32]


def _begun(part: bytes | None) -> bytes:
    return b"-" if part is None else b"%d:" % len(part)


def _nobody() -> None:
    """Wake nobody."""
