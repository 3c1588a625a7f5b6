"""Sinks in memory; `tests/daemon/ports/test_sink.py` holds them to the contract."""

from collections.abc import Callable, Sequence

from daemon.ports.outbox import OutboxRow
from daemon.ports.sink import Pending
from pipeline.errors import SinkError


class MemorySink:
    """Takes rows at once.

    Attributes:
        place: where rows are durable; outlives the sink.
        recovered: the marks that it was made to recover from.
        adopts: how many rows past the mark it claims to find when it recovers.
        faults: reasons with which the next writes fail.
    """

    max_held: int | None = None

    def __init__(self, name: str = "memory", place: list[OutboxRow] | None = None) -> None:
        self.name = name
        self.place: list[OutboxRow] = [] if place is None else place
        self.recovered: list[int] = []
        self.adopts = 0
        self.faults: list[str] = []
        self.closed = False
        self._durable = 0

    @property
    def taken(self) -> list[int]:
        """List the positions of the durable rows."""
        return [one.position for one in self.place]

    def tell(self, wake: Callable[[], None]) -> None:
        """Do nothing: it gets on only when it is asked."""

    def recover(self, delivered: int, pending: Pending) -> int:
        self.recovered.append(delivered)
        self._durable = max(delivered + self.adopts, self.place[-1].position if self.place else 0)
        return self._durable

    def write(self, rows: Sequence[OutboxRow]) -> int:
        if self.faults:
            raise SinkError(self.faults.pop(0))
        return self._keep(rows)

    def close(self) -> None:
        self.closed = True

    def _keep(self, rows: Sequence[OutboxRow]) -> int:
        self.place += rows
        if rows:
            self._durable = rows[-1].position
        return self._durable


class HoldingSink(MemorySink):
    """Holds the findings of a scan back until its record comes, as a sink does that delivers whole scans."""

    def __init__(self, name: str = "holding", place: list[OutboxRow] | None = None) -> None:
        super().__init__(name, place)
        self.held: list[OutboxRow] = []

    def write(self, rows: Sequence[OutboxRow]) -> int:
        if self.faults:
            self.held = []
            raise SinkError(self.faults.pop(0))
        self.held += rows
        whole = max((at for at, one in enumerate(self.held, 1) if one.kind == "scan"), default=0)
        ready, self.held = self.held[:whole], self.held[whole:]
        return self._keep(ready)
