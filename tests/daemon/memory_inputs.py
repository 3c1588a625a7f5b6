"""A small ledger in memory that keeps the contracts of `Inputs` and `Files` and remembers everything it was given."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from daemon.ports.files import KIND, FileIdentity, FileKind, KnownFile
from daemon.ports.inputs import Admitted, Input
from pipeline.errors import LedgerError
from pipeline.finding import ParsedReport, Reject, ScanHeader
from pipeline.report.encode import decode_finding
from pipeline.report.records import BadLine, FindingLine, HeaderLine, MetaLine, StreamRecord


@dataclass
class MemoryInputs:
    """Attributes:
    findings: (name at the time, finding id) of every line and document finding, in order, repeats included.
    quarantine: (name, reason, offset).
    """

    rows: dict[int, Input] = field(default_factory=dict)
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

    def known(self, kind: str) -> list[Input]:
        return [self._shown(row) for row in self.rows.values() if row.kind == kind]

    def add(self, kind: str, name: str) -> Input:
        self._check()
        row = Input(self.next_id, kind, name)
        self.rows[self.next_id] = row
        self.next_id += 1
        return row

    def drop(self, input_id: int) -> None:
        self._check()
        self.close_scan(input_id)
        self.rows.pop(input_id, None)

    def admit_document(
        self,
        source: Input,
        digest: str,
        reports: Sequence[ParsedReport],
        rejects: Sequence[Reject],
        host_key: str | None = None,
        as_of: str | None = None,
    ) -> Admitted:
        self._store(source)
        self.hosts.append(host_key)
        for report in reports:
            self.documents.append((source.name, report.digest))
            self.findings += [(source.name, finding.id) for finding in report.findings]
            self.quarantine += [(source.name, reject.reason, reject.offset) for reject in report.rejects]
        self.quarantine += [(source.name, reject.reason, reject.offset) for reject in rejects]
        self.asked_again.discard(source.input_id)
        quarantined = len(rejects) + sum(len(report.rejects) for report in reports)
        findings = sum(len(report.findings) for report in reports)
        return Admitted(scans=len(reports), findings=findings, quarantined=quarantined)

    def stage(self, source: Input, host_key: str | None = None, as_of: str | None = None) -> "MemoryStaging":
        self._check()
        return MemoryStaging(self, host_key)

    def admit_records(
        self, source: Input, records: Iterable[tuple[int, StreamRecord]], host_key: str | None = None
    ) -> Admitted:
        if source.anew:
            self.close_scan(source.input_id)
            self.asked_again.discard(source.input_id)
        self._store(source)
        self.hosts.append(host_key)
        count = quarantined = 0
        for offset, record in records:
            if isinstance(record, FindingLine):
                self.findings.append((source.name, record.finding.id))
                self.offsets.append((source.input_id, offset))
                count += 1
            elif isinstance(record, BadLine):
                self.quarantine.append((source.name, record.reject.reason, record.reject.offset))
                quarantined += 1
            if isinstance(record, FindingLine | MetaLine | HeaderLine):
                self.open.add(source.input_id)
        return Admitted(findings=count, quarantined=quarantined)

    def close_scan(self, input_id: int) -> None:
        self._check()
        if input_id in self.open:
            self.open.discard(input_id)
            self.closed.append(self.rows[input_id].name)

    def _shown(self, row: Input) -> Input:
        anew = row.input_id in self.asked_again and row.input_id not in self.open
        return replace(row, anew=anew, position="" if anew else row.position, open=row.input_id in self.open)

    def _store(self, source: Input) -> None:
        self._check()
        if source.input_id not in self.rows:
            raise LedgerError(f"input {source.input_id} is not known")
        self.rows[source.input_id] = replace(source, anew=False, open=False)

    def _check(self) -> None:
        if self.full:
            raise LedgerError("full")


@dataclass
class MemoryStaging:
    """A document that comes in pieces; it becomes what it would be at once."""

    inputs: MemoryInputs
    host_key: str | None
    reports: list[ParsedReport] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    is_open: bool = False

    def begin(self, header: ScanHeader, digest: str) -> bool:
        self.inputs._check()
        self.reports.append(ParsedReport(header, (), (), digest, False))
        self.is_open = True
        return True

    def add(self, findings: Sequence[bytes]) -> None:
        self.inputs._check()
        last = self.reports[-1]
        self.reports[-1] = replace(last, findings=(*last.findings, *map(decode_finding, findings)))

    def reject(self, rejects: Sequence[Reject]) -> None:
        if self.is_open:
            last = self.reports[-1]
            self.reports[-1] = replace(last, rejects=(*last.rejects, *rejects))
        else:
            self.rejects += rejects

    def end(self, complete: bool) -> None:
        self.reports[-1] = replace(self.reports[-1], complete=complete)
        self.is_open = False

    def finish(self, source: Input, digest: str) -> Admitted:
        return self.inputs.admit_document(source, digest, self.reports, self.rejects, self.host_key)

    def drop(self) -> None:
        self.reports = []


@dataclass
class MemoryFiles:
    """The table of the directory source, beside the inputs."""

    inputs: MemoryInputs
    rows: dict[int, tuple[FileIdentity, FileKind]] = field(default_factory=dict)

    def known(self) -> list[KnownFile]:
        return [KnownFile(row, *self.rows[row.input_id]) for row in self.inputs.known(KIND)]

    def rereads(self) -> list[KnownFile]:
        return [file for file in self.known() if file.source.anew]

    def add(self, path: str, identity: FileIdentity, kind: FileKind, after: Sequence[int] = ()) -> KnownFile:
        row = self.inputs.add(KIND, path)
        self.rows[row.input_id] = (identity, kind)
        return KnownFile(row, identity, kind)

    def follow(self, input_id: int, after: Sequence[int]) -> None:
        pass  # it knows no places

    def move(self, input_id: int, path: str, identity: FileIdentity) -> None:
        self.inputs._check()
        if input_id not in self.inputs.rows:
            raise LedgerError(f"input {input_id} is not known")
        self.rows[input_id] = (identity, self.rows[input_id][1])
        self.inputs.rows[input_id] = replace(self.inputs.rows[input_id], name=path)
