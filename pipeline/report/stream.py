"""Parses NDJSON: single lines, and sequences of lines as reports."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pipeline.errors import ReportError
from pipeline.finding import EXCERPT_BYTES, Note, ParsedReport, RawFinding, Reject, ScanHeader
from pipeline.report.finding_fields import describe, excerpt_of, read_finding
from pipeline.report.header import build_header
from pipeline.report.limits import Limits, line_too_long, too_many_findings
from pipeline.report.load import Loaded, load
from pipeline.report.marks import resolve_header
from pipeline.report.records import BadLine, BlankLine, FindingLine, HeaderLine, MetaLine, StreamRecord

HEADER_KINDS = frozenset(("summary", "summary_extension", "timing"))
RECORD_KINDS = HEADER_KINDS | {"meta", "finding"}

_WHITE = b" \t\r\n"
LOG_LINE = rb"\[(?:TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL) *\](?: |$)"
_LOG_LINE = re.compile(LOG_LINE)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What may stand before a document or a line and is no part of it: marks of files that were put together, and the hole
# that a writer leaves whose file is truncated while it is open.
_BEFORE = re.compile(rb"(?:[ \t\r\n\x00]|\xef\xbb\xbf)*+")
# With these a report can still be complete: its summary counts findings only.
_HARMLESS = frozenset(("log_line", "unknown_record"))


def parse_line(line: bytes, offset: int, limits: Limits) -> StreamRecord:
    """Parse one line.

    Args:
        line: with or without its line end. Leading zero bytes are dropped: a writer whose file is truncated while it is
            open goes on at its old offset, which leaves a hole.
        offset: of its first byte in the stream.
    """
    if len(line) > limits.max_line_bytes + 2:
        return _bad("line_too_long", line_too_long(limits), line, offset)
    text = line.strip(_WHITE)
    text = without_marks(text)
    if not text:
        return BlankLine()
    if is_log_line(text):
        return _bad("log_line", "the scanner's log, mixed into its output", line, offset)
    try:
        loaded = load(text, limits)
    except ReportError as error:
        return _bad(error.reason, error.detail, line, offset)
    return read_record(loaded, line.strip(b"\r\n"), offset)


def read_record(loaded: Loaded, line: bytes, offset: int) -> StreamRecord:
    """Return the kind of line that a parsed value is; `line` is the bytes it was parsed from."""
    value, marker = loaded.value, loaded.marker
    if type(value) is not dict:
        return _bad("unknown_record", f"a record must be an object, not {describe(value)}", line, offset)
    if not is_record(value):
        shown = excerpt_of(value.get("type"), marker)[:40].decode("utf-8", "replace")
        return _bad("unknown_record", f"a record of unknown type {shown}", line, offset)
    kind: str = value["type"]
    if kind == "finding":
        finding = read_finding(value, None, "", marker)
        if isinstance(finding, RawFinding):
            return FindingLine(finding, line)
        return BadLine(Reject(finding.reason, finding.detail, offset, finding.path, line[:EXCERPT_BYTES]))
    fields: dict[str, Any] = resolve_header(value, marker, []) if marker else value
    return MetaLine(fields, line) if kind == "meta" else HeaderLine(kind, fields, line)


def is_record(value: dict[str, Any]) -> bool:
    """Return whether a parsed object is a record of a type that the scanner writes."""
    kind = value.get("type")
    return type(kind) is str and kind in RECORD_KINDS


def stream_header(meta: MetaLine | None, headers: Sequence[HeaderLine]) -> ScanHeader:
    """Make the header of a scan from its first lines; of two lines of a kind that contradict each other the first
    counts."""
    notes: list[Note] = []
    if meta is None:
        notes.append("no_meta")
    raw: dict[str, Any] = {"meta": meta.fields} if meta else {}
    for header in headers:
        if header.kind == "timing":
            raw.setdefault("timings", []).append(header.fields)
        elif header.kind not in raw:
            raw[header.kind] = header.fields
        elif raw[header.kind] != header.fields:
            notes.append("duplicate_header_key")
    return build_header("ndjson", meta.fields if meta else {}, raw.get("summary", {}), raw, (), notes)


class ReportAssembler:
    """Assembles records into reports, in order: each `meta` line begins a report.

    Header lines before the first `meta` belong to its report, unless a finding comes between.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._reports: list[ParsedReport] = []
        self._loose: list[Reject] = []
        self._meta: MetaLine | None = None
        self._headers: list[HeaderLine] = []
        self._findings: list[RawFinding] = []
        self._rejects: list[Reject] = []
        self._digest = hashlib.sha256()

    def add(self, record: StreamRecord, raw: bytes) -> None:
        """Add the next record; `raw` is its bytes, which the digest of the report covers, without the line end."""
        if isinstance(record, BlankLine):
            return
        if isinstance(record, MetaLine):
            if self._meta is not None or self._findings:
                self._close()
            self._meta = record
        elif isinstance(record, HeaderLine):
            self._headers.append(record)
        elif isinstance(record, FindingLine):
            self._findings.append(record.finding)
            if len(self._findings) > self._limits.max_findings:
                raise too_many_findings(self._limits)
        else:
            self._rejects.append(record.reject)
            if len(self._rejects) > self._limits.max_rejects:
                raise ReportError(
                    "not_a_report",
                    f"more than {self._limits.max_rejects} records that cannot be used (limits.max_rejects)",
                )
            if record.reject.reason == "log_line":
                return
        self._digest.update(raw.strip(b"\r\n") + b"\n")

    def finish(self) -> tuple[list[ParsedReport], list[Reject]]:
        """Close the last report; return all reports, and the rejects that belong to none. Call once."""
        self._close()
        return self._reports, self._loose

    def _close(self) -> None:
        if self._meta is None and not self._headers and not self._findings:
            self._loose += self._rejects
            self._rejects = []
            return
        header = stream_header(self._meta, self._headers)
        notes = list(header.notes)
        lost = [reject for reject in self._rejects if reject.reason not in _HARMLESS]
        if header.emitted is not None and header.emitted != len(self._findings) + len(lost):
            notes.append("count_mismatch")
        if any(reject.reason == "log_line" for reject in self._rejects):
            notes.append("log_lines")
        if any("severity" in finding.extra for finding in self._findings):
            notes.append("severity_normalised")
        self._reports.append(
            ParsedReport(
                header=replace(header, notes=tuple(dict.fromkeys(notes))),
                findings=tuple(self._findings),
                rejects=tuple(self._rejects),
                digest=self._digest.hexdigest(),
                complete=header.emitted == len(self._findings) and not lost,
            )
        )
        self._meta, self._headers, self._findings, self._rejects = None, [], [], []
        self._digest = hashlib.sha256()


def read_lines(text: bytes, limits: Limits) -> Iterable[tuple[bytes, StreamRecord]]:
    """Yield every line of NDJSON with its record; a last line without an end may be cut."""
    position = 0
    while position < len(text):
        end = text.find(b"\n", position) + 1 or len(text)
        line = text[position:end]
        yield line, parse_line(line, position, limits)
        position = end


def without_marks(text: bytes) -> bytes:
    """Return `text` without byte order marks, zero bytes and blanks before it."""
    if text[:1] not in (b"\0", b"\xef"):
        return text
    before = _BEFORE.match(text)
    return text[before.end() :] if before is not None else text


def is_log_line(line: bytes) -> bool:
    """Return whether a line is one of the scanner's log (`[INFO ] ...`), which `2>&1` mixes into its output."""
    return line[:1] == b"[" and _LOG_LINE.match(line) is not None


def _bad(reason: Any, detail: str, line: bytes, offset: int) -> BadLine:
    return BadLine(Reject(reason, detail, offset, None, line[:EXCERPT_BYTES]))
