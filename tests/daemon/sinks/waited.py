"""A sink that works on a thread, waited for: for tests that look at the destination after each step."""

import threading
from collections.abc import Callable, Sequence

from daemon.ports.outbox import OutboxRow
from daemon.ports.sink import Pending
from daemon.sinks.network.courier import NetworkSink

PATIENCE_S = 30.0  # nothing here takes this long unless it hangs


class Waited:
    """Returns from `write` when everything was taken, or with the fault."""

    def __init__(self, sink: NetworkSink) -> None:
        self._sink = sink
        self._moved = threading.Event()
        self.name = sink.name
        self.max_held = sink.max_held
        sink.tell(self._moved.set)

    def tell(self, wake: Callable[[], None]) -> None:
        """Do nothing: all is done when `write` returns."""

    def recover(self, delivered: int, pending: Pending) -> int:
        return self._sink.recover(delivered, pending)

    def write(self, rows: Sequence[OutboxRow]) -> int:
        durable = self._sink.write(rows)
        while rows and durable < rows[-1].position:
            assert self._moved.wait(PATIENCE_S), "the sink hangs"
            self._moved.clear()
            durable = self._sink.write([])
        return durable

    def close(self) -> None:
        self._sink.close()
