"""The objects that travel: what a report says, and a finding on its way through the pipeline."""

from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.errors import QuarantineReason

SourceFormat = Literal["json", "ndjson", "sarif"]
Severity = Literal["info", "low", "medium", "high", "critical", "error"]
Level = Literal["info", "low", "medium", "high", "critical"]
Status = Literal["open", "passed", "info", "unknown", "error", "accepted", "false_positive"]
StatusBasis = Literal["metadata", "description", "class", "severity", "none"]
# What a class was recognised by: all that the report carries, or else the id, severity and metadata with it, or words;
# or by a person.
ClassBasis = Literal["exact", "id", "shape", "words", "review"]
# What was odd about a report or repaired; `implausible_time`: the report says it is older than the scanner;
# `internal_error`: this program failed on the scan; `newer_scanner`: the scanner is newer than the reports that the
# knowledge was made from.
Note = Literal[
    "bad_header_field", "bad_timestamp", "continued", "count_mismatch", "duplicate_header_key", "implausible_time",
    "internal_error", "log_lines", "newer_scanner", "no_meta", "pretty_damage", "severity_normalised",
]  # fmt: skip

SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high", "critical", "error")
LEVELS: tuple[Level, ...] = ("info", "low", "medium", "high", "critical")
EXCERPT_BYTES = 512  # kept of what cannot be used


@dataclass(slots=True, frozen=True)
class ScanHeader:
    """What a report says about its scan; every field is a claim of the report.

    Attributes:
        started_at, finished_at: RFC 3339 in UTC as reported, or None (SARIF, NDJSON, zeroed times).
        cmdline: None where the report does not carry it; then the profile is unknown.
        emitted: `finding_count_emitted`, or None where absent or not a count.
        scanners: names of the sections of a JSON report, in order, without repeats; empty otherwise.
        min_severity: the filter that the scan ran with, or None.
        rules_enabled: the scanner's rule engine ran, so severities may have been rewritten.
        raw: the header objects as they came (`meta`, `summary`, ...), for the ledger and `explain`.
    """

    source_format: SourceFormat
    host: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    tool_version: str | None = None
    cmdline: str | None = None
    effective_config: dict[str, Any] = field(default_factory=dict)
    euid: str | None = None
    user: str | None = None
    os_id: str | None = None
    os_version: str | None = None
    os_pretty: str | None = None
    kernel: str | None = None
    arch: str | None = None
    emitted: int | None = None
    min_severity: str | None = None
    rules_enabled: bool = False
    scanners: tuple[str, ...] = ()
    raw: dict[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


@dataclass(slots=True, frozen=True)
class RawFinding:
    """One finding as the report has it, checked and normalised in form only.

    Attributes:
        scanner: None in SARIF, which does not name it.
        title, description: None where the format does not carry them (NDJSON); SARIF's text is
            split at the first " - ".
        metadata: string keys; values as they came (the scanner writes strings only).
        techniques: ATT&CK ids that the scanner's own rules added.
        extra: keys that the format does not define, kept.
        escaped: dotted names of fields that held bytes which are not UTF-8 (or lone surrogates) and
            are now in the escaped form: backslashes doubled, each bad byte as ``\\xNN``, each lone
            surrogate as ``\\uNNNN``.
    """

    scanner: str | None
    id: str
    severity: Severity
    title: str | None = None
    description: str | None = None
    score: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    techniques: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    escaped: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class Reject:
    """A piece of input that cannot be used, with the reason.

    Attributes:
        offset: first byte of the piece in the decompressed input, or None where it has no place of
            its own (a finding inside a document).
        excerpt: the first `EXCERPT_BYTES` of the piece, for a person to look at.
        path: where inside a document, for example ``results[3].findings[0].severity``.
    """

    reason: QuarantineReason
    detail: str
    offset: int | None = None
    path: str | None = None
    excerpt: bytes = b""


@dataclass(slots=True, frozen=True)
class ParsedReport:
    """One whole report: header, findings in report order, and what had to be left out.

    Attributes:
        digest: sha256 (hex) of the decompressed bytes of this report.
        complete: every finding that the summary announces is here, and none was rejected.
    """

    header: ScanHeader
    findings: tuple[RawFinding, ...]
    rejects: tuple[Reject, ...]
    digest: str
    complete: bool


@dataclass(slots=True, frozen=True)
class Classified:
    """What a finding is: its class, slots, features and status; a pure function of report,
    policy profile and knowledge.

    Attributes:
        class_id: a class of the knowledge, ``ambiguous`` or ``unknown.<scanner>``.
        class_basis: what the class, or the candidates, were recognised by.
        candidates: ids of the classes that remain possible when `class_id` is ``ambiguous``.
        slots: values that vary between findings of the class, as strings.
        features: closed-vocabulary values computed from slots, header and curated lists.
        title, description, metadata: as reported, or restored from knowledge.
        restored: names of the fields that were restored.
        fingerprint: H(host, class, identity slots); stable across scans.
        content: H(everything the finding says), to find exact twins and changes.
        situation: H(class, status, features); what an analysis is about.
    """

    class_id: str
    candidates: tuple[str, ...]
    scanner: str
    slots: dict[str, str]
    features: dict[str, str]
    status: Status
    status_basis: StatusBasis
    title: str
    description: str
    metadata: dict[str, Any]
    restored: tuple[str, ...]
    fingerprint: str
    content: str
    situation: str
    class_basis: ClassBasis = "exact"


@dataclass(slots=True, frozen=True)
class Member:
    """A finding as the scan's index knows it: enough to correlate and to count twins.

    Attributes:
        seq: position in the report, from 0.
        dedupe_key: H(fingerprint, scan, content, ordinal among exact twins).
    """

    seq: int
    dedupe_key: str
    severity: Severity
    classified: Classified
