"""Reads the scanner's SARIF 2.1.0, which carries less than its JSON report: no host, no scanner, no times."""

from dataclasses import replace
from typing import Any, Final

from pipeline.errors import ReportError
from pipeline.finding import Note, ParsedReport, RawFinding, Reject
from pipeline.report.finding_fields import build_finding, describe, excerpt_of, read_techniques, reject_of
from pipeline.report.header import build_header
from pipeline.report.limits import Limits, too_many_findings
from pipeline.report.marks import Flaw, occurrences, resolve, resolve_header

SCANNER_TOOL = "sys-scan"

# The scanner writes its own severities into `level`; these are the levels of the standard. `error` is in both: a
# scanner module that failed when sys-scan writes it, the highest level when another tool does.
_STANDARD_LEVELS: Final[dict[str, str]] = {"error": "high", "warning": "medium", "note": "low", "none": "info"}
_DEFAULT_LEVEL = "warning"  # SARIF 2.1.0, 3.27.10
_MAPPED = frozenset(("ruleId", "level", "message", "properties"))
_SOURCE_NAMES: Final[dict[str, str]] = {
    "id": "ruleId",
    "severity": "level",
    "title": "message.text",
    "description": "message.text",
    "base_severity_score": "properties.baseSeverityScore",
    "mitre_techniques": "properties.mitreTechniqueIds",
}


def read_sarif(document: dict[str, Any], marker: str, digest: str, limits: Limits, notes: list[Note]) -> ParsedReport:
    """Check a parsed SARIF log, all runs of it.

    Raises:
        ReportError: ``no_results`` or ``too_large``.
    """
    several = occurrences(document, "runs", marker)
    if len(several) > 1:
        notes.append("duplicate_header_key")
    runs = [run for value in several if type(value) is list for run in value]
    findings: list[RawFinding] = []
    rejects: list[Reject] = []
    raw_runs: list[Any] = []
    renamed = usable = False
    for number, run in enumerate(runs):
        path = f"runs[{number}]"
        if type(run) is not dict:
            detail = f"a run must be an object, not {describe(run)}"
            rejects.append(Reject("wrong_type", detail, path=path, excerpt=excerpt_of(run, marker)))
            continue
        rest = {key: value for key, value in run.items() if key != "results"}
        raw_runs.append(resolve_header(rest, marker, notes) if marker else rest)
        foreign = _driver(raw_runs[-1]).get("name") != SCANNER_TOOL
        results = occurrences(run, "results", marker)
        if len(results) > 1:
            notes.append("duplicate_header_key")
        index = 0
        for listed in results:
            if type(listed) is not list:
                detail = f"results must be a list, not {describe(listed)}"
                rejects.append(Reject("wrong_type", detail, path=f"{path}.results", excerpt=excerpt_of(listed, marker)))
                continue
            usable = True
            if len(findings) + len(listed) > limits.max_findings:
                raise too_many_findings(limits)
            for value in listed:
                try:
                    finding = _read_result(value, foreign, marker)
                except Flaw as flaw:
                    rejects.append(reject_of(flaw, value, f"{path}.results[{index}]", marker))
                else:
                    findings.append(finding)
                    renamed = renamed or "level" in finding.extra
                index += 1
    if not usable:
        raise ReportError("no_results", "no run has a list of results")
    if renamed:
        notes.append("severity_normalised")
    raw = {key: value for key, value in document.items() if key != "runs"}
    raw = resolve_header(raw, marker, notes) if marker else raw
    raw["runs"] = raw_runs
    driver = _driver(raw_runs[0]) if raw_runs else {}
    meta = {"tool_version": driver.get("version") or driver.get("semanticVersion")}
    header = build_header("sarif", meta, {}, raw, (), notes)
    if any(finding.techniques for finding in findings):
        # SARIF does not say how the scanner was started; techniques come from its rules alone.
        header = replace(header, rules_enabled=True)
    return ParsedReport(header, tuple(findings), tuple(rejects), digest, complete=not rejects)


def _driver(run: dict[str, Any]) -> dict[str, Any]:
    tool = run.get("tool")
    driver = tool.get("driver") if type(tool) is dict else None
    return driver if type(driver) is dict else {}


def _read_result(value: Any, foreign: bool, marker: str) -> RawFinding:
    if type(value) is not dict:
        raise Flaw("wrong_type", "", f"a result must be an object, not {describe(value)}")
    escaped: list[str] = []
    result = resolve(value, marker, "", escaped) if marker else value
    fields: dict[str, Any] = {}
    extra = {key: item for key, item in result.items() if key not in _MAPPED}
    if "ruleId" in result:
        fields["id"] = result["ruleId"]
    level = result.get("level")
    if level is None and foreign:
        level = _DEFAULT_LEVEL
    if type(level) is str and level in _STANDARD_LEVELS and (foreign or level != "error"):
        extra["level"] = result.get("level")
        level = _STANDARD_LEVELS[level]
    if level is not None or "level" in result:
        fields["severity"] = level
    message = result.get("message")
    text = message.get("text") if type(message) is dict else message
    if text is not None and type(text) is not str:
        raise Flaw("wrong_type", "message.text", f"message.text must be a string, not {describe(text)}")
    if type(message) is dict and len(message) > ("text" in message):
        extra["message"] = {key: item for key, item in message.items() if key != "text"}
    if text:
        fields["title"], _, description = text.partition(" - ")
        fields["description"] = description or None
    properties = result.get("properties")
    if type(properties) is dict:
        score = properties.get("baseSeverityScore")
        techniques = properties.get("mitreTechniqueIds")
        if techniques is not None and read_techniques(techniques) is None:
            raise Flaw("wrong_type", "properties.mitreTechniqueIds", "must be a list of strings")
        fields["base_severity_score"] = score
        fields["mitre_techniques"] = techniques
        others = {
            key: item for key, item in properties.items() if key not in ("baseSeverityScore", "mitreTechniqueIds")
        }
        if others:
            extra["properties"] = others
    elif properties is not None:
        extra["properties"] = properties
    try:
        finding = build_finding(fields, "", [])
    except Flaw as flaw:
        raise Flaw(flaw.reason, _SOURCE_NAMES.get(flaw.path, flaw.path), flaw.detail) from None
    return RawFinding(
        scanner=None,
        id=finding.id,
        severity=finding.severity,
        title=finding.title,
        description=finding.description,
        score=finding.score,
        techniques=finding.techniques,
        extra={**extra, **finding.extra},
        escaped=tuple(dict.fromkeys(name for source in escaped for name in _target_names(source))),
    )


def _target_names(source: str) -> tuple[str, ...]:
    if source == "ruleId":
        return ("id",)
    if source == "message.text":
        return ("title", "description")
    return ("extra." + source,)
