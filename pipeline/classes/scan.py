"""A scan as the pipeline sees it: its findings classified, counted and named, before any is analysed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.classes.classify import Classifier
from pipeline.classes.compiled import CompiledClasses
from pipeline.finding import Member, RawFinding, ScanHeader
from pipeline.keys import digest
from pipeline.steps import PIECE, Steps, finish, pieces

HostSource = Literal["report", "option", "key", "unknown"]

# Options that change how a report looks or where it goes, not what the scan covers.
_FORM_OPTIONS = frozenset(
    {
        "--canonical", "--compact", "--fail-on", "--fail-on-count", "--ndjson", "--output", "--parallel",
        "--parallel-threads", "--pretty", "--sarif", "--sign-gpg", "--slsa-level", "--timings", "--write-env",
    }
)  # fmt: skip
_FORM_CONFIG = frozenset(
    {
        "canonical", "compact", "fail_on_count", "fail_on_severity", "ndjson", "parallel", "parallel_max_threads",
        "pretty", "sarif",
    }
)  # fmt: skip
_SCANNER_LISTS = frozenset({"--disable", "--enable"})


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
    members: list[Member]
    occurrences: Sequence[int]


def index_scan(context: ScanContext, findings: Sequence[RawFinding], classes: CompiledClasses) -> ScanIndex:
    """Classify every finding, and name each line: twins get an ordinal, in report order."""
    return finish(index_steps(context, findings, classes))


def index_steps(context: ScanContext, findings: Sequence[RawFinding], classes: CompiledClasses) -> Steps[ScanIndex]:
    """Do what `index_scan` does, in steps."""
    classifier = Classifier(classes, context.header, context.host)
    ordinals: Counter[str] = Counter()  # by content, which decides the fingerprint, too
    members: list[Member] = []
    for piece in pieces(findings):
        for raw in piece:
            classified = classifier.classify(raw)
            content = classified.content
            key = digest("finding", classified.fingerprint, content, context.scan_id, ordinals[content])
            ordinals[content] += 1
            members.append(Member(seq=len(members), dedupe_key=key, severity=raw.severity, classified=classified))
        yield
    occurrences: list[int] = []
    for part in pieces(members, 32 * PIECE):
        occurrences += [ordinals[member.classified.content] for member in part]
        yield
    return ScanIndex(context, findings, members, occurrences)


def scan_scope(header: ScanHeader) -> str | None:
    """Name what a scan covered, or None where the report does not say.

    Two scans of the same scope looked at the same things, so what is gone from the later one is gone.
    Options that only shape the report are left out, and the order of options does not matter. A JSON report and an
    NDJSON stream of one run have different scopes: in the latter some findings have no class that is certain.
    """
    if header.cmdline is None:
        return None
    config = {key: value for key, value in header.effective_config.items() if key not in _FORM_CONFIG}
    carries_config = header.source_format == "json"
    return digest("profile", _coverage(header.cmdline), carries_config, config, header.euid, header.tool_version)


def _coverage(cmdline: str) -> list[list[str]]:
    """List the options that say what is looked at, each with its values, in an order of their own.

    The report joins the words with blanks, so all up to the next option belong to the one before.
    """
    options: list[list[str]] = []
    for word in cmdline.split()[1:]:
        if word.startswith("--"):
            name, mark, value = word.partition("=")
            options.append([name, value] if mark else [name])
        elif options:
            options[-1].append(word)
        else:
            options.append(["", word])
    kept = [option for option in options if option[0] not in _FORM_OPTIONS]
    for option in kept:
        if option[0] in _SCANNER_LISTS:
            option[1:] = sorted(",".join(option[1:]).split(","))
    # Of a repeated option the order may matter, so only different ones change places.
    return sorted(kept, key=lambda option: option[0])


def baseline_scope(header: ScanHeader, host_source: HostSource) -> str | None:
    """Name the scope that a scan's baseline is kept under, or None where none is: nobody knows whose scan it is."""
    return scan_scope(header) if host_source != "unknown" else None


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
