"""A parsed file: its reports, and the pieces that were rejected."""

from dataclasses import dataclass, replace

from pipeline.finding import Note, ParsedReport, Reject
from pipeline.keys import content_digest
from pipeline.report.json_report import REPORT_KEYS, read_json_report
from pipeline.report.limits import Limits
from pipeline.report.load import Loaded
from pipeline.report.sarif import read_sarif
from pipeline.report.stream import is_record


@dataclass(slots=True, frozen=True)
class Document:
    """The reports of a file in their order, and the rejected pieces that belong to none of them."""

    reports: tuple[ParsedReport, ...]
    rejects: tuple[Reject, ...]


def is_report(loaded: Loaded) -> bool:
    """Return whether a parsed value looks like a JSON report or SARIF log, usable or not."""
    value = loaded.value
    if type(value) is not dict:
        return False
    if "runs" in value or "results" in value:
        return True
    return not REPORT_KEYS.isdisjoint(value) and not is_record(value)


def read_report(loaded: Loaded, text: bytes, limits: Limits, notes: list[Note]) -> ParsedReport:
    """Check one JSON report or SARIF log; `text` is the bytes that it was parsed from.

    Raises:
        ReportError: ``no_results`` or ``too_large``.
    """
    read = read_sarif if "runs" in loaded.value and "results" not in loaded.value else read_json_report
    return read(loaded.value, loaded.marker, content_digest(text), limits, notes)


def with_note(report: ParsedReport, note: Note) -> ParsedReport:
    """Return `report` with one more note in its header."""
    notes = dict.fromkeys((*report.header.notes, note))
    return replace(report, header=replace(report.header, notes=tuple(notes)))
