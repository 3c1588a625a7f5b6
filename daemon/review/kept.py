"""What is kept for reviews, in one ledger or in several that have hosts of their own."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal, Protocol

from daemon.ledger.given_up import GivenUp
from daemon.ledger.retained import Filter, Group, Retained
from daemon.ledger.reviews import ReviewStore
from pipeline.errors import LedgerError
from pipeline.review.chain import Anchor
from pipeline.review.verdict import Situation


class Kept(Protocol):
    """What reviews read. `daemon.ledger.reviews.ReviewStore` has it of one ledger, and says what each call means."""

    def anchors(self) -> list[Anchor]: ...

    def given_up(self) -> list[GivenUp]: ...

    def names(self, column: Literal["class_id", "host", "scanner"]) -> list[str]: ...

    def hosts(self) -> list[str]: ...

    def groups(
        self, wanted: Filter, without: Collection[tuple[str, str, str]] = (), among: Collection[str] | None = None
    ) -> list[Group]: ...

    def counted(self, wanted: Filter, findings: Collection[tuple[str, str, str]]) -> dict[tuple[str, str], int]: ...

    def situations(self, class_id: str | None = None) -> dict[str, Situation]: ...

    def situation(self, name: str) -> Situation | None: ...

    def matching(self, prefix: str) -> list[str]: ...

    def find(self, prefix: str) -> list[Retained]: ...

    def exact(self, host: str, fingerprint: str) -> list[Retained]: ...

    def findings(
        self, wanted: Filter, situations: Collection[str] | None = None, limit: int = -1
    ) -> list[Retained]: ...

    def reach(self, situations: Collection[str], host: str | None) -> tuple[int, int, frozenset[str], int | None]: ...

    def lines(self, rows: Sequence[int]) -> Mapping[int, bytes]: ...

    def line(self, row: int) -> bytes: ...


class HasKept(Protocol):
    """A ledger, or what stands for several."""

    @property
    def reviews(self) -> Kept: ...


class ManyKept:
    """Implements `Kept` over several ledgers. A row is numbered so that it says of which of them it is."""

    def __init__(self, stores: Mapping[str, ReviewStore]) -> None:
        """Args: `stores`: by what people call the ledger; at least one."""
        self._names = tuple(stores)
        self._stores = tuple(stores.values())

    @property
    def reviews(self) -> "ManyKept":
        """Give itself, as a ledger gives what it keeps."""
        return self

    def anchors(self) -> list[Anchor]:
        """List what the ledgers have seen of the log."""
        return [
            replace(anchor, where=f"{name}: {anchor.where}")
            for name, store in zip(self._names, self._stores, strict=True)
            for anchor in store.anchors()
        ]

    def given_up(self) -> list[GivenUp]:
        """List the verdicts that somebody said to go on without."""
        return [one for store in self._stores for one in store.given_up()]

    def names(self, column: Literal["class_id", "host", "scanner"]) -> list[str]:
        """List what stands in a column, in order."""
        return sorted({name for store in self._stores for name in store.names(column)})

    def hosts(self) -> list[str]:
        """List the hosts of which a scan or a finding is kept, in order."""
        return sorted({name for store in self._stores for name in store.hosts()})

    def groups(
        self, wanted: Filter, without: Collection[tuple[str, str, str]] = (), among: Collection[str] | None = None
    ) -> list[Group]:
        """Group what is kept by situation and host."""
        return [
            replace(group, worst=self._named(group.worst, at))
            for at, store in enumerate(self._stores)
            for group in store.groups(wanted, without, among)
        ]

    def counted(self, wanted: Filter, findings: Collection[tuple[str, str, str]]) -> dict[tuple[str, str], int]:
        """Say how many of some findings are in each situation of each host."""
        found: Counter[tuple[str, str]] = Counter()
        for store in self._stores:
            found.update(store.counted(wanted, findings))
        return dict(found)

    def situations(self, class_id: str | None = None) -> dict[str, Situation]:
        """Give the situations that are known, by digest."""
        found: dict[str, Situation] = {}
        for store in self._stores:
            found.update(store.situations(class_id))
        return found

    def situation(self, name: str) -> Situation | None:
        """Give a situation by its digest."""
        return next((found for store in self._stores if (found := store.situation(name)) is not None), None)

    def matching(self, prefix: str) -> list[str]:
        """Give the situations whose digest begins so."""
        return sorted({name for store in self._stores for name in store.matching(prefix)})

    def find(self, prefix: str) -> list[Retained]:
        """Give findings whose fingerprint, or the dedupe key of one of whose lines, begins so."""
        return self._sorted([(at, row) for at, store in enumerate(self._stores) for row in store.find(prefix)])

    def exact(self, host: str, fingerprint: str) -> list[Retained]:
        """Give the finding of a host, wherever it is kept."""
        return self._sorted(
            [(at, row) for at, store in enumerate(self._stores) for row in store.exact(host, fingerprint)]
        )

    def findings(self, wanted: Filter, situations: Collection[str] | None = None, limit: int = -1) -> list[Retained]:
        """Give findings, the worst first."""
        found = self._sorted(
            [(at, row) for at, store in enumerate(self._stores) for row in store.findings(wanted, situations, limit)]
        )
        return found if limit < 0 else found[:limit]

    def reach(self, situations: Collection[str], host: str | None) -> tuple[int, int, frozenset[str], int | None]:
        """Say how many findings and lines are in some situations, on which hosts, and which row is the worst."""
        all_ = [store.reach(situations, host) for store in self._stores]
        worst = self.findings(Filter(host=host), situations, 1)
        hosts = frozenset(name for one in all_ for name in one[2])
        return sum(one[0] for one in all_), sum(one[1] for one in all_), hosts, worst[0].row if worst else None

    def lines(self, rows: Sequence[int]) -> Mapping[int, bytes]:
        """Give the lines of findings, by row."""
        count = len(self._stores)
        found: dict[int, bytes] = {}
        for at, store in enumerate(self._stores):
            lines = store.lines([row // count for row in rows if row % count == at])
            found.update({self._named(row, at): line for row, line in lines.items()})
        return found

    def line(self, row: int) -> bytes:
        """Give the line of a finding.

        Raises:
            LedgerError: if it is not there.
        """
        found = self.lines([row]).get(row)
        if found is None:
            raise LedgerError("the line of the finding is not kept any more")
        return found

    def _named(self, row: int, at: int) -> int:
        return row * len(self._stores) + at

    def _sorted(self, rows: Sequence[tuple[int, Retained]]) -> list[Retained]:
        found = [replace(row, row=self._named(row.row, at)) for at, row in rows]
        return sorted(found, key=lambda one: (-one.score, one.row))
