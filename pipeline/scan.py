"""A scan as the pipeline sees it: its findings classified, counted and named, before any is analysed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.classify import Classifier
from pipeline.finding import Member, RawFinding, ScanHeader
from pipeline.keys import digest
from pipeline.knowledge.schema import Knowledge

HostSource = Literal["report", "option", "key", "unknown"]

# Flags that change how a report looks or where it goes, not what the scan covers. Those of the first set stand
# alone, those of the second take a value.
_FORM_FLAGS = frozenset(
    {"--pretty", "--compact", "--canonical", "--ndjson", "--sarif", "--timings", "--parallel", "--sign-gpg"}
)
_FORM_OPTIONS = frozenset({"--output", "--parallel-threads", "--write-env", "--fail-on", "--fail-on-count"})
_FORM_CONFIG = frozenset({"canonical", "compact", "ndjson", "parallel", "parallel_max_threads", "pretty", "sarif"})


@dataclass(slots=True, frozen=True)
class ScanContext:
    """One run of the scanner on one host, as far as everything that follows depends on it.

    Attributes:
        scan_no: durable ingest number; 0 where nothing is recorded.
        complete: all announced findings are here.
        rejected: findings of the report that went to quarantine.
        as_of: the time that time-dependent rules use, RFC 3339.
    """

    scan_no: int
    scan_id: str
    host: str
    host_source: HostSource
    header: ScanHeader
    complete: bool
    rejected: int
    as_of: str


@dataclass(slots=True, frozen=True)
class ScanIndex:
    """All findings of a scan, classified; `occurrences[seq]` is how many share the finding's content."""

    context: ScanContext
    findings: Sequence[RawFinding]
    members: Sequence[Member]
    occurrences: Sequence[int]


def index_scan(context: ScanContext, findings: Sequence[RawFinding], knowledge: Knowledge, profile: str) -> ScanIndex:
    """Classify every finding, and name each line: twins get an ordinal, in report order."""
    classifier = Classifier(knowledge, profile, context.header, context.host)
    ordinals: Counter[tuple[str, str]] = Counter()
    members: list[Member] = []
    twins: list[tuple[str, str]] = []
    for seq, raw in enumerate(findings):
        classified = classifier.classify(raw)
        twin = (classified.fingerprint, classified.content)
        key = digest("finding", *twin, context.scan_id, ordinals[twin])
        ordinals[twin] += 1
        twins.append(twin)
        members.append(Member(seq=seq, dedupe_key=key, severity=raw.severity, classified=classified))
    return ScanIndex(context, findings, members, [ordinals[twin] for twin in twins])


def profile_of(header: ScanHeader) -> str | None:
    """Name what a scan covered, or None where the report does not say.

    Two scans with the same profile looked at the same things, so what is gone from the later one is gone.
    Options that only shape the report are left out.
    """
    if header.cmdline is None:
        return None
    words = header.cmdline.split()[1:]
    coverage: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _FORM_OPTIONS:
            skip = True
        elif word not in _FORM_FLAGS and word.partition("=")[0] not in _FORM_OPTIONS:
            coverage.append(word)
    config = {key: value for key, value in header.effective_config.items() if key not in _FORM_CONFIG}
    carries_config = header.source_format == "json"
    return digest("profile", coverage, carries_config, config, header.euid, header.tool_version)


def resolves(context: ScanContext) -> bool:
    """Say whether what this scan does not report can count as gone."""
    header = context.header
    return (
        context.complete
        and context.rejected == 0
        and context.host_source != "unknown"
        and header.source_format != "sarif"
        and header.cmdline is not None
        and header.min_severity is None
    )
