"""Where the rooms of the daemon meet: what a source hands to the ledger, and what a sink takes from it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.finding import ParsedReport, RawFinding, Reject, ScanHeader
from pipeline.report.records import StreamRecord

HostSource = Literal["report", "option", "key", "unknown"]


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


@dataclass(slots=True, frozen=True)
class ClosedScan:
    """A scan whose members are fixed; the pipeline may work on it.

    Attributes:
        scan_no: durable ingest number in the order of closing; orders everything that follows.
        source: path of the file, or ``-`` for standard input.
        complete: as announced by its summary, nothing rejected.
        as_of: the time that time-dependent rules use, RFC 3339: the scan's own end, else the pinned ingest time.
        received: the pinned ingest time.
    """

    scan_no: int
    scan_id: str
    host: str
    host_source: HostSource
    source: str
    header: ScanHeader
    complete: bool
    findings: int
    rejected: int
    as_of: str
    received: str = ""


@dataclass(slots=True, frozen=True)
class Batch:
    """Findings `first` (inclusive) to `last` (exclusive) of a scan; membership is committed before the graph runs."""

    batch_id: int
    scan_no: int
    first: int
    last: int
    attempt: int = 0


@dataclass(slots=True, frozen=True)
class BaselineRow:
    """What the host's earlier scans of the same profile said of one fingerprint.

    `label` names the finding for people (its path, unit, parameter) when it is no longer in a report.
    """

    fingerprint: str
    class_id: str
    status: str
    content: str
    first_seen_at: str
    last_scan_no: int
    count: int
    label: str = ""


@dataclass(slots=True, frozen=True)
class OutboxRow:
    """One durable record waiting for sinks; `line` has no line end."""

    position: int
    kind: Literal["finding", "scan"]
    key: str
    level: str
    changed: bool
    line: bytes


class WorkQueue(Protocol):
    """The ledger's side of analysis."""

    def next_scan(self) -> ClosedScan | None:
        """The oldest closed scan that is not done."""

    def findings(self, scan_no: int) -> list[RawFinding]: ...

    def plan(self, scan_no: int, size: int) -> list[Batch]:
        """Commit the batches of a scan (once; a later call with another size keeps the first plan) and return
        those that are not done, in order."""

    def retry_batch(self, batch: Batch) -> Batch:
        """Count another attempt at a batch durably; returns the batch with the new count."""

    def commit_batch(self, batch: Batch, rows: Sequence[tuple[str, str, bool, bytes]]) -> None:
        """Store (dedupe key, level, changed, line) rows in the outbox and mark the batch done, in one transaction."""

    def finish_scan(
        self,
        scan: ClosedScan,
        record: bytes,
        baseline: Sequence[BaselineRow],
        gone: Sequence[str],
        profile: str,
    ) -> None:
        """Store the scan record, update the baseline (upsert `baseline`, delete fingerprints `gone`), delete the
        inbox rows and mark the scan done, in one transaction."""

    def baseline(self, host: str, profile: str) -> dict[str, BaselineRow]: ...

    def cached_analyses(self, keys: Sequence[str]) -> dict[str, bytes]: ...

    def store_analyses(self, analyses: dict[str, bytes]) -> None: ...


class Sink(Protocol):
    """Takes records in order. `write` returns when they are durable."""

    name: str

    def recover(self, delivered: int, pending: Callable[[int], Sequence[OutboxRow]]) -> int:
        """Find out how far the records are durable, given the ledger's high-water mark; returns the position after
        which to go on. Called once before the first `write`.

        Args:
            pending: gives the next rows after a position, in order; empty when there are none.

        Raises:
            SinkError: when it cannot just now; it will be called again.
        """

    def write(self, rows: Sequence[OutboxRow]) -> None:
        """Make the rows durable.

        Raises:
            SinkError: when it cannot just now; the same rows will be offered again.
        """

    def close(self) -> None: ...
