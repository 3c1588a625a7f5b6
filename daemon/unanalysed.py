"""What comes out for findings that our own code failed on: little, but honest, and nothing is lost."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from daemon.ports import ClosedScan
from pipeline.classes.scan import host_facts, scan_scope
from pipeline.display import printable
from pipeline.finding import LEVELS, Level, Member, RawFinding
from pipeline.graph.session import Resources
from pipeline.keys import canonical, digest
from pipeline.output.enriched import SCHEMA, Line
from pipeline.output.scan_record import SCHEMA as SCAN_SCHEMA
from pipeline.rules.compliance import GapAnalysis, coverage

Json = dict[str, Any]

REASON = "internal_error"  # the fallback reason of such lines, and a note in the record of their scan
_EXAMPLES = 5
_ASSESSMENT = "Not analysed: a fault in this program, not in the report. The log says more."
_IMPACT = "Not assessed: the scanner's own severity stands."

# The middle of each level: what the scanner says is all there is.
_POINTS: dict[str, tuple[Level, int]] = {
    "info": ("info", 0), "low": ("low", 25), "medium": ("medium", 45), "high": ("high", 65),
    "critical": ("critical", 90), "error": ("medium", 45),
}  # fmt: skip


def unanalysed_line(
    scan: ClosedScan, seq: int, finding: RawFinding, member: Member | None, resources: Resources
) -> Line:
    """Write the line of a finding with nothing but what the report says.

    Args:
        member: the finding in the scan's index, or None where there is no index either.
    """
    scanner = finding.scanner or "sarif"
    fingerprint = digest("unanalysed", scan.host, scanner, finding.id)
    if member is not None:
        key, fingerprint = member.dedupe_key, member.classified.fingerprint
    else:
        key = _key(scan, seq)
    level, points = _POINTS[finding.severity]
    said: Json = {
        "scanner": scanner,
        "id": finding.id,
        "title": finding.title,
        "severity": finding.severity,
        "score": finding.score,
        "description": finding.description,
        "metadata": finding.metadata,
        "restored": [],
        "escaped": finding.escaped,
        **({"extra": finding.extra} if finding.extra else {}),
    }
    body: Json = {
        "schema": SCHEMA,
        "dedupe_key": key,
        "fingerprint": fingerprint,
        **_about(scan),
        "observed_at": scan.header.started_at,
        "status": "error" if finding.severity == "error" else "unknown",
        "status_basis": "none",
        "finding": said,
        "class": f"unknown.{scanner}",
        "class_candidates": [],
        "category": "unknown",
        "slots": {},
        "features": {},
        "occurrences": 1,
        "severity": finding.severity,
        "risk": {
            "score": points,
            "level": level,
            "floor": level,
            "factors": [
                {"name": "base_severity", "points": points, "why": "the scanner's own; nothing else was weighed"}
            ],
        },
        "artefact": None,
        "suppression": None,
        "baseline": None,
        "compliance": [],
        "attack": [],
        "threat_intel": [],
        "correlations": [],
        "analysis": {
            "origin": "rules",
            "assessment": _ASSESSMENT,
            "impact": _IMPACT,
            "text_by": "rules",
            "action": None,
            "controls": [],
            "techniques": [],
            "confidence": "low",
            "key": digest(REASON, resources.digest),
            "situation": member.classified.situation if member is not None else digest(REASON),
            "model": None,
            "fallback_reason": REASON,
        },
        "remediation": [],
        "provenance": {**resources.provenance.as_json(), "source_format": scan.header.source_format},
    }
    try:
        line = canonical(body)
    except (TypeError, ValueError, RecursionError):  # what cannot be written is the report's own
        said.update(metadata={}, description=None)
        said.pop("extra", None)
        line = canonical(body)
    return Line(key, level, True, "rules", line)


def unanalysed_record(
    scan: ClosedScan, findings: Sequence[RawFinding], members: Sequence[Member] | None, resources: Resources
) -> Json:
    """Summarise a scan by what the report says, as one issue; `members` as for the lines."""
    status = Counter("error" if finding.severity == "error" else "unknown" for finding in findings)
    levels = Counter(_POINTS[finding.severity][0] for finding in findings)
    header = scan.header
    issues = [_issue(scan, findings, members)] if findings else []
    return {
        "schema": SCAN_SCHEMA,
        **_about(scan),
        "source_format": header.source_format,
        "started_at": header.started_at,
        "finished_at": header.finished_at,
        "complete": scan.complete,
        "min_severity": printable(header.min_severity) if header.min_severity is not None else None,
        "notes": sorted({*header.notes, REASON}),
        "counts": {
            "lines": len(findings),
            "distinct": len(findings),
            "rejected": scan.rejected,
            "status": dict(sorted(status.items())),
            "level": dict(sorted(levels.items())),
            "issues": len(issues),
            "unknown_class": len(findings),
            "ambiguous_class": 0,
            "probable_artefacts": 0,
        },
        "issues": issues,
        "top": [issue["id"] for issue in issues],
        "correlations": [],
        "baseline": None,
        "compliance": GapAnalysis().report(resources.knowledge.frameworks, coverage(resources.knowledge)),
        "policy": {"profile": resources.policy.profile, "expired": []},
        "provenance": resources.provenance.as_json(),
    }


def _about(scan: ClosedScan) -> Json:
    header = scan.header
    return {
        "scan_id": scan.scan_id,
        "host": scan.host,
        "host_source": scan.host_source,
        "host_facts": host_facts(header),
        "profile": scan_scope(header),
        "as_of": scan.as_of,
    }


def _key(scan: ClosedScan, seq: int) -> str:
    return digest("unanalysed", scan.scan_id, seq)


def _issue(scan: ClosedScan, findings: Sequence[RawFinding], members: Sequence[Member] | None) -> Json:
    level = max((_POINTS[finding.severity][0] for finding in findings), key=LEVELS.index)
    labels: dict[str, str] = {}
    for seq, finding in enumerate(findings):
        labels.setdefault(printable(finding.id), members[seq].dedupe_key if members is not None else _key(scan, seq))
    return {
        "id": digest("unanalysed", scan.host),
        "class": "unknown.unanalysed",
        "candidates": [],
        "title": "Findings that could not be analysed, by a fault in this program",
        "split": {},
        "scanner": "",
        "status": "unknown",
        "level": level,
        "score": max(_POINTS[finding.severity][1] for finding in findings),
        "assessment": _ASSESSMENT,
        "impact": _IMPACT,
        "lines": len(findings),
        "distinct": len(findings),
        "baseline": {},
        "labels": list(labels)[:_EXAMPLES],
        "examples": list(labels.values())[:_EXAMPLES],
        "artefact": None,
        "do_first": None,
        "actions": [],
    }
