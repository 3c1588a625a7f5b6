"""Carries records on a thread of its own, so that nobody waits for the other side."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from daemon.log import get_logger
from daemon.ports.outbox import OutboxRow
from daemon.ports.sink import Pending
from daemon.sinks.network.items import Item
from daemon.sinks.thread import SinkThread
from pipeline.errors import SinkError

logger = get_logger(__name__)

MAX_HELD = 2000  # rows that are given to the thread at most; 7 MB
_CLOSE_S = 5.0  # at the end: what is under way is given this long

Done = Callable[[int], None]  # told the position up to which everything has been taken
Send = Callable[[Sequence[Item], Done], None]  # raises `SinkError`; what it told before counts


class NetworkSink:
    """A `daemon.ports.sink.Sink` that holds rows until the other side has taken them.

    The other side cannot be asked what it has, so what follows the mark is sent again after a crash or a fault: each
    record at least once, with a key by which whoever takes it knows it again.

    One thread, begun with the first row. After a fault all that was offered is forgotten, and nothing is sent until the
    fault was taken notice of.
    """

    max_held: int | None = MAX_HELD

    def __init__(self, name: str, items: Callable[[Sequence[OutboxRow]], list[Item]], send: Send) -> None:
        """Nothing is connected before the first use."""
        self.name = name
        self._items = items
        self._send = send
        self._wake: Callable[[], None] = _nobody
        self._thread = SinkThread(name, self._run, _CLOSE_S)
        self._changed = threading.Condition()  # for what follows
        self._batches: deque[tuple[int, Sequence[OutboxRow]]] = deque()
        self._offered = 0
        self._returned = 0  # what was last called durable, from where on rows are offered again after a fault
        self._durable = 0
        self._fault: SinkError | None = None

    def tell(self, wake: Callable[[], None]) -> None:
        """Call `wake`, from the thread, whenever it has got on."""
        self._wake = wake

    def recover(self, delivered: int, pending: Pending) -> int:
        """Go on after the mark."""
        with self._changed:
            self._durable = self._offered = self._returned = delivered
        return delivered

    def write(self, rows: Sequence[OutboxRow]) -> int:
        """Take rows to be sent; returns the position up to which all was taken by the other side.

        Raises:
            SinkError: what became of rows that were offered before; all that follow are forgotten.
        """
        with self._changed:
            fault, self._fault = self._fault, None
            if fault is not None:
                self._batches.clear()
                self._offered = self._returned
                raise fault
            if rows:
                self._offered = rows[-1].position
                self._batches.append((self._offered, rows))
                self._thread.begin()
                self._changed.notify()
            self._returned = min(self._durable, self._offered)
            return self._returned

    def close(self) -> None:
        """End the thread; what is under way is given some seconds, and sent again by the next process if need be."""
        self._wake = _nobody
        self._thread.end(self._notify)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify()

    # On the thread

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            end, rows = batch
            try:
                # After a fault rows come again of which more were taken than could be told.
                items = self._items([row for row in rows if row.position > self._durable])
                if items:
                    self._send(items, self._done)
                self._done(end)
            except SinkError as error:
                self._failed(error)
            except Exception as error:  # a fault of ours
                logger.error("sink.thread_failed", sink=self.name, error=repr(error))
                self._failed(SinkError(f"{self.name}: {error!r}; it is begun anew"))

    def _next(self) -> tuple[int, list[OutboxRow]] | None:
        """Wait for rows; several batches that wait go together. None: it is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._thread.stopping or (self._batches and self._fault is None))
            if self._thread.stopping:
                return None
            end, rows = 0, list[OutboxRow]()
            while self._batches:
                end, more = self._batches.popleft()
                rows += more
            return end, rows

    def _done(self, position: int) -> None:
        """Take down how far the other side has got.

        Raises:
            SinkError: when the thread is to end: what is left is for the next process.
        """
        with self._changed:
            self._durable = max(self._durable, position)
        self._wake()
        if self._thread.stopping:
            raise SinkError(f"{self.name}: ends")

    def _failed(self, error: SinkError) -> None:
        with self._changed:
            self._fault = error
            self._batches.clear()
        self._wake()


def _nobody() -> None:
    """Wake nobody."""
