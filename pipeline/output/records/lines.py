"""The lines that a scan record comes out as: one for each issue, then one for the scan."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pipeline.classes.scan import HostSource
from pipeline.contract import Digest, Doc, Positive, Time
from pipeline.finding import Level
from pipeline.output.records.cut import Cut
from pipeline.output.records.origin import Provenance
from pipeline.output.records.scan import Issue, ScanSummary


@dataclass(slots=True, frozen=True, kw_only=True)
class IssueRecord(Issue):
    """One issue of one scan: findings of one kind that are at stake, as one.

    Those of a scan come after its findings and right before its own line. Together they take the place of all
    that earlier scans of the same host and `profile` said: an issue that is not among them is no longer at stake, or
    was not seen.
    """

    schema: Annotated[Literal["sysscan.issue/1"], Doc("Name and version of this format.")]
    dedupe_key: Annotated[
        Digest, Doc("Names this line; no two lines share it. `id` names the issue across scans of the host.")
    ]
    scan_id: Annotated[str, Doc("Names the scan; its findings and its record carry the same.")]
    host: Annotated[str, Doc("As in the findings.")]
    host_source: Annotated[HostSource, Doc("Where `host` comes from.")]
    profile: Annotated[Digest | None, Doc("Names what the scan covered, or null where the report does not say.")]
    observed_at: Annotated[Time | None, Doc("The scan's own start, as reported, or null.")]
    as_of: Annotated[Time, Doc("The time that rules with dates were applied for.")]
    rank: Annotated[Positive, Doc("Its place among the issues of the scan; 1 is the worst.")]
    provenance: Annotated[Provenance, Doc("What made this record, beside the report.")]
    cut: Annotated[Cut | None, Doc("What is not in the line because it would be too long. Left out where all is.")] = (
        None
    )


@dataclass(slots=True, frozen=True)
class ListedIssue:
    """An issue as the line of its scan lists it; all of it stands in its `sysscan.issue/1`."""

    id: Annotated[Digest, Doc("`id` of the issue.")]
    title: Annotated[str, Doc("For people.")]
    level: Annotated[Level, Doc("The worst level.")]
    lines: Annotated[Positive, Doc("Findings that belong to it.")]


@dataclass(slots=True, frozen=True, kw_only=True)
class ScanLine(ScanSummary):
    """What is wrong with a host, in a line of bounded length; the last line of a scan.

    It has the name of the whole record, which has no `dedupe_key`, so whoever looks for the record of a scan in a file
    finds it. Its issues are listed only, it has no `top`, and nothing in the `sample`s of `compliance`: the lines of
    the findings name their controls.
    """

    schema: Annotated[Literal["sysscan.scan/1"], Doc("Name and version of this format.")]
    dedupe_key: Annotated[Digest, Doc("Names this line; no two lines share it.")]
    issues: Annotated[
        tuple[ListedIssue, ...], Doc("The issues, the worst first; each has a line of its own before this one.")
    ]
    cut: Annotated[Cut | None, Doc("What is not in the line because it would be too long. Left out where all is.")] = (
        None
    )
