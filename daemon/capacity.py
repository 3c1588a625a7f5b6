"""Bounds the memory that scans in hand take, over all workers of a process.

Each partition of a topic has a worker of its own, and all of them run on one thread: scans that are in memory side by
side are not done any sooner, but all of their memory is taken at once, and little of it is ever given back, because
what stays lies scattered among it.
"""

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from daemon.ports.work import ClosedScan
from pipeline.graph.asking import Pending

# Two scans of 3,200 findings: while one waits for the model, another one goes on. Small ones go in between.
MOST_BYTES = 32 << 20
_FINDING_BYTES = 4 << 10  # what a finding takes while its scan is worked on, beside its text


@dataclass(slots=True, eq=False)
class Ticket:
    """One scan's share.

    Attributes:
        granted: done when the scan may be brought into memory.
    """

    scan_no: int
    size: int
    granted: Pending = field(default_factory=Future)


class Capacity:
    """One for a process, used from one thread. Who came first is served first, so that none waits for ever."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Args: `most_bytes`: of all scans in hand; a larger one is worked on alone."""
        self._most = most_bytes
        self._taken: list[Ticket] = []
        self._waiting: deque[Ticket] = deque()

    def ask(self, scan: ClosedScan) -> Ticket:
        """Ask for a scan's share; to be given back, whether it was granted or not."""
        ticket = Ticket(scan.scan_no, scan.bytes + scan.findings * _FINDING_BYTES)
        self._waiting.append(ticket)
        self._grant()
        return ticket

    def give_back(self, ticket: Ticket) -> None:
        """Be done with a scan, or with waiting for it."""
        (self._taken if ticket.granted.done() else self._waiting).remove(ticket)
        self._grant()

    def _grant(self) -> None:
        while self._waiting:
            first = self._waiting[0]
            if self._taken and sum(one.size for one in self._taken) + first.size > self._most:
                return
            self._taken.append(self._waiting.popleft())
            first.granted.set_result(None)
