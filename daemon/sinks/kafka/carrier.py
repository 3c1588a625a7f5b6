"""Carries records to the brokers on a thread with an event loop of its own, so that nobody waits for them."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.log import get_logger
from daemon.ports.outbox import OutboxRow
from daemon.sinks.kafka.connection import Connect, Connection, Mark, Record
from daemon.sinks.thread import SinkThread
from pipeline.errors import SinkError

logger = get_logger(__name__)

TRANSACTION_ROWS = 2000  # about 7 MB; a transaction of this size takes 50 ms
_CLOSE_S = 8.0  # at the end: what is under way is given this long


@dataclass(slots=True, frozen=True)
class _Batch:
    end: int  # position up to which everything is done with it
    rows: Sequence[OutboxRow]  # those that are wanted


class Carrier:
    """One thread, one connection at a time. All methods are for one other thread, and return at once but `close`.

    After a fault everything that was offered is forgotten, and nothing is done until `fault` was taken notice of: what
    became of a transaction whose end is not known, the next connection says by its mark, and what that covers is not
    sent again. Rows are offered again from where the sink was last told that they are durable. What is beyond may be
    committed, and counts only once it was offered again.
    """

    def __init__(self, connect: Connect, record: Callable[[OutboxRow], Record], name: str) -> None:
        """Nothing is started before the first use."""
        self._connect = connect
        self._record = record
        self._name = name
        self._lock = threading.Lock()  # for what follows
        self._batches: deque[_Batch] = deque()
        self._durable = 0
        self._told = 0  # how much of that the sink knows of
        self._fault: SinkError | None = None
        self._mark: Mark | None = None
        self._connected = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = SinkThread(name, self._run, _CLOSE_S)
        self._called = threading.Event()  # the loop is there
        self._wanted: asyncio.Event
        self.wake: Callable[[], None] = _nobody

    # Called by the sink

    def connect(self) -> tuple[bool, Mark | None]:
        """Say whether there is a connection and what mark it found; where there is none, one is asked for.

        Raises:
            SinkError: why the last attempt failed; the next call begins another.
        """
        self.check()
        with self._lock:
            connected, mark = self._connected, self._mark
        if not connected:
            self._call()
        return connected, mark

    def begin_at(self, position: int) -> None:
        """Set what is durable before anything is offered."""
        with self._lock:
            self._durable = self._told = position

    def offer(self, end: int, rows: Sequence[OutboxRow]) -> None:
        """Take rows, to be committed in their order; `end` is durable when they are."""
        with self._lock:
            self._batches.append(_Batch(end, rows))
        self._call()

    def check(self) -> None:
        """Take notice of a fault.

        Raises:
            SinkError: once for each fault; everything that was not durable is forgotten.
        """
        with self._lock:
            fault, self._fault = self._fault, None
            if fault is not None:
                self._batches.clear()
                self._durable = self._told
        if fault is not None:
            raise fault

    def tell_durable(self) -> int:
        """Give the position up to which everything is committed, of what was offered since the last fault."""
        with self._lock:
            self._told = self._durable
            return self._told

    def close(self) -> None:
        """End the thread; a transaction under way is ended first, if the brokers answer."""
        self.wake = _nobody
        self._thread.end(self._call)

    def _call(self) -> None:
        self._thread.begin()
        self._called.wait()
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._wanted.set)

    # On the thread

    def _run(self) -> None:
        while not self._thread.stopping:
            try:
                asyncio.run(self._carry_on())
            except Exception as error:  # a fault of ours, or one that the library does not declare
                logger.error("kafka.thread_failed", sink=self._name, error=repr(error))
                self._called.clear()
                with self._lock:
                    self._fault = SinkError(f"{self._name}: {error!r}; it is begun anew")
                    self._connected = False
                self.wake()
        self._called.set()  # nobody waits for a loop that does not come any more

    async def _carry_on(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_overheard)
        self._wanted = asyncio.Event()
        self._called.set()
        connection: Connection | None = None
        try:
            while not self._thread.stopping:
                await self._wanted.wait()
                self._wanted.clear()
                try:
                    if connection is None and not self._faulty():
                        connection = await self._connect()
                        self._note_connection(connection.mark)
                    while connection is not None and not self._thread.stopping and (batch := self._next()) is not None:
                        await self._commit(connection, batch)
                except SinkError as error:
                    with self._lock:
                        self._connected = False
                        self._fault = error
                    if connection is not None:
                        await connection.close()
                        connection = None
                    self.wake()
        finally:
            if connection is not None:
                await connection.close()

    def _faulty(self) -> bool:
        with self._lock:
            return self._fault is not None

    def _note_connection(self, mark: Mark | None) -> None:
        with self._lock:
            self._mark = mark
            self._connected = True
        self.wake()

    def _next(self) -> _Batch | None:
        """Take what waits, as much as goes into one transaction."""
        with self._lock:
            if self._fault is not None or not self._batches:
                return None
            rows: list[OutboxRow] = []
            end = 0
            while self._batches and (not end or len(rows) + len(self._batches[0].rows) <= TRANSACTION_ROWS):
                batch = self._batches.popleft()
                rows += batch.rows
                end = batch.end
        return _Batch(end, rows)

    async def _commit(self, connection: Connection, batch: _Batch) -> None:
        mark = self._mark
        rows = batch.rows
        if mark is not None and rows and rows[0].position <= mark.position:  # after a fault: committed after all
            for row in rows:
                agree(row, mark, self._name)
            rows = [row for row in rows if row.position > mark.position]
        if rows:
            await connection.commit([self._record(row) for row in rows])
        with self._lock:
            self._durable = max(self._durable, batch.end)
        self.wake()


def agree(row: OutboxRow, mark: Mark, sink: str) -> None:
    """Hold a row against the mark at its position.

    Raises:
        SinkError: when they are of different records: this ledger and what wrote there are not the same any more.
    """
    if row.position == mark.position and row.key != mark.id:
        raise SinkError(
            f"{sink}: record {row.position} was written as {mark.id} and is {row.key} here; this state directory was "
            "copied, or restored and fed with something else: start with a new one"
        )


def _overheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Keep what the library leaves behind of a connection that has failed out of the log: the fault was told."""
    logger.debug("kafka.left_behind", message=str(context.get("message")), error=repr(context.get("exception")))


def _nobody() -> None:
    """Wake nobody."""
