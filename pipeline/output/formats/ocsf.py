"""OCSF 1.5.0, for SIEMs: one event a line. For each scan a Scan Activity, then a Detection Finding for each finding,
and where it is asked for a Compliance Finding for each control.

`unmapped` holds the finding as we have it, so nothing is lost that OCSF has no place for.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pipeline.display import printable
from pipeline.finding import Level, Status
from pipeline.keys import digest
from pipeline.output.formats.controls import ControlEvidence, ControlsSeen, framework_title
from pipeline.output.formats.scan import Scan, gaps
from pipeline.output.formats.subject import Subject, subject_of
from pipeline.output.formats.times import milliseconds
from pipeline.output.records import EnrichedFinding, GoneFinding, HostFacts
from pipeline.output.write import write
from pipeline.rules.compliance import FRAMEWORKS, Evidence

VERSION: Final = "1.5.0"
PRODUCT: Final = "sysscan-agent"

_TEXT = 8_000  # characters of a text
_SEVERITY: Final[dict[Level, tuple[int, str]]] = {
    "info": (1, "Informational"), "low": (2, "Low"), "medium": (3, "Medium"), "high": (4, "High"),
    "critical": (5, "Critical"),
}  # fmt: skip
_RISK: Final[dict[Level, tuple[int, str]]] = {
    "info": (0, "Info"), "low": (1, "Low"), "medium": (2, "Medium"), "high": (3, "High"), "critical": (4, "Critical"),
}  # fmt: skip
_CONFIDENCE: Final = {"low": (1, "Low"), "medium": (2, "Medium"), "high": (3, "High")}
_STATUS: Final[dict[Status, tuple[int, str]]] = {
    "open": (1, "New"), "unknown": (1, "New"), "error": (1, "New"),
    "accepted": (3, "Suppressed"), "false_positive": (3, "Suppressed"), "passed": (4, "Resolved"),
    "info": (99, "Inventory"),
}  # fmt: skip
_EVIDENCE: Final[dict[Evidence, tuple[int, str]]] = {
    "failing": (3, "Fail"), "disputed": (2, "Warning"), "supporting": (99, "Supporting evidence"),
    "none": (0, "Unknown"),
}  # fmt: skip
_CREATE, _UPDATE, _CLOSE = (1, "Create"), (2, "Update"), (3, "Close")
_COMPLETED, _ERROR = (2, "Completed"), (6, "Error")
_CLASSES: Final = {
    2003: ("Compliance Finding", 2, "Findings"), 2004: ("Detection Finding", 2, "Findings"),
    6007: ("Scan Activity", 6, "Application Activity"),
}  # fmt: skip
_AT_STAKE: Final[frozenset[Status]] = frozenset({"open", "unknown", "error"})
_SETTLED: Final[frozenset[Status]] = frozenset({"passed", "info"})


def ocsf(scans: Iterable[Scan], *, all_: bool = False, controls: bool = False) -> Iterator[bytes]:
    """Write scans as events, a line each.

    Args:
        all_: also what passed and what is no weakness; what passed since an earlier scan is always there.
        controls: also an event for each control that the scan says something about.
    """
    for scan in scans:
        for event in _events(scan, all_, controls):
            yield write(event) + b"\n"


def _events(scan: Scan, all_: bool, controls: bool) -> Iterator[dict[str, Any]]:
    yield _scan_activity(scan)
    seen = ControlsSeen()
    for finding in scan.findings():
        if controls:
            seen.add(finding)
        resolved = finding.baseline is not None and finding.baseline.state == "resolved"
        if all_ or resolved or finding.status not in _SETTLED:
            yield _detection(finding)
    record = scan.record
    if record is not None and record.baseline is not None:
        for gone in record.baseline.resolved:
            if gone.how == "gone":  # what passes has a line of its own
                yield _closed(scan, gone)
    if controls:
        for framework in FRAMEWORKS:
            for control in seen.of(framework):
                yield _compliance(scan, control)


def _event(
    class_uid: int, activity: tuple[int, str], at: str | None, level: Level, message: str, made: dict[str, Any]
) -> dict[str, Any]:
    name, category, category_name = _CLASSES[class_uid]
    severity, severity_name = _SEVERITY[level]
    return {
        "activity_id": activity[0],
        "activity_name": activity[1],
        "category_uid": category,
        "category_name": category_name,
        "class_uid": class_uid,
        "class_name": name,
        "type_uid": class_uid * 100 + activity[0],
        "type_name": f"{name}: {activity[1]}",
        "severity_id": severity,
        "severity": severity_name,
        "time": milliseconds(at) or 0,
        "message": printable(message, _TEXT),
        **made,
    }


def _metadata(agent: str, name: str, uid: str, scan_id: str, at: str, code: str | None = None) -> dict[str, Any]:
    made = {
        "version": VERSION,
        "product": {"name": PRODUCT, "vendor_name": PRODUCT, "version": agent},
        "log_name": name,
        "log_provider": "sys-scan",
        "original_time": at,
        "correlation_uid": scan_id,
        "uid": uid,
    }
    return made if code is None else {**made, "event_code": code}


def _device(host: str, facts: HostFacts | None) -> dict[str, Any]:
    device: dict[str, Any] = {"hostname": host, "name": host, "type_id": 0, "type": "Unknown"}
    system: dict[str, Any] = {"name": "Linux", "type_id": 200, "type": "Linux"}
    if facts is not None:
        if facts.os is not None:
            system["name"] = facts.os
        if facts.kernel is not None:
            system["kernel_release"] = facts.kernel
        if facts.arch is not None:
            device["hw_info"] = {"cpu_architecture": facts.arch}
    return {**device, "os": system}


def _detection(finding: EnrichedFinding) -> dict[str, Any]:
    subject, baseline = subject_of(finding), finding.baseline
    state = "new" if baseline is None else baseline.state
    activity = {"new": _CREATE, "resolved": _CLOSE}.get(state, _UPDATE)
    status, status_name = _STATUS[finding.status]
    risk, risk_name = _RISK[finding.risk.level]
    confidence, confidence_name = _CONFIDENCE[finding.analysis.confidence]
    title = finding.finding.title or finding.class_
    made: dict[str, Any] = {
        "metadata": _metadata(
            finding.provenance.agent, finding.schema, finding.dedupe_key, finding.scan_id, finding.as_of,
            finding.class_,
        ),
        "finding_info": _finding_info(finding, title),
        "device": _device(finding.host, finding.host_facts),
        "status_id": status,
        "status": status_name,
        "status_code": finding.status,
        "status_detail": printable(_status_detail(finding), _TEXT),
        "risk_level_id": risk,
        "risk_level": risk_name,
        "risk_score": finding.risk.score,
        "risk_details": printable("; ".join(f"{one.points:+} {one.why}" for one in finding.risk.factors), _TEXT),
        "confidence_id": confidence,
        "confidence": confidence_name,
        "is_alert": finding.status in _AT_STAKE and finding.risk.level in ("high", "critical"),
        "count": finding.occurrences,
        "observables": list(_observables(finding, subject)),
        "evidences": [_evidence(finding, subject)],
        "unmapped": {"enriched": finding},
    }  # fmt: skip
    if finding.remediation:
        made["remediation"] = {"desc": printable(_remediation(finding), _TEXT)}
    if finding.review is not None:
        review = finding.review
        made["comment"] = printable(f"{review.verdict} by {review.author}, {review.at}: {review.reason}", _TEXT)
    return _event(
        2004, activity, finding.observed_at or finding.as_of, finding.risk.level,
        f"{title}: {finding.analysis.assessment}", made,
    )  # fmt: skip


def _finding_info(finding: EnrichedFinding, title: str) -> dict[str, Any]:
    said: dict[str, Any] = {
        "uid": finding.fingerprint,
        "title": printable(title, _TEXT),
        "desc": printable(f"{finding.analysis.assessment} {finding.analysis.impact}".strip(), _TEXT),
        "types": [finding.class_],
        "data_sources": [finding.finding.scanner],
        "analytic": {"uid": finding.class_, "name": finding.class_, "category": finding.category, "type_id": 1},
    }
    times = {
        "first_seen_time": finding.baseline.first_seen_at if finding.baseline is not None else None,
        "last_seen_time": finding.as_of,
    }
    said.update({name: value for name, at in times.items() if (value := milliseconds(at)) is not None})
    if finding.attack:
        said["attacks"] = [{"technique": {"uid": one.technique, "name": one.name}} for one in finding.attack]
    return said


def _status_detail(finding: EnrichedFinding) -> str:
    entry, artefact = finding.suppression, finding.artefact
    if entry is not None:
        until = f" until {entry.expires}" if entry.expires is not None else ""
        return f"by {entry.owner}{until}: {entry.reason}"
    if finding.analysis.fallback_reason == "internal_error":
        return "not analysed: a fault in the agent"
    if artefact is not None:
        return f"mistake of the scanner ({artefact.degree}): {artefact.why}"
    return f"by {finding.status_basis}"


def _remediation(finding: EnrichedFinding) -> str:
    steps = []
    for action in finding.remediation:
        parts = [action.summary]
        if action.contraindicated is not None:
            parts.append(f"No command, because: {action.contraindicated}")
        named = (("Command", action.command), ("Check", action.check), ("Way back", action.rollback))
        parts += [f"{name}: {text}" for name, text in named if text is not None]
        steps.append(" ".join(parts))
    return " | ".join(steps)


def _observables(finding: EnrichedFinding, subject: Subject) -> Iterator[dict[str, Any]]:
    slots = finding.slots
    yield {"name": "device.hostname", "type_id": 1, "type": "Hostname", "value": finding.host}
    if subject.path is not None:
        yield {"name": "evidences.file.path", "type_id": 45, "type": "File Path", "value": subject.path}
    if slots.get("pid"):
        yield {"name": "evidences.process.pid", "type_id": 15, "type": "Process ID", "value": slots["pid"]}
    for name in ("address", "remote", "local"):
        address = slots.get(name)
        if address and _is_address(address):
            yield {"name": f"unmapped.enriched.slots.{name}", "type_id": 2, "type": "IP Address", "value": address}
    if slots.get("port"):
        yield {"name": "unmapped.enriched.slots.port", "type_id": 11, "type": "Port", "value": slots["port"]}
    if slots.get("container_id"):
        value = slots["container_id"]
        yield {"name": "unmapped.enriched.slots.container_id", "type_id": 27, "type": "Container", "value": value}


def _evidence(finding: EnrichedFinding, subject: Subject) -> dict[str, Any]:
    slots = finding.slots
    evidence: dict[str, Any] = {"data": {"id": finding.finding.id, "metadata": finding.finding.metadata}}
    if subject.path is not None:
        name = subject.path.rpartition("/")[2] or subject.path
        evidence["file"] = {"name": name, "path": subject.path, "type_id": 0}
    pid = slots.get("pid", "")
    if pid.isascii() and pid.isdigit() and len(pid) < 10:
        process: dict[str, Any] = {"pid": int(pid)}
        for key, slot in (("name", "program"), ("cmd_line", "command")):
            if slots.get(slot):
                process[key] = slots[slot]
        evidence["process"] = process
    return evidence


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _scan_activity(scan: Scan) -> dict[str, Any]:
    """Say that a host was looked at, and what was not seen of it."""
    record, missing = scan.record, gaps(scan)
    whole = record is not None and record.complete
    uid = digest("ocsf", "scan", scan.scan_id)
    made: dict[str, Any] = {
        "scan": {"uid": scan.scan_id, "name": "sys-scan", "type_id": 0},
        "device": _device(scan.host, None if record is None else record.host_facts),
        "status_id": 1 if whole else 2,
        "status": "Success" if whole else "Failure",
        "status_code": " ".join(dict.fromkeys(gap.id for gap in missing)) or "complete",
        "status_detail": printable(" ".join(gap.text for gap in missing), _TEXT) or "Nothing is known to be missing.",
    }
    agent, at = ("unknown", None) if record is None else (record.provenance.agent, record.as_of)
    made["metadata"] = {
        **_metadata(agent, "sysscan.scan/1", uid, scan.scan_id, at or ""),
        "profiles": ["host"],  # which gives the event its device
    }
    if record is not None:
        counts = record.counts
        at_stake = sum(counts.level.values())
        made.update(total=counts.lines, num_detections=at_stake, num_skipped_items=counts.rejected)
        times = {"start_time": record.started_at, "end_time": record.finished_at}
        made.update({name: value for name, of in times.items() if (value := milliseconds(of)) is not None})
        at = record.finished_at or record.as_of
        message = f"Scan of {scan.host}: {counts.lines} findings, {at_stake} at stake"
    else:
        message = f"Scan of {scan.host}, of which the record is missing"
    return _event(6007, _COMPLETED if whole else _ERROR, at, "info", message, made)


def _closed(scan: Scan, gone: GoneFinding) -> dict[str, Any]:
    """Say that a finding of earlier scans is gone."""
    record = scan.record
    assert record is not None
    info: dict[str, Any] = {
        "uid": gone.fingerprint,
        "title": printable(gone.title, _TEXT),
        "types": [gone.class_],
        "analytic": {"uid": gone.class_, "name": gone.class_, "type_id": 1},
    }
    first = milliseconds(gone.first_seen_at)
    if first is not None:
        info["first_seen_time"] = first
    made = {
        "metadata": _metadata(
            record.provenance.agent, record.schema, digest("ocsf", "gone", scan.scan_id, gone.fingerprint),
            scan.scan_id, record.as_of, gone.class_,
        ),
        "finding_info": info,
        "device": _device(scan.host, record.host_facts),
        "status_id": 4,
        "status": "Resolved",
        "status_code": "gone",
        "status_detail": "A whole scan of the same scope does not report it any more.",
    }  # fmt: skip
    return _event(2004, _CLOSE, record.as_of, "info", f"Gone: {gone.title}: {gone.label}", made)


def _compliance(scan: Scan, control: ControlEvidence) -> dict[str, Any]:
    record = scan.record
    title, edition = framework_title(control.framework, record)
    uid = digest("ocsf", "control", scan.host, control.framework, control.control)
    status, status_name = _EVIDENCE[control.evidence]
    counts = ", ".join(f"{count} {evidence}" for evidence, count in control.counts.items())
    said = f"{counts}; basis {control.basis} ({control.sources_named})"
    is_failing = control.evidence == "failing"
    made: dict[str, Any] = {
        "compliance": {
            "control": control.control,
            "desc": printable(control.title, _TEXT),
            "requirements": [printable(control.title, _TEXT)],
            "standards": [f"{title} ({edition})"],
            "status_id": status,
            "status": status_name,
            "status_details": [printable(f"{one.evidence}: {one.class_}: {one.about}") for one in control.examples],
        },
        "finding_info": {
            "uid": uid,
            "title": printable(f"{title} {control.control}: {control.title}", _TEXT),
            "desc": printable(said, _TEXT),
            "types": [control.framework],
            "data_sources": ["sys-scan"],
        },
        "device": _device(scan.host, None if record is None else record.host_facts),
        "metadata": _metadata(
            "unknown" if record is None else record.provenance.agent, "sysscan.scan/1",
            digest("ocsf", "control", scan.scan_id, control.framework, control.control), scan.scan_id,
            "" if record is None else record.as_of, control.control,
        ),
        "status_id": 3 if is_failing and control.accepted == control.counts["failing"] else 1 if is_failing else 99,
        "status_code": control.evidence,
        "status_detail": "Evidence of a scan. That a control is met, no scan can show.",
        "count": sum(control.counts.values()),
    }  # fmt: skip
    made["status"] = {1: "New", 3: "Suppressed"}.get(made["status_id"], "No failing evidence")
    at = None if record is None else record.as_of
    return _event(2003, _CREATE, at, control.level, f"{title} {control.control}: {said}", made)
