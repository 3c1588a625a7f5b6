"""Our own records again: as lines, and as one JSON document."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pipeline.output.formats.scan import Scan, gaps
from pipeline.output.lines import line_of, scan_lines, without_samples
from pipeline.output.records import VerdictRecord
from pipeline.output.write import write

SCHEMA: Final = "sysscan.export/1"


def ndjson(scans: Iterable[Scan], verdicts: Sequence[VerdictRecord] = ()) -> Iterator[bytes]:
    """Write scans as the daemon writes them: findings, then issues, then the scan, a line each, none of them too long.

    Args:
        verdicts: come behind; the findings are judged with them, and say so, so nobody applies them twice.
    """
    for scan in scans:
        for finding in scan.findings():
            yield line_of(finding) + b"\n"
        if scan.record is not None:
            for line in scan_lines(scan.record):
                yield line + b"\n"
    for record in verdicts:
        yield line_of(record) + b"\n"


def json(scans: Iterable[Scan], verdicts: Sequence[VerdictRecord] = ()) -> Iterator[bytes]:
    """Write scans as one document: a list of them, each with its findings, its record and what is missing."""
    yield b'{"scans":['
    for number, scan in enumerate(scans):
        yield b',{"findings":[' if number else b'{"findings":['
        for place, finding in enumerate(scan.findings()):
            yield (b"," if place else b"") + write(finding)
        record = None if scan.record is None else without_samples(scan.record)  # `findings` have them
        missing = [{"id": gap.id, "text": gap.text} for gap in gaps(scan)]
        rest = {"host": scan.host, "missing": missing, "record": record, "scan_id": scan.scan_id}
        yield b"]," + write(rest)[1:]
    yield b'],"schema":"' + SCHEMA.encode() + b'","verdicts":['
    for number, verdict in enumerate(verdicts):
        yield (b"," if number else b"") + write(verdict)
    yield b"]}\n"
