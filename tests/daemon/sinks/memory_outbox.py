"""A ledger's outbox in memory, with marks that can fail; held to the contract by `tests/daemon/ports/`."""

from daemon.ports.outbox import OutboxRow
from pipeline.errors import LedgerError


def row(position: int, *, level: str = "low", changed: bool = True, kind: str = "finding", pad: int = 0) -> OutboxRow:
    assert kind in ("finding", "scan")
    line = b'{"n":%d,"pad":"%s"}' % (position, b"x" * pad)
    return OutboxRow(position, "scan" if kind == "scan" else "finding", f"key{position}", level, changed, line)


class MemoryOutbox:
    """Attributes: `mark_fails`: the next mark cannot be kept."""

    def __init__(self) -> None:
        self.rows: list[OutboxRow] = []
        self.marks: dict[str, int] = {}
        self.mark_fails = False

    def add(self, *rows: OutboxRow) -> None:
        self.rows.extend(rows)

    def register(self, sink: str) -> int:
        return self.marks.setdefault(sink, 0)

    def pending(self, sink: str, limit: int, after: int | None = None) -> list[OutboxRow]:
        begin = max(self._mark(sink), after or 0)
        return [one for one in self.rows if one.position > begin][:limit]

    def delivered(self, sink: str, position: int) -> None:
        if self.mark_fails:
            self.mark_fails = False
            raise LedgerError("the disk is full", transient=True)
        if position > len(self.rows):
            raise LedgerError(f"sink {sink}: delivered {position}, but the outbox ends at {len(self.rows)}")
        self.marks[sink] = max(self._mark(sink), position)

    def _mark(self, sink: str) -> int:
        if sink not in self.marks:
            raise LedgerError(f"sink {sink} is not registered")
        return self.marks[sink]
