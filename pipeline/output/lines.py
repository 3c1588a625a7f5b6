"""What comes out as lines: none is longer than a shipper of logs takes.

Fluent Bit gives a file up at a line of more than 32 KB, Vector passes over one of more than 100 KiB. The ledger holds
records whole, and Kafka up to a limit of its own (`within`); a file and a pipe get these lines.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Final, Literal, TypeVar, get_args

from pipeline.display import printable
from pipeline.keys import digest
from pipeline.knowledge.schema import Basis
from pipeline.output.cut import LineRecord, Record, shortened
from pipeline.output.read import read_finding, read_scan, read_verdict
from pipeline.output.records import (
    Cut,
    CutPart,
    EnrichedFinding,
    Issue,
    IssueRecord,
    ListedIssue,
    ScanLine,
    ScanRecord,
    ScanSummary,
    VerdictRecord,
)
from pipeline.output.write import write
from pipeline.rules.compliance import FailingControls, FrameworkGap, SupportedControls

LONGEST: Final = 30 << 10  # bytes of a line, with its end; Fluent Bit's buffer has 32 KB if nobody enlarges it
SCAN: Final = "sysscan.scan/1"
ISSUE: Final = "sysscan.issue/1"
MOST: Final = 1000  # issues of a scan that have a line; real scans have 75
_TOP = 10
# Lists that a report can make long: name, how they begin, how an item begins, and what comes behind them.
_LISTS: Final = (
    ("issues", b'"issues":[', b'{"actions":', b'],"min_severity":'),
    ("baseline.resolved", b'"resolved":[', b'{"class":', b'],"states":'),
)
_SCAN_ID: Final = 32  # characters of a scan id: a digest; its beginning names the scan, too

Controls = TypeVar("Controls", FailingControls, SupportedControls)

_ISSUE_FIELDS: Final = tuple(field.name for field in fields(Issue))
_SUMMARY_FIELDS: Final = tuple(field.name for field in fields(ScanSummary))


def fitted(record: Record, most: int = LONGEST - 1) -> Record:
    """Give a record whose line has at most `most` bytes, without its end; the same object where it has anyway."""
    return shortened(record, most, _whole(record))


def line_of(record: LineRecord) -> bytes:
    """Write the line of a record, without its end, cut where it would be too long."""
    return write(fitted(record))


def finding_line(line: bytes) -> bytes:
    """Give the line of a finding, without its end, cut where it is too long."""
    return line if len(line) < LONGEST else line_of(read_finding(line))


def scan_lines(record: ScanRecord) -> list[bytes]:
    """Write the lines of a scan, without their ends: one for each issue, the worst first, then one for the scan."""
    return [line_of(one) for one in scan_records(write(record))]


def scan_records(whole: bytes) -> Iterator[IssueRecord | ScanLine]:
    """Give the records that the lines of a scan are made of; what each of them holds is not cut yet.

    Args:
        whole: its record, as it is written. A report can make up a hundred thousand issues, of which most are not read.

    Raises:
        RecordError: if it is none.
    """
    line, totals = _first_items(whole)
    record = read_scan(line)
    for rank, issue in enumerate(record.issues, 1):
        yield IssueRecord(
            schema=ISSUE,
            dedupe_key=digest(ISSUE, record.scan_id, issue.id),
            scan_id=record.scan_id,
            host=record.host,
            host_source=record.host_source,
            profile=record.profile,
            observed_at=record.started_at,
            as_of=record.as_of,
            rank=rank,
            provenance=record.provenance,
            **{name: getattr(issue, name) for name in _ISSUE_FIELDS},
        )
    listed = tuple(ListedIssue(issue.id, issue.title, issue.level, issue.lines) for issue in record.issues)
    summary = {name: getattr(record, name) for name in _SUMMARY_FIELDS}
    summary["compliance"] = without_samples(record).compliance
    cut = _cut_before(totals) or record.cut
    yield ScanLine(schema=SCAN, dedupe_key=digest(SCAN, record.scan_id), issues=listed, cut=cut, **summary)


def within(kind: Literal["finding", "scan", "verdict"], line: bytes, most: int) -> bytes:
    """Give the line of a whole record, cut where it has more bytes than that, in which case it says so in `cut`.

    Args:
        line: as it is written.
        most: any record fits 32 KiB.

    Raises:
        RecordError: if it is none.
    """
    if len(line) <= most:
        return line
    if kind != "scan":
        return write(fitted(read_finding(line) if kind == "finding" else read_verdict(line), most))
    line, totals = _first_items(line)
    record = read_scan(line)
    return write(fitted(replace(record, cut=_cut_before(totals) or record.cut), most))


def _cut_before(totals: Sequence[tuple[str, int]]) -> Cut | None:
    """Say what `_first_items` has left out."""
    return Cut(tuple(CutPart(what, "items", MOST, of) for what, of in totals), "") if totals else None


def _first_items(whole: bytes) -> tuple[bytes, list[tuple[str, int]]]:
    """Leave of a record's long lists the first `MOST` items, before anything is read; gives how many those had.

    The record is as `write` wrote it: keys are sorted, and a quote within a text is escaped, so that what is searched
    for stands nowhere else. A list that is not found so is left whole.
    """
    totals = []
    for what, opening, first, closing in _LISTS:
        begin = whole.find(opening + first)
        end = whole.find(closing, begin)
        if begin < 0 or end < 0:
            continue
        between = b"}," + first
        at = begin
        for _ in range(MOST):
            at = whole.find(between, at + 1, end)
            if at < 0:
                break
        else:
            totals.append((what, whole.count(between, begin, end) + 1))
            whole = whole[: at + 1] + whole[end:]
    return whole, totals


def whole_record(line: ScanLine, issues: Iterable[IssueRecord]) -> ScanRecord:
    """Put a scan record together again from its lines, as far as they have it.

    Args:
        issues: those of the scan that are there.
    """
    found = tuple(
        Issue(**{name: getattr(one, name) for name in _ISSUE_FIELDS})
        for one in sorted(issues, key=lambda one: one.rank)
    )
    return ScanRecord(
        schema="sysscan.scan/1",
        issues=found,
        top=tuple(issue.id for issue in found[:_TOP]),
        **{name: getattr(line, name) for name in _SUMMARY_FIELDS},
    )


def without_samples(record: ScanRecord) -> ScanRecord:
    """Leave out the findings that controls name: their lines name the controls."""
    return replace(record, compliance=tuple(map(_without_samples, record.compliance)))


def _whole(record: LineRecord | ScanRecord) -> str:
    """Give the command that shows all of a record."""
    if isinstance(record, EnrichedFinding):
        return f"sysscan-agent export --scan {printable(record.scan_id, _SCAN_ID)} --format json"
    if isinstance(record, VerdictRecord):
        return "sysscan-agent audit show --limit 0 --json"
    return f"sysscan-agent report {printable(record.scan_id, _SCAN_ID)} --format json"


def _without_samples(gap: FrameworkGap) -> FrameworkGap:
    made = {name: _by_basis(getattr(gap, name)) for name in ("failing", "supporting_only", "disputed_only")}
    return replace(gap, **made)


def _by_basis(controls: Controls) -> Controls:
    made = {basis: tuple(replace(one, sample=()) for one in getattr(controls, basis)) for basis in get_args(Basis)}
    return replace(controls, **made)
