"""What the view over a fleet publishes (`daemon/fleet/records.py` writes it): described here for whoever reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pipeline.contract import Count, Digest, Doc, Items, Percent, Time
from pipeline.finding import Level


@dataclass(slots=True, frozen=True)
class PostureIssue:
    """An issue of a scan, as far as the view keeps it."""

    id: Annotated[str, Doc("Names the issue in its scan record.")]
    situation: Annotated[str, Doc("The same on every host that is in the same situation.")]
    class_: Annotated[str, Doc("The class of its findings.")]
    title: Annotated[str, Doc("What it is.")]
    split: Annotated[str, Doc("What tells it from other issues of the class; empty where nothing does.")]
    status: Annotated[str, Doc("Status of its findings.")]
    level: Annotated[Level, Doc("The level of the worst of its findings.")]
    score: Annotated[Percent, Doc("The score of the worst of its findings.")]
    distinct: Annotated[Count, Doc("How many different findings it has.")]
    label: Annotated[str, Doc("What some of them are called on the host.")]
    first: Annotated[str, Doc("What to do first; empty where nothing is known.")]
    fresh: Annotated[bool, Doc("Some of its findings are new with this scan, or have come back.")]


@dataclass(slots=True, frozen=True)
class PostureScan:
    """The newest scan of one scope of a host."""

    scan_id: Annotated[str, Doc("Names the scan.")]
    profile: Annotated[str, Doc("What it covered: only scans of one profile are compared; empty where nobody knows.")]
    at_ms: Annotated[int, Doc("When it ended, in milliseconds since 1970.")]
    complete: Annotated[bool, Doc("All findings that its report announces are in it.")]
    partition: Annotated[Count, Doc("Where its record is in the topic of scans: the partition.")]
    offset: Annotated[Count, Doc("Where its record is in the topic of scans: the offset.")]
    written_ms: Annotated[int, Doc("When its record was written there, in milliseconds since 1970.")]
    level: Annotated[Mapping[Level, Count], Doc("Different findings at stake by level.")]
    issues: Annotated[tuple[PostureIssue, ...], Doc("Its issues, the worst first.")]


@dataclass(slots=True, frozen=True)
class PostureNews:
    """A critical issue that a scan found and the one before it had not."""

    at_ms: Annotated[int, Doc("When that scan ended, in milliseconds since 1970.")]
    scan_id: Annotated[str, Doc("Names that scan.")]
    id: Annotated[str, Doc("Names the issue.")]
    situation: Annotated[str, Doc("Its situation.")]
    title: Annotated[str, Doc("What it is.")]
    label: Annotated[str, Doc("What some of its findings are called on the host.")]
    score: Annotated[Percent, Doc("The score of the worst of its findings.")]


@dataclass(slots=True, frozen=True)
class PostureRecord:
    """How one host stands, from the newest scans of its scopes; the latest of a host counts."""

    schema: Annotated[Literal["sysscan.posture/1"], Doc("Name and version of this format.")]
    host: Annotated[str, Doc("The host; also the key of the record.")]
    at: Annotated[Time, Doc("When its newest scan ended.")]
    heard_at: Annotated[Time, Doc("When the record of that scan was written.")]
    score: Annotated[Percent, Doc("The score of its worst open issue; 0 without one.")]
    level: Annotated[Mapping[Level, Count], Doc("Findings at stake by level; of several scopes the largest number.")]
    complete: Annotated[bool, Doc("All scans that count here are complete.")]
    worst: Annotated[tuple[str, ...], Items(most=5), Doc("Titles of its first open issues.")]
    scans: Annotated[tuple[PostureScan, ...], Items(least=1, most=8), Doc("The newest scan of each scope.")]
    news: Annotated[tuple[PostureNews, ...], Items(most=64), Doc("Critical issues that were new in the last days.")]


@dataclass(slots=True, frozen=True)
class AlertRecord:
    """Something about a host that a person should look at."""

    schema: Annotated[Literal["sysscan.alert/1"], Doc("Name and version of this format.")]
    id: Annotated[Digest, Doc("The same however often it is sent: drop what you have seen.")]
    kind: Annotated[Literal["new_critical", "silent_host"], Doc("What it is about.")]
    host: Annotated[str, Doc("The host; also the key of the record.")]
    at: Annotated[Time, Doc("When the scan ended, or when the silence had lasted too long.")]
    scan_id: Annotated[str, Doc("The scan with which it is new, or after which nothing has come.")]
    issue: Annotated[str | None, Doc("The issue; null where it is about silence.")]
    situation: Annotated[str | None, Doc("Its situation, or null.")]
    title: Annotated[str, Doc("What it is, in words.")]
    label: Annotated[str | None, Doc("What some of its findings are called on the host, or null.")]
    score: Annotated[Percent, Doc("The score of the worst of its findings; 0 where it is about silence.")]
