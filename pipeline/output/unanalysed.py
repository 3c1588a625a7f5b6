"""What comes out for findings that our own code failed on: little, but honest, and nothing is lost."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pipeline.classes.scan import ScanContext, scan_scope
from pipeline.display import printable
from pipeline.finding import LEVELS, Level, Member, RawFinding, Severity, Status
from pipeline.keys import digest
from pipeline.knowledge.schema import Knowledge
from pipeline.output.enriched import SCHEMA, Line
from pipeline.output.records import (
    Analysis,
    Counts,
    EnrichedFinding,
    FindingProvenance,
    HostFacts,
    Issue,
    PolicySection,
    Provenance,
    ReportedFinding,
    ScanRecord,
)
from pipeline.output.scan_record import count_words, record_of
from pipeline.output.write import name_of, write
from pipeline.rules.compliance import GapAnalysis, coverage
from pipeline.rules.score import Factor, Risk

REASON: Final = "internal_error"  # the fallback reason of such lines, and a note in the record of their scan
_EXAMPLES = 5
_ASSESSMENT = "Not analysed: a fault in this program, not in the report. The log says more."
_IMPACT = "Not assessed: the scanner's own severity stands."

# The middle of each level: what the scanner says is all there is.
_POINTS: dict[Severity, tuple[Level, int]] = {
    "info": ("info", 0), "low": ("low", 25), "medium": ("medium", 45), "high": ("high", 65),
    "critical": ("critical", 90), "error": ("medium", 45),
}  # fmt: skip


def unanalysed_line(
    context: ScanContext, seq: int, finding: RawFinding, member: Member | None, provenance: Provenance
) -> Line:
    """Write the line of a finding with nothing but what the report says.

    Args:
        member: the finding in the scan's index, or None where there is no index either.
    """
    made = unanalysed_finding(context, seq, finding, member, provenance)
    try:
        line = write(made)
    except (TypeError, ValueError, RecursionError):  # what cannot be written is the report's own
        line = write(replace(made, finding=replace(made.finding, metadata={}, description=None, extra={})))
    return Line(made.dedupe_key, made.risk.level, True, "rules", line)


def unanalysed_finding(
    context: ScanContext, seq: int, finding: RawFinding, member: Member | None, provenance: Provenance
) -> EnrichedFinding:
    """Make the record of such a finding; the arguments are those of `unanalysed_line`."""
    header = context.header
    scanner = finding.scanner or "sarif"
    level, points = _POINTS[finding.severity]
    why = "the scanner's own; nothing else was weighed"
    return EnrichedFinding(
        schema=SCHEMA,
        dedupe_key=member.dedupe_key if member is not None else _key(context, seq),
        fingerprint=member.classified.fingerprint
        if member is not None
        else digest("unanalysed", context.host, scanner, finding.id),
        host=context.host,
        host_source=context.host_source,
        host_facts=HostFacts.of(header),
        scan_id=context.scan_id,
        profile=scan_scope(header),
        observed_at=header.started_at,
        as_of=context.as_of,
        status=_status(finding),
        status_basis="none",
        finding=ReportedFinding(
            scanner=scanner,
            id=finding.id,
            title=finding.title,
            severity=finding.severity,
            score=finding.score,
            description=finding.description,
            metadata=finding.metadata,
            restored=(),
            escaped=finding.escaped,
            extra=finding.extra,
        ),
        class_=f"unknown.{scanner}",
        class_candidates=(),
        category="unknown",
        slots={},
        features={},
        occurrences=1,
        severity=finding.severity,
        risk=Risk(points, level, level, (Factor("base_severity", points, why),)),
        artefact=None,
        suppression=None,
        baseline=None,
        compliance=(),
        attack=(),
        threat_intel=(),
        correlations=(),
        analysis=Analysis(
            origin="rules",
            assessment=_ASSESSMENT,
            impact=_IMPACT,
            text_by="rules",
            action=None,
            controls=(),
            techniques=(),
            confidence="low",
            key=digest(REASON, name_of(provenance)),
            situation=member.classified.situation if member is not None else digest(REASON),
            model=None,
            fallback_reason=REASON,
        ),
        remediation=(),
        provenance=FindingProvenance.of(provenance, header.source_format),
    )


def unanalysed_record(
    context: ScanContext,
    findings: Sequence[RawFinding],
    members: Sequence[Member] | None,
    knowledge: Knowledge,
    policy_profile: str,
    provenance: Provenance,
) -> ScanRecord:
    """Summarise a scan by what the report says, as one issue; `members` as for the lines."""
    issues = (_issue(context, findings, members),) if findings else ()
    return record_of(
        context,
        notes={*context.header.notes, REASON},
        counts=Counts(
            lines=len(findings),
            distinct=len(findings),
            rejected=context.rejected,
            status=count_words(_status(finding) for finding in findings),
            level=count_words(_POINTS[finding.severity][0] for finding in findings),
            issues=len(issues),
            unknown_class=len(findings),
            ambiguous_class=0,
            probable_artefacts=0,
        ),
        issues=issues,
        correlations=(),
        baseline=None,
        compliance=GapAnalysis().report(knowledge.frameworks, coverage(knowledge)),
        policy=PolicySection(policy_profile, ()),
        provenance=provenance,
    )


def _status(finding: RawFinding) -> Status:
    return "error" if finding.severity == "error" else "unknown"


def _key(context: ScanContext, seq: int) -> str:
    return digest("unanalysed", context.scan_id, seq)


def _issue(context: ScanContext, findings: Sequence[RawFinding], members: Sequence[Member] | None) -> Issue:
    labels: dict[str, str] = {}
    for seq, finding in enumerate(findings):
        labels.setdefault(printable(finding.id), members[seq].dedupe_key if members is not None else _key(context, seq))
        if len(labels) == _EXAMPLES:
            break
    return Issue(
        id=digest("unanalysed", context.host),
        class_="unknown.unanalysed",
        candidates=(),
        title="Findings that could not be analysed, by a fault in this program",
        split={},
        scanner="",
        status="unknown",
        level=max((_POINTS[finding.severity][0] for finding in findings), key=LEVELS.index),
        score=max(_POINTS[finding.severity][1] for finding in findings),
        assessment=_ASSESSMENT,
        impact=_IMPACT,
        lines=len(findings),
        distinct=len(findings),
        baseline={},
        labels=tuple(labels),
        examples=tuple(labels.values()),
        artefact=None,
        do_first=None,
        actions=(),
    )
