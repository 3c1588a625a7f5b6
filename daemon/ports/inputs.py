"""What a source hands to the ledger."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.finding import ParsedReport, Reject, ScanHeader
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


class Staging(Protocol):
    """A document that comes in pieces. Each call is one durable transaction, and none of them counts before `finish`.

    Reports come one after the other: `begin`, `add` and `reject` as often as need be, `end`; then what belongs to none.
    Whatever becomes of the process in between, nothing is left of a document that was not finished.

    Raises:
        LedgerError: when nothing can be stored just now; then the document is to be dropped, and read again.
    """

    def begin(self, header: ScanHeader, digest: str) -> bool:
        """Begin a report; returns False where it is a redelivery for certain, and its findings need not be kept."""

    def add(self, findings: Sequence[bytes]) -> None:
        """Take findings, each as `pipeline.report.encode` writes it."""

    def reject(self, rejects: Sequence[Reject]) -> None: ...

    def end(self, complete: bool) -> None: ...

    def finish(self, source: Input, digest: str) -> Admitted:
        """Let all of it count, with the position behind it: one short transaction, as `admit_document` is."""

    def drop(self) -> None:
        """Do without the document; does nothing once it is finished."""


class Admitting(Protocol):
    """What takes whole documents in; see `Inputs`, which does, too."""

    def admit_document(
        self,
        source: Input,
        digest: str,
        reports: Sequence[ParsedReport],
        rejects: Sequence[Reject],
        host_key: str | None = None,
        as_of: str | None = None,
    ) -> Admitted: ...

    def stage(self, source: Input, host_key: str | None = None, as_of: str | None = None) -> "Staging": ...


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
        as_of: str | None = None,
    ) -> Admitted:
        """Take the reports that one whole document holds (usually one), and what could not be used of it.

        Args:
            source: carries the position behind the document.
            digest: of the document's bytes: what is bad in it is the same wherever the document turns up.
            as_of: when a report is from that does not say so itself; default: now.

        Raises:
            LedgerError: when the input is not known, or nothing can be stored just now.
        """

    def stage(self, source: Input, host_key: str | None = None, as_of: str | None = None) -> "Staging":
        """Begin to take a large document in pieces; see `admit_document`. Any number may be under way."""

    def admit_records(
        self, source: Input, records: Iterable[tuple[int, StreamRecord]], host_key: str | None = None
    ) -> Admitted:
        """Take lines of a stream, each with its offset; `source` carries the position behind them.

        Raises:
            LedgerError: when the input is not known, or nothing can be stored just now.
        """

    def close_scan(self, input_id: int) -> None:
        """Close the open scan of an input, if it has one: rotation, deadline or end."""
