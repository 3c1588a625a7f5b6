"""A small ledger in memory that keeps the contract of `daemon.ports.Intake` and remembers everything it was given."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from daemon.ports.inputs import Admitted, FileIdentity, FileState
from pipeline.errors import LedgerError
from pipeline.finding import ParsedReport, Reject
from pipeline.report.records import BadLine, FindingLine, StreamRecord


@dataclass
class MemoryIntake:
    """Attributes:
    findings: (path at the time, finding id) of every line and document finding, in order, repeats included.
    quarantine: (path, reason, offset).
    """

    states: dict[int, FileState] = field(default_factory=dict)
    findings: list[tuple[str, str]] = field(default_factory=list)
    offsets: list[tuple[int, int]] = field(default_factory=list)
    documents: list[tuple[str, str]] = field(default_factory=list)
    quarantine: list[tuple[str, str, int | None]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    hosts: list[str | None] = field(default_factory=list)
    asked_again: set[int] = field(default_factory=set)
    open: set[int] = field(default_factory=set)
    full: bool = False
    next_id: int = 1

    @property
    def ids(self) -> list[str]:
        return [finding for _, finding in self.findings]

    @property
    def reasons(self) -> list[str]:
        return [reason for _, reason, _ in self.quarantine]

    def files(self) -> list[FileState]:
        return [
            replace(state, scan_no=file_id if file_id in self.open else None) for file_id, state in self.states.items()
        ]

    def rereads(self) -> list[FileState]:
        return [
            replace(self.states[file_id], offset=0, tail_digest="", digest=None) for file_id in sorted(self.asked_again)
        ]

    def add_file(self, path: str, identity: FileIdentity, kind: Literal["document", "stream"]) -> FileState:
        self._check()
        state = FileState(self.next_id, path, identity, kind)
        self.states[self.next_id] = state
        self.next_id += 1
        return state

    def update_file(self, file: FileState) -> None:
        self._check()
        old = self.states[file.file_id]
        self.states[file.file_id] = replace(old, path=file.path, identity=file.identity)

    def drop_file(self, file_id: int) -> None:
        self._check()
        self.close_stream(file_id)
        del self.states[file_id]

    def admit_document(
        self, file: FileState, reports: Sequence[ParsedReport], rejects: Sequence[Reject], host_key: str | None = None
    ) -> Admitted:
        self._store(file)
        self.hosts.append(host_key)
        for report in reports:
            self.documents.append((file.path, report.digest))
            self.findings += [(file.path, finding.id) for finding in report.findings]
            self.quarantine += [(file.path, reject.reason, reject.offset) for reject in report.rejects]
        self.quarantine += [(file.path, reject.reason, reject.offset) for reject in rejects]
        self.asked_again.discard(file.file_id)
        return Admitted(scans=len(reports), findings=sum(len(report.findings) for report in reports))

    def admit_records(
        self, file: FileState, records: Iterable[tuple[int, StreamRecord]], host_key: str | None = None
    ) -> Admitted:
        self._store(file)
        self.hosts.append(host_key)
        count = 0
        for offset, record in records:
            self.asked_again.discard(file.file_id)
            if isinstance(record, FindingLine):
                self.findings.append((file.path, record.finding.id))
                self.offsets.append((file.file_id, offset))
                count += 1
            elif isinstance(record, BadLine):
                self.quarantine.append((file.path, record.reject.reason, record.reject.offset))
            self.open.add(file.file_id)
        return Admitted(findings=count)

    def close_stream(self, file_id: int) -> None:
        self._check()
        if file_id in self.open:
            self.open.discard(file_id)
            self.closed.append(self.states[file_id].path)

    def _store(self, file: FileState) -> None:
        self._check()
        old = self.states[file.file_id]
        self.states[file.file_id] = replace(old, offset=file.offset, tail_digest=file.tail_digest, digest=file.digest)

    def _check(self) -> None:
        if self.full:
            raise LedgerError("full")
