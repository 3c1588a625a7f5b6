"""A scan as a format gets it, and what is known to be missing from it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.display import printable
from pipeline.finding import Level
from pipeline.output.records import EnrichedFinding, ScanRecord


@dataclass(slots=True, frozen=True)
class Past:
    """What an earlier scan of the same host and scope came to.

    Attributes:
        at: `as_of` of the scan.
        levels: different findings at stake, by level.
    """

    scan_id: str
    at: str
    levels: Mapping[Level, int]


def _no_history() -> tuple[Past, ...]:
    return ()


@dataclass(slots=True, frozen=True)
class Scan:
    """One scan.

    Attributes:
        record: None where the input does not have it.
        findings: gives them anew at each call, in order, one at a time; as they are now, verdicts applied.
        missing: what the input is known to lack, a sentence each.
        history: gives earlier scans of the host and scope that the input knows of, oldest first, beside those that it
            has whole.
    """

    scan_id: str
    host: str
    record: ScanRecord | None
    findings: Callable[[], Iterator[EnrichedFinding]]
    missing: tuple[str, ...] = ()
    history: Callable[[], tuple[Past, ...]] = _no_history


@dataclass(slots=True, frozen=True)
class Gap:
    """Something that a reader would take for absent and that was merely not seen.

    Attributes:
        id: a word for programs.
        text: a sentence for people.
    """

    id: str
    text: str


def gaps(scan: Scan) -> tuple[Gap, ...]:
    """List what a scan did not see, could not use, or does not know."""
    found = [Gap("input", text) for text in scan.missing]
    record = scan.record
    if record is None:
        found.append(Gap("no_record", "The record of the scan is not in the input: it may have been cut off."))
        return tuple(found)
    counts = record.counts
    if not record.complete:
        found.append(Gap("incomplete", "The report is not complete: nothing counts as mended because of it."))
    if counts.rejected:
        many = _many(counts.rejected, "finding of the report", "findings of the report")
        found.append(Gap("rejected", f"Could not be used: {many}; the quarantine says which and why."))
    if record.min_severity is not None:
        least = printable(record.min_severity, 40)
        found.append(Gap("min_severity", f"The scanner left out everything below {least}."))
    if "internal_error" in record.notes:
        found.append(Gap("not_analysed", "Findings were not analysed because of a fault in the agent; each says so."))
    odd = [note for note in record.notes if note != "internal_error"]
    if odd:
        said = ", ".join(note.replace("_", " ") for note in odd)
        found.append(Gap("notes", f"Odd about the report: {said}."))
    if counts.unknown_class:
        many = _many(counts.unknown_class, "finding", "findings")
        found.append(Gap("unknown_class", f"Of a kind that nothing is known about: {many}."))
    if counts.ambiguous_class:
        many = _many(counts.ambiguous_class, "finding", "findings")
        found.append(Gap("ambiguous_class", f"Could be one of several things: {many}."))
    if record.baseline is not None and record.baseline.not_observed_count:
        many = _many(record.baseline.not_observed_count, "earlier finding", "earlier findings")
        found.append(Gap("not_observed", f"Not looked at this time: {many}, which does not show that they are gone."))
    return tuple(found)


def _many(count: int, one: str, more: str) -> str:
    return f"1 {one}" if count == 1 else f"{count:,} {more}"
