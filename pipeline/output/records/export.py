"""Scans as one document: `export --format json`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pipeline.contract import Doc
from pipeline.output.records.finding import EnrichedFinding
from pipeline.output.records.scan import ScanRecord
from pipeline.output.records.verdict import VerdictRecord


@dataclass(slots=True, frozen=True)
class MissingPart:
    """Something that a reader would take for absent and that was merely not seen, or is not in the input."""

    id: Annotated[str, Doc("A word for programs.")]
    text: Annotated[str, Doc("A sentence for people.")]


@dataclass(slots=True, frozen=True, kw_only=True)
class ExportedScan:
    """One scan with its findings."""

    scan_id: Annotated[str, Doc("Names the scan.")]
    host: Annotated[str, Doc("The host.")]
    missing: Annotated[tuple[MissingPart, ...], Doc("What the scan did not see, and what the input lacks.")]
    findings: Annotated[tuple[EnrichedFinding, ...], Doc("Its findings as they are now, verdicts applied.")]
    record: Annotated[
        ScanRecord | None,
        Doc("Its record, with nothing in the `sample`s of `compliance`; null where the input does not have it."),
    ]


@dataclass(slots=True, frozen=True, kw_only=True)
class ExportDocument:
    """Scans in one document, each with its findings, its record and what is missing."""

    schema: Annotated[Literal["sysscan.export/1"], Doc("Name and version of this format.")]
    scans: Annotated[tuple[ExportedScan, ...], Doc("The scans.")]
    verdicts: Annotated[
        tuple[VerdictRecord, ...],
        Doc("The records of verdicts that stood among saved lines; they are applied already."),
    ]
