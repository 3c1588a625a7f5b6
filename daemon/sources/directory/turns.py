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
        held: something was told to wait; for the caller to set back.
    """

    def __init__(self) -> None:
        self.in_hand: InHand | None = None
        self.held = False
        self._names: set[str | None] = set()  # hosts of what waits, which what comes behind it must not overtake either
        self._unknown = False

    def begin(self) -> None:
        """Begin to ask everybody, in the order in which they were found."""
        self.held = self._unknown = False
        self._names.clear()

    def may_pass(self, hosts: Hosts | None) -> bool:
        """Say whether what is of these hosts need not wait; None stands for what is not known.

        It must overtake neither the document in hand nor anything that was found before it and waits.
        """
        if self.is_free:
            return True
        if hosts is not None and not self._unknown and all(map(names_one, hosts)):
            taken: Hosts | None = () if self.in_hand is None else self.in_hand.hosts
            if taken is not None and all(map(names_one, taken)) and not self._names.union(taken).intersection(hosts):
                return True
        self.hold(hosts)
        return False

    def may_ask(self, bound: str | None) -> bool:
        """Say whether it is worth while to find out of which hosts something is; if not, it waits."""
        known = self.in_hand is None or self.in_hand.hosts is not None
        if self.is_free or bound is not None or (known and not self._unknown):
            return True
        self.hold(None)
        return False

    @property
    def is_free(self) -> bool:
        """Whether nobody has to wait."""
        return self.in_hand is None and not self._unknown and not self._names

    def hold(self, hosts: Hosts | None) -> None:
        """Have something wait, and all that may be of its hosts behind it."""
        self.held = True
        if hosts is not None and all(map(names_one, hosts)):
            self._names.update(hosts)
        else:
            self._unknown = True
