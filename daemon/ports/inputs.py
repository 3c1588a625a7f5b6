"""What a source hands to the ledger."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.finding import ParsedReport, Reject
from pipeline.report.records import StreamRecord


@dataclass(slots=True, frozen=True)
class FileIdentity:
    """Which file it is, whatever it is called.

    Attributes:
        birth_ns: creation time from statx, or None where the file system has none.
        head_length, head_digest: a growing hash of the first bytes (at most 1024), and how many it covers.
    """

    device: int
    inode: int
    birth_ns: int | None
    head_length: int
    head_digest: str


@dataclass(slots=True, frozen=True)
class FileState:
    """What the ledger durably knows of a file.

    Attributes:
        file_id: key in the ledger.
        path: as found, with bytes that are not UTF-8 as surrogate escapes (`os.fsdecode`).
        kind: ``document`` (JSON, SARIF, anything compressed: read whole) or ``stream`` (NDJSON: read by line).
        offset: bytes consumed of a stream; size of the document last admitted.
        tail_digest: of the (at most 256) bytes before `offset`.
        digest: sha256 of the raw bytes of the document last admitted or quarantined, or None.
        scan_no: the open scan of a stream, or None.
    """

    file_id: int
    path: str
    identity: FileIdentity
    kind: Literal["document", "stream"]
    offset: int = 0
    tail_digest: str = ""
    digest: str | None = None
    scan_no: int | None = None


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


class Intake(Protocol):
    """The ledger's side of admission. Every call is one durable transaction: position, records and keys together.

    `host_key` is the host that the place of the file stands for (a directory bound to a host), or None.
    """

    def files(self) -> list[FileState]: ...

    def add_file(self, path: str, identity: FileIdentity, kind: Literal["document", "stream"]) -> FileState: ...

    def rereads(self) -> list[FileState]:
        """Files that somebody asked to have read again from the start, with their position put back there."""

    def update_file(self, file: FileState) -> None:
        """Record a new path (renamed), a grown head hash, or a whole new identity (continued in another file);
        consumes nothing."""

    def drop_file(self, file_id: int) -> None:
        """Forget a file that is gone; its open scan, if any, is closed as incomplete."""

    def admit_document(
        self, file: FileState, reports: Sequence[ParsedReport], rejects: Sequence[Reject], host_key: str | None = None
    ) -> Admitted:
        """Take the reports that one whole document holds (usually one), and what could not be used of it.

        `file` carries the new `digest` and `offset`.
        """

    def admit_records(
        self, file: FileState, records: Iterable[tuple[int, StreamRecord]], host_key: str | None = None
    ) -> Admitted:
        """Take lines of a stream, each with its offset; `file` carries the new `offset` and `tail_digest`."""

    def close_stream(self, file_id: int) -> None:
        """Close the open scan of a stream: rotation, deadline or end of input."""
