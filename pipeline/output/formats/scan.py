"""A scan as a format gets it, and what is known to be missing from it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.finding import Level
from pipeline.output.records import EnrichedFinding, ScanRecord
from pipeline.output.story import unseen


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
        is_part: the input is known to lack findings of it.
    """

    scan_id: str
    host: str
    record: ScanRecord | None
    findings: Callable[[], Iterator[EnrichedFinding]]
    missing: tuple[str, ...] = ()
    history: Callable[[], tuple[Past, ...]] = _no_history
    is_part: bool = False


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
    said = unseen(record.counts, record.notes, record.baseline, complete=record.complete, least=record.min_severity)
    return (*found, *(Gap(one.name.partition(".")[2], one.text) for one in said))
