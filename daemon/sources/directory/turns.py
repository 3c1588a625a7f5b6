"""Whose turn it is while a large document is taken in, which takes seconds.

Scans of a host are to be closed in the order in which they were found. So whatever comes behind a document that is
still being read waits for it, unless it is certain that it is of another host.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from daemon.sources.directory.tracked import SweepResult, Tracked
from daemon.sources.documents import Delivery
from pipeline.report.host_names import names_one

Hosts = Collection[str | None]


@dataclass(slots=True)
class InHand:
    """The document that is being taken in.

    Attributes:
        result: of the sweep that goes on meanwhile.
        bound: the host that its place stands for, if any.
    """

    file: Tracked
    result: SweepResult
    bound: str | None
    delivery: Delivery | None = field(default=None)

    @property
    def hosts(self) -> Hosts | None:
        """Whose scans it has; None as long as that is not known."""
        if self.bound is not None:
            return (self.bound,)
        return self.delivery.hosts if self.delivery is not None else None


class Turns:
    """Who may hand over something now.

    Attributes:
        in_hand: the document that is being taken in, if there is one.
        held: something waits for it.
    """

    def __init__(self) -> None:
        self.in_hand: InHand | None = None
        self.held = False

    def may_pass(self, hosts: Hosts) -> bool:
        """Say whether what is of these hosts need not wait; None stands for one that is not known."""
        if self.in_hand is None:
            return True
        others = self.in_hand.hosts
        if others is not None and all(map(names_one, (*hosts, *others))) and not set(hosts) & set(others):
            return True
        self.held = True
        return False
