"""Reads SARIF 2.1.0: the scanner's, which carries less than its JSON report (no host, no scanner, no times), and what
other tools wrote or made of it.
"""

from dataclasses import replace
from typing import Any, Final

from pipeline.errors import ReportError
from pipeline.finding import Note, ParsedReport, RawFinding, Reject
from pipeline.report.finding_fields import build_finding, describe, excerpt_of, read_techniques, reject_of
from pipeline.report.header import build_header
from pipeline.report.limits import Limits, too_many_findings
from pipeline.report.marks import Flaw, occurrences, resolve, resolve_header
from pipeline.report.sarif_own import OUR_TOOL, own_scan, read_own_result
from pipeline.report.sarif_rules import Rule, RunRules

SCANNER_TOOL = "sys-scan"

# The scanner writes its own severities into `level`; these are the levels of the standard. `error` is in both: a
# scanner module that failed when sys-scan writes it, the highest level when another tool does.
_STANDARD_LEVELS: Final[dict[str, str]] = {"error": "high", "warning": "medium", "note": "low", "none": "info"}
_DEFAULT_LEVEL = "warning"  # SARIF 2.1.0, 3.27.10
_NO_LEVEL = "none"  # of a result that is no failure, and of one that is no longer there
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
    renamed = usable = ours = False

    def reject(piece: Reject) -> None:
        rejects.append(piece)
        if len(rejects) > limits.max_rejects:
            detail = f"more than {limits.max_rejects} results that cannot be used (limits.max_rejects); the first: "
            raise ReportError(rejects[0].reason, detail + rejects[0].detail)

    for number, run in enumerate(runs):
        path = f"runs[{number}]"
        if type(run) is not dict:
            detail = f"a run must be an object, not {describe(run)}"
            reject(Reject("wrong_type", detail, path=path, excerpt=excerpt_of(run, marker)))
            continue
        rest = {key: value for key, value in run.items() if key != "results"}
        raw_runs.append(resolve_header(rest, marker, notes) if marker else rest)
        rules = RunRules(raw_runs[-1], limits)
        tool = _driver(raw_runs[-1]).get("name")
        foreign, is_own = tool != SCANNER_TOOL, tool == OUR_TOOL
        ours = ours or is_own
        results = occurrences(run, "results", marker)
        if len(results) > 1:
            notes.append("duplicate_header_key")
        index = 0
        for listed in results:
            if type(listed) is not list:
                detail = f"results must be a list, not {describe(listed)}"
                reject(Reject("wrong_type", detail, path=f"{path}.results", excerpt=excerpt_of(listed, marker)))
                continue
            usable = True
            if len(findings) + len(listed) > limits.max_findings:
                raise too_many_findings(limits)
            for value in listed:
                try:
                    finding = _read_result(value, foreign, is_own, rules, marker)
                except Flaw as flaw:
                    reject(reject_of(flaw, value, f"{path}.results[{index}]", marker))
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
    summary: dict[str, Any] = {}
    if ours:
        meta, summary = own_scan(raw_runs)
    header = build_header("sarif", meta, summary, raw, (), notes)
    if any(finding.techniques for finding in findings):
        # SARIF does not say how the scanner was started; techniques come from its rules alone.
        header = replace(header, rules_enabled=True)
    complete = not rejects and header.emitted in (None, len(findings))
    return ParsedReport(header, tuple(findings), tuple(rejects), digest, complete=complete)


def _driver(run: dict[str, Any]) -> dict[str, Any]:
    tool = run.get("tool")
    driver = tool.get("driver") if type(tool) is dict else None
    return driver if type(driver) is dict else {}


def _read_result(value: Any, foreign: bool, is_own: bool, rules: RunRules, marker: str) -> RawFinding:
    if type(value) is not dict:
        raise Flaw("wrong_type", "", f"a result must be an object, not {describe(value)}")
    escaped: list[str] = []
    result = resolve(value, marker, "", escaped) if marker else value
    if is_own:
        return read_own_result(result)
    fields: dict[str, Any] = {}
    extra = {key: item for key, item in result.items() if key not in _MAPPED}
    rule = rules.find(result)
    if rule.named is not None or "ruleId" in result:
        fields["id"] = rule.named
    elif rule.id is not None:
        rules.spend(len(rule.id))
        fields["id"] = rule.id
    level = _level(result, rules, rule, foreign)
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
    if type(message) is dict and message.get("arguments") and text:
        text = rule.fill(text, message["arguments"])
    if not text:
        text = rule.text(message if type(message) is dict else {})
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
    from_taxa = rules.techniques(result, rule)
    if from_taxa:
        own = read_techniques(fields.get("mitre_techniques")) or ()
        fields["mitre_techniques"] = list(dict.fromkeys((*own, *from_taxa)))
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


def _level(result: dict[str, Any], rules: RunRules, rule: Rule, foreign: bool) -> Any:
    """Return the level of a result as the standard derives it (3.27.10); None where the scanner left its own out."""
    level = result.get("level")
    if result.get("baselineState") == "absent" or (foreign and result.get("kind", "fail") != "fail"):
        return level if level is not None and not foreign else _NO_LEVEL
    if level is None:
        level = rules.override(result, rule) or rule.level
    return _DEFAULT_LEVEL if level is None and foreign else level


def _target_names(source: str) -> tuple[str, ...]:
    if source == "ruleId":
        return ("id",)
    if source == "message.text":
        return ("title", "description")
    return ("extra." + source,)
