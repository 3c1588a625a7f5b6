"""OSCAL assessment results (1.1.3), for auditors' tools: one result a scan, one observation a finding, one finding a
control that evidence speaks against, one risk for each that somebody answers for.

A scan cannot show that a control is met, so nothing here is `satisfied`. Texts are Markdown in OSCAL: what a host names
is written so that it is none. All UUIDs are made of what they stand for (version 5).
"""

import re
from collections.abc import Generator, Iterable, Iterator
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from pipeline.display import printable
from pipeline.finding import Status
from pipeline.knowledge.schema import Framework
from pipeline.output.formats.controls import ControlEvidence, ControlsSeen, framework_title
from pipeline.output.formats.markdown import prose
from pipeline.output.formats.scan import Scan, gaps
from pipeline.output.formats.subject import subject_of
from pipeline.output.formats.times import milliseconds
from pipeline.output.records import EnrichedFinding
from pipeline.output.write import write
from pipeline.rules.compliance import FRAMEWORKS

VERSION: Final = "1.1.3"
NS: Final = "https://github.com/J-mazz/sys-scan-graph/sysscan-agent"  # of what OSCAL has no name for
NO_CONTROL: Final = "no-control-was-seen"  # in the place of ids, where a scan says nothing about any

_SPACE: Final = uuid5(NAMESPACE_URL, NS)
_NEVER: Final = "1970-01-01T00:00:00Z"  # where no time is known: a clock would give other bytes each time
_AT_STAKE: Final[frozenset[Status]] = frozenset({"open", "unknown", "error"})
_NOT_IN_TOKENS = re.compile(r"[^A-Za-z0-9._-]+")
_TITLE = 250  # characters


def oscal(scans: Iterable[Scan]) -> Iterator[bytes]:
    """Write scans as one document of assessment results."""
    names: list[str] = []
    latest = _NEVER
    yield b'{"assessment-results":{"results":['
    for scan in scans:
        yield b"," if names else b""
        names.append(scan.scan_id)
        ended = yield from _result(scan)
        latest = max(latest, ended)
    plan = _uuid("plan", *names)
    rest = {
        "uuid": _uuid("results", *names),
        "metadata": {
            "title": "Findings of sys-scan, analysed by sysscan-agent",
            "last-modified": latest,
            "version": latest,
            "oscal-version": VERSION,
        },
        "import-ap": {"href": f"#{plan}"},
        "back-matter": {
            "resources": [
                {
                    "uuid": plan,
                    "title": "No assessment plan",
                    "description": "The scans were made to no plan in OSCAL; what each covered stands in its result.",
                }
            ]
        },
    }
    yield b"]," + write(rest)[1:] + b"}\n"


def _uuid(kind: str, *parts: str) -> str:
    """Name a thing: the same parts give the same name, everywhere."""
    return str(uuid5(_SPACE, write({"kind": kind, "parts": parts}).decode()))


def _result(scan: Scan) -> Generator[bytes, None, str]:
    """Write one scan; returns when it ended."""
    record = scan.record
    seen, host = ControlsSeen(), _uuid("host", scan.host)
    yield b"{"
    yield from _listed("observations", _observations(scan, seen, host))
    yield from _listed("risks", _risks(scan))
    started = None if record is None else record.started_at
    ended = _latest(scan) if record is None else record.finished_at or record.as_of
    controls = [control for framework in FRAMEWORKS for control in seen.of(framework)]
    findings = [_finding(scan, control) for control in controls if control.evidence == "failing"]
    rest: dict[str, Any] = {
        "uuid": _uuid("result", scan.scan_id),
        "title": _title(f"Scan of {scan.host}"),
        "description": _described(scan),
        "start": _time(started or ended),
        "end": _time(ended),
        "props": [_prop("scan-id", scan.scan_id)],
        "local-definitions": {
            "inventory-items": [
                {
                    "uuid": host,
                    "description": prose(f"The host {scan.host}"),
                    "props": [{"name": "asset-id", "value": _value(scan.host)}],
                }
            ]
        },
        "reviewed-controls": _reviewed(controls),
        "remarks": _remarks(scan),
    }
    if findings:
        rest["findings"] = findings
    yield write(rest)[1:]
    return _time(ended)


def _latest(scan: Scan) -> str | None:
    return max((finding.as_of for finding in scan.findings()), default=None)


def _listed(key: str, items: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Write a list and the comma behind it; nothing where it is empty, which OSCAL does not allow."""
    empty = True
    for item in items:
        yield (b'"%s":[' % key.encode() if empty else b",") + write(item)
        empty = False
    if not empty:
        yield b"],"


def _observations(scan: Scan, seen: ControlsSeen, host: str) -> Iterator[dict[str, Any]]:
    for finding in scan.findings():
        seen.add(finding)
        yield _observation(finding, host)


def _observation(finding: EnrichedFinding, host: str) -> dict[str, Any]:
    reported = finding.finding
    props = [
        _prop("fingerprint", finding.fingerprint),
        _prop("class", finding.class_),
        _prop("status", finding.status),
        _prop("level", finding.risk.level),
        _prop("score", str(finding.risk.score)),
        _prop("about", subject_of(finding).name),
        _prop("scanner", reported.scanner),
    ]
    props += [
        {**_prop("control", f"{control.framework}:{control.control}"), "class": control.evidence}
        for control in finding.compliance
        if control.evidence != "none" and control.caution is None
    ]
    if finding.artefact is not None:
        props.append({**_prop("mistake-of-scanner", finding.artefact.degree), "remarks": prose(finding.artefact.why)})
    if finding.analysis.fallback_reason == "internal_error":
        props.append(_prop("not-analysed", "internal_error"))
    made: dict[str, Any] = {
        "uuid": _observed(finding),
        "title": _title(reported.title or finding.class_),
        "description": prose(f"{finding.analysis.assessment} {finding.analysis.impact}") or "-",
        "props": props,
        "methods": ["TEST"],
        "types": ["finding" if finding.status in _AT_STAKE else "control-objective"],
        "subjects": [{"subject-uuid": host, "type": "inventory-item"}],
        "collected": _time(finding.observed_at or finding.as_of),
    }
    if reported.description:
        made["relevant-evidence"] = [{"description": prose(reported.description)}]
    return made


def _observed(finding: EnrichedFinding) -> str:
    return _uuid("observation", finding.scan_id, finding.dedupe_key)


def _risks(scan: Scan) -> Iterator[dict[str, Any]]:
    """Give those findings that somebody answers for."""
    for finding in scan.findings():
        entry = finding.suppression
        if entry is None or finding.status not in ("accepted", "false_positive"):
            continue
        is_risk = finding.status == "accepted"
        made: dict[str, Any] = {
            "uuid": _uuid("risk", finding.scan_id, finding.dedupe_key),
            "title": _title(finding.finding.title or finding.class_),
            "description": prose(finding.analysis.assessment) or "-",
            "statement": prose(entry.reason) or "-",
            "status": "deviation-approved" if is_risk else "closed",
            "props": [_prop("owner", entry.owner), _prop("decision", finding.status)],
            "related-observations": [{"observation-uuid": _observed(finding)}],
        }
        if entry.expires is not None and milliseconds(f"{entry.expires}T23:59:59Z") is not None:
            made["deadline"] = f"{entry.expires}T23:59:59Z"
        if finding.review is not None:
            review = finding.review
            made["props"].append(_prop("verdict", f"{review.seq} by {review.author}, {review.at}"))
        yield made


def _finding(scan: Scan, control: ControlEvidence) -> dict[str, Any]:
    """Say that evidence speaks against a control."""
    title, edition = framework_title(control.framework, scan.record)
    counts = ", ".join(f"{evidence} {count:,}" for evidence, count in control.counts.items())
    said = f"{title} ({edition}), {control.control}: {counts}; basis {control.basis}, {control.sources_named}."
    related = dict.fromkeys(one.dedupe_key for one in control.examples if one.evidence == "failing")
    return {
        "uuid": _uuid("finding", scan.scan_id, control.framework, control.control),
        "title": _title(f"{control.control}: {control.title}"),
        "description": prose(said),
        "props": [
            _prop("framework", control.framework),
            _prop("control", control.control),
            _prop("basis", control.basis),
            _prop("failing", str(control.counts.get("failing", 0))),
            _prop("accepted", str(control.accepted)),
        ],
        "target": {
            "type": "statement-id",
            "target-id": f"{control_id(control.framework, control.control)}_smt",
            "status": {"state": "not-satisfied", "reason": "fail"},
        },
        "related-observations": [
            {"observation-uuid": _uuid("observation", scan.scan_id, key)} for key in related
        ],
        "remarks": "At most ten observations are named here; each observation names its controls.",
    }  # fmt: skip


def _reviewed(controls: list[ControlEvidence]) -> dict[str, Any]:
    """List the controls that something was seen of; OSCAL wants one at least, and "all" would claim too much."""
    ids = dict.fromkeys(control_id(one.framework, one.control) for one in controls)
    selection = {
        "description": "Controls that something was seen of; that one is among them does not show that it is met.",
        "include-controls": [{"control-id": name} for name in ids or (NO_CONTROL,)],
    }
    return {"control-selections": [selection]}


def control_id(framework: Framework, control: str) -> str:
    """Give the id of a control as a catalogue in OSCAL has it; of NIST SP 800-53, as NIST's own does: `ac-6.1`."""
    plain = _NOT_IN_TOKENS.sub(".", control).strip(".").lower()
    return plain if framework == "nist_800_53_r5" and plain[:1].isalpha() else f"{framework}-{plain}"


def _described(scan: Scan) -> str:
    record = scan.record
    if record is None:
        return prose(f"A scan of {scan.host} by sys-scan, of which the record is missing.")
    facts = record.host_facts
    about = ", ".join(fact for fact in (facts.os, facts.kernel, facts.arch) if fact)
    made = record.provenance
    return prose(
        f"A scan of {scan.host} by sys-scan ({about or 'nothing known of the host'}): {record.counts.lines} findings,"
        f" analysed by sysscan-agent {made.agent} with knowledge {made.knowledge} and policy {made.policy}."
    )


def _remarks(scan: Scan) -> str:
    said = ["A scan looks at settings: it can show that a control fails somewhere, not that one is met."]
    said += [prose(gap.text) for gap in gaps(scan)]
    return "\n\n".join(said)


def _prop(name: str, value: str) -> dict[str, str]:
    return {"name": name, "ns": NS, "value": _value(value)}


def _value(text: str) -> str:
    return printable(text, 1_000).strip() or "-"


def _title(text: str) -> str:
    return prose(text, _TITLE).strip() or "-"


def _time(at: str | None) -> str:
    """Give a time as it is, where it is one."""
    return at if at is not None and milliseconds(at) is not None else _NEVER
