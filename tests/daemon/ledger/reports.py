"""Builds what a source would hand to the ledger, from real lines read by the real parser."""

from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import orjson

from daemon.ledger import Ledger
from daemon.ports.inputs import Admitted, FileIdentity, FileState
from daemon.ports.work import ClosedScan
from pipeline.finding import ParsedReport, RawFinding, Reject, ScanHeader
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.report.records import StreamRecord
from pipeline.report.stream import parse_line

SINK = "file"
START = 1_700_000_000.0  # 2023-11-14T22:13:20Z


def identity(number: int) -> FileIdentity:
    return FileIdentity(1, number, None, 0, "")


def meta(host: str | None = "web01", **fields: object) -> bytes:
    named = {} if host is None else {"hostname": host}
    return orjson.dumps({"type": "meta", **named, **fields})


def summary(emitted: int, **fields: object) -> bytes:
    return orjson.dumps({"type": "summary", "finding_count_emitted": emitted, **fields})


EXTENSION = orjson.dumps({"type": "summary_extension", "total_risk_score": 1})


def finding(id_: str) -> bytes:
    return orjson.dumps({"type": "finding", "scanner": "modules", "id": id_, "severity": "info"})


def scan(*ids: str, host: str | None = "web01", emitted: int | None = None, **fields: object) -> list[bytes]:
    """Give the lines of a whole scan."""
    count = len(ids) if emitted is None else emitted
    return [meta(host), summary(count, **fields), EXTENSION, *map(finding, ids)]


def ndjson_report(lines: list[bytes]) -> list[ParsedReport]:
    """Read lines as a whole document, as for a compressed stream."""
    return list(read_document(b"".join(line + b"\n" for line in lines), Limits(), final=True).reports)


def report(
    *ids: str,
    host: str | None = "web01",
    started_at: str | None = "2026-01-01T00:00:00Z",
    digest: str = "d",
    **more: object,
) -> ParsedReport:
    header = ScanHeader("json", host=host, started_at=started_at)
    findings = tuple(RawFinding("modules", id_, "info") for id_ in ids)
    return replace(ParsedReport(header, findings, (), digest, True), **more)  # type: ignore[arg-type]


def reject(detail: str = "no", offset: int | None = 3, path: str | None = None) -> Reject:
    return Reject("wrong_type", detail, offset, path, b"{")


@dataclass
class Stream:
    """A growing file, and the source that tails it."""

    ledger: Ledger
    path: str
    host_key: str | None = None
    content: bytes = b""
    state: FileState = field(init=False)
    _number: int = 0

    def __post_init__(self) -> None:
        taken = [file.identity.inode for file in self.ledger.inputs.files()]
        self.state = self.ledger.inputs.add_file(self.path, identity(max(taken, default=0) + 1), "stream")

    def append(self, *lines: bytes) -> Admitted:
        start = len(self.content)
        self.content += b"".join(line + b"\n" for line in lines)
        return self.read_from(start)

    def read_from(self, start: int) -> Admitted:
        """Hand over everything from an offset on, in one transaction."""
        self.state = replace(self.state, offset=len(self.content), tail_digest=sha256(self.content[-256:]).hexdigest())
        return self.ledger.inputs.admit_records(self.state, records(self.content, start), self.host_key)

    def close(self) -> None:
        self.ledger.inputs.close_stream(self.state.file_id)


def records(content: bytes, start: int = 0) -> list[tuple[int, StreamRecord]]:
    found = []
    position = start
    for line in content[start:].splitlines(keepends=True):
        found.append((position, parse_line(line, position, Limits())))
        position += len(line)
    return found


def admit(
    ledger: Ledger, *reports: ParsedReport, path: str = "/w/a.json", rejects: tuple[Reject, ...] = ()
) -> Admitted:
    """Hand over a document in a file of its own."""
    file = ledger.inputs.add_file(path, identity(1), "document")
    raw_digest = sha256(repr((reports, rejects)).encode()).hexdigest()
    return ledger.inputs.admit_document(replace(file, digest=raw_digest, offset=9), reports, rejects)


def work_off(ledger: Ledger, size: int = 3) -> list[ClosedScan]:
    """Do what the pipeline does with every closed scan; returns them in order."""
    done = []
    while (closed := ledger.work.next_scan()) is not None:
        findings = ledger.work.findings(closed.scan_no)
        for batch in ledger.work.plan(closed.scan_no, size):
            members = range(batch.first, batch.last)
            ledger.work.commit_batch(
                batch, [(f"{closed.scan_no}/{n}", "low", True, line_of(findings[n])) for n in members]
            )
        ledger.work.finish_scan(closed, b"record %d" % closed.scan_no, [], [], "profile")
        done.append(closed)
    return done


def line_of(found: RawFinding) -> bytes:
    return found.id.encode()


def drain(ledger: Ledger, sink: str = SINK) -> list[bytes]:
    """Deliver everything; returns the lines of findings."""
    lines = []
    while rows := ledger.outbox.pending(sink, 2):
        lines += [row.line for row in rows if row.kind == "finding"]
        ledger.outbox.delivered(sink, rows[-1].position)
    return lines


def emitted_ids(ledger: Ledger) -> list[str]:
    """Work everything off and deliver it; returns the ids of findings in the order of delivery."""
    work_off(ledger)
    return [line.decode() for line in drain(ledger)]


def open_ledger(directory: Path, **options: object) -> Ledger:
    return Ledger.open(directory, **{"clock": lambda: START, **options})  # type: ignore[arg-type]
