"""What a source hands to the ledger."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.finding import ParsedReport, Reject
from pipeline.report.records import StreamRecord


@dataclass(slots=True, frozen=True)
class Input:
    """One thing that is read from its beginning to its end: a file, a pipe, a partition of a topic.

    Attributes:
        input_id: key in the ledger, and all that it tells inputs apart by.
        kind: of the source that reads it, such as ``directory``.
        name: what people and the source call it. A source whose names may change, or be those of two inputs for a
            while, as paths are, keeps a table of its own to tell its inputs apart. What was shown under a name is
            remembered even when the input is gone, so that a state a host returns to is no redelivery.
        position: where to go on, in words that only the source reads; empty before anything was read. What vouches for
            the bytes in front of it belongs in here too: the ledger stores it with what was read, in one transaction.
        anew: it is to be read from its start again; what is handed over with this set begins anew.
        open: a scan of it waits for its end.
        part_set: what is handed over was put together from these parts (`daemon.ports.parts`), which are done with the
            transaction that stores the position.
    """

    input_id: int
    kind: str
    name: str
    position: str = ""
    anew: bool = False
    open: bool = False
    part_set: int | None = None


@dataclass(slots=True, frozen=True)
class Admitted:
    """What became of something handed to the ledger; counts for metrics and logs."""

    scans: int = 0
    findings: int = 0
    redelivered_scans: int = 0
    redelivered_findings: int = 0
    quarantined: int = 0

    def __add__(self, other: "Admitted") -> "Admitted":
        """Add all counts."""
        return Admitted(
            self.scans + other.scans,
            self.findings + other.findings,
            self.redelivered_scans + other.redelivered_scans,
            self.redelivered_findings + other.redelivered_findings,
            self.quarantined + other.quarantined,
        )


class Inputs(Protocol):
    """The ledger's side of admission. Every call is one durable transaction: position, records and keys together.

    `host_key` is the host that the place of an input stands for (a directory bound to a host), or None.
    """

    def known(self, kind: str) -> list[Input]:
        """Give the inputs of a kind that have not been dropped, in the order in which they were added.

        One that somebody asked to have read again shows `anew` and an empty position as soon as none of its scans is
        open, until the source has handed something over from its start.
        """

    def add(self, kind: str, name: str) -> Input: ...

    def drop(self, input_id: int) -> None:
        """Forget an input that is gone; its open scan, if any, is closed as incomplete."""

    def admit_document(
        self,
        source: Input,
        digest: str,
        reports: Sequence[ParsedReport],
        rejects: Sequence[Reject],
        host_key: str | None = None,
    ) -> Admitted:
        """Take the reports that one whole document holds (usually one), and what could not be used of it.

        Args:
            source: carries the position behind the document.
            digest: of the document's bytes: what is bad in it is the same wherever the document turns up.

        Raises:
            LedgerError: when the input is not known, or nothing can be stored just now.
        """

    def admit_records(
        self, source: Input, records: Iterable[tuple[int, StreamRecord]], host_key: str | None = None
    ) -> Admitted:
        """Take lines of a stream, each with its offset; `source` carries the position behind them.

        Raises:
            LedgerError: when the input is not known, or nothing can be stored just now.
        """

    def close_scan(self, input_id: int) -> None:
        """Close the open scan of an input, if it has one: rotation, deadline or end."""
