"""SARIF 2.1.0, as code scanning services take it: one run a scan, one rule a class, one result a finding.

What GitHub's code scanning reads of it, and what it does not, stands in docs/export.md. `pipeline/report/sarif_own.py`
reads it back: each result carries the finding as the scanner reported it.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from pipeline.display import printable
from pipeline.finding import Level, Status
from pipeline.output.formats.scan import Scan, gaps
from pipeline.output.formats.subject import subject_of
from pipeline.output.formats.times import milliseconds
from pipeline.output.records import EnrichedFinding
from pipeline.output.write import write
from pipeline.report.sarif_own import OUR_TOOL, OURS
from pipeline.rules.baseline import BaselineState

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT: Final = "HOST"
MOST_RESULTS = 25_000  # that GitHub takes in a run
MOST_RUNS = 20  # and in a file

_TEXT = 4_000  # characters of a message; GitHub cuts what is longer
_TAGS = 10  # that GitHub shows of a rule
_LEVELS: Final[dict[Level, str]] = {
    "critical": "error", "high": "error", "medium": "warning", "low": "note", "info": "note",
}  # fmt: skip
_KINDS: Final[dict[Status, str]] = {
    "open": "fail", "error": "fail", "accepted": "fail", "false_positive": "fail", "unknown": "open",
    "passed": "pass", "info": "informational",
}  # fmt: skip
_LEFT_OUT: Final[frozenset[Status]] = frozenset({"passed", "info"})
_BASELINE: Final[dict[BaselineState, str]] = {
    "new": "new", "regressed": "new", "recurring": "unchanged", "changed": "updated", "resolved": "updated",
}  # fmt: skip
_MARKS: Final = str.maketrans({"[": r"\[", "]": r"\]", "{": "{{", "}": "}}"})
# (least score of a level, least and greatest severity that GitHub shows as that level)
_SEVERITIES: Final = ((80, 9.1, 10.0), (60, 7.0, 8.9), (40, 4.0, 6.9), (20, 0.1, 3.9))


@dataclass(slots=True)
class _Rule:
    """What the results of a run say of their rule, as far as it has come.

    Attributes:
        worst: the finding with the highest score: the rule's texts are its.
    """

    worst: EnrichedFinding
    at_stake: int = 0


def sarif(
    scans: Iterable[Scan], *, all_: bool = False, tell: Callable[[str], None] = lambda text: None
) -> Iterator[bytes]:
    """Write scans as one SARIF log.

    Args:
        all_: also what passed and what is no weakness; services take every result for a problem.
        tell: is told in a sentence what GitHub would refuse.
    """
    categories: set[str] = set()
    runs = 0
    yield b'{"$schema":"' + SCHEMA.encode() + b'","runs":['
    for scan in scans:
        yield b"," if runs else b""
        runs += 1
        category, results = yield from _run(scan, all_)
        if results > MOST_RESULTS:
            tell(f"scan {scan.scan_id} has {results:,} results; GitHub takes {MOST_RESULTS:,} in a run")
        if category in categories:
            tell(f"several scans of {printable(scan.host)} with one scope; GitHub takes one of them in a file (--scan)")
        categories.add(category)
    if runs > MOST_RUNS:
        tell(f"{runs} scans; GitHub takes {MOST_RUNS} in a file")
    yield b'],"version":"2.1.0"}\n'


def _run(scan: Scan, all_: bool) -> Generator[bytes, None, tuple[str, int]]:
    """Write a run; returns its category and how many results it has."""
    record = scan.record
    rules: dict[str, _Rule] = {}
    indexes: dict[str, int] = {}
    agent = record.provenance.agent if record is not None else None
    profile = record.profile if record is not None else None
    left_out = results = 0
    # The results come first: they say what rules there are, and there may be any number of them.
    yield b'{"results":['
    for finding in scan.findings():
        agent, profile = agent or finding.provenance.agent, profile or finding.profile
        if finding.status in _LEFT_OUT and not all_:
            left_out += 1
            continue
        index = indexes.setdefault(finding.class_, len(indexes))
        rule = rules.setdefault(finding.class_, _Rule(finding))
        if finding.risk.score > rule.worst.risk.score:
            rule.worst = finding
        yield (b"," if results else b"") + write(_result(finding, index))
        results += 1
    titles = {issue.class_: issue.title for issue in record.issues} if record is not None else {}
    # What stands before the last slash is GitHub's category: the next scan of the same replaces this one there.
    category = "/".join(quote(part, safe="") for part in ("sys-scan", scan.host, profile or "any"))
    rest: dict[str, Any] = {
        "automationDetails": {
            "id": f"{category}/{quote(scan.scan_id, safe='')}",
            "description": _message(f"Scan of {scan.host} by sys-scan"),
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(scan, left_out)],
        "originalUriBaseIds": {
            ROOT: {"uri": "file:///", "description": _message("The root of the file system of the scanned host.")}
        },
        "properties": {OURS: _header(scan)},
        "tool": {
            "driver": {
                "name": OUR_TOOL,
                "version": agent or "unknown",
                "rules": [_rule(name, rule, titles.get(name)) for name, rule in rules.items()],
            }
        },
    }
    yield b"]," + write(rest)[1:]
    return category, results


def _header(scan: Scan) -> dict[str, Any]:
    record = scan.record
    if record is None:
        return {"host": scan.host, "scan_id": scan.scan_id}
    facts = record.host_facts
    said = {
        "host": scan.host,
        "scan_id": scan.scan_id,
        "profile": record.profile,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "as_of": record.as_of,
        "arch": facts.arch,
        "kernel": facts.kernel,
        "os": facts.os,
        "min_severity": record.min_severity,
        "lines": record.counts.lines,
    }
    return {name: value for name, value in said.items() if value is not None}


def _invocation(scan: Scan, left_out: int) -> dict[str, Any]:
    record = scan.record
    notices = [_notice(gap.id, gap.text, "warning") for gap in gaps(scan)]
    if left_out:
        text = f"Not listed here, because they are no problem: {left_out:,} that passed or are inventory."
        notices.append(_notice("left_out", text, "note"))
    said: dict[str, Any] = {"executionSuccessful": record is not None and record.complete}
    if notices:
        said["toolExecutionNotifications"] = notices
    if record is not None:
        times = {"startTimeUtc": record.started_at, "endTimeUtc": record.finished_at}
        said.update({name: time for name, time in times.items() if milliseconds(time) is not None})
    return said


def _notice(name: str, text: str, level: str) -> dict[str, Any]:
    return {"descriptor": {"id": f"sysscan/{name}"}, "level": level, "message": _message(text)}


def _result(finding: EnrichedFinding, index: int) -> dict[str, Any]:
    subject, kind = subject_of(finding), _KINDS[finding.status]
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": subject.uri}, "region": {"startLine": 1}},
        "message": _message(subject.name or finding.finding.id),
    }
    if subject.path is not None:
        location["physicalLocation"]["artifactLocation"]["uriBaseId"] = ROOT
    else:
        location["logicalLocations"] = [{"name": printable(subject.name), "kind": "resource"}]
    result: dict[str, Any] = {
        "ruleId": finding.class_,
        "ruleIndex": index,
        "kind": kind,
        "level": _LEVELS[finding.risk.level] if kind == "fail" else "none",
        "message": _message(_told(finding)),
        "locations": [location],
        # The second is the name that GitHub looks for; where it is missing, GitHub wants the lines of the file.
        "partialFingerprints": {
            "sysscanFingerprint/v1": finding.fingerprint,
            "primaryLocationLineHash": finding.fingerprint,
        },
        "rank": float(finding.risk.score),
        "properties": {OURS: _own(finding)},
    }
    if finding.baseline is not None:
        result["baselineState"] = _BASELINE[finding.baseline.state]
    if finding.status in ("accepted", "false_positive"):
        result["suppressions"] = [_suppression(finding)]
    return result


def _told(finding: EnrichedFinding) -> str:
    said = f"{finding.finding.title or finding.class_}: {finding.analysis.assessment} {finding.analysis.impact}".strip()
    action = next((one for one in finding.remediation if one.id == finding.analysis.action), None)
    return f"{said} What to do: {action.summary}" if action is not None else said


def _suppression(finding: EnrichedFinding) -> dict[str, Any]:
    entry = finding.suppression
    said = "a false positive" if finding.status == "false_positive" else "accepted"
    if entry is None:
        return {"kind": "external", "status": "accepted", "justification": said}
    until = f" until {entry.expires}" if entry.expires is not None else ""
    why = f"{said} by {entry.owner}{until}: {entry.reason}"
    return {"kind": "external", "status": "accepted", "justification": printable(why, _TEXT)}


def _own(finding: EnrichedFinding) -> dict[str, Any]:
    """Give what is ours: what identifies the finding here, and the finding as it was reported, to be read back."""
    said: dict[str, Any] = {
        "dedupe_key": finding.dedupe_key,
        "fingerprint": finding.fingerprint,
        "host": finding.host,
        "status": finding.status,
        "level": finding.risk.level,
        "score": finding.risk.score,
        "confidence": finding.analysis.confidence,
        "controls": [f"{one.framework}:{one.control}" for one in finding.compliance if one.evidence == "failing"],
        "techniques": [one.technique for one in finding.attack],
        "finding": finding.finding,
    }
    if finding.artefact is not None:
        said["artefact"] = {"id": finding.artefact.id, "degree": finding.artefact.degree, "why": finding.artefact.why}
    if finding.analysis.fallback_reason == "internal_error":
        said["not_analysed"] = True
    return said


def _rule(name: str, rule: _Rule, title: str | None) -> dict[str, Any]:
    worst = rule.worst
    shown = printable(title or _words(name))
    controls = [f"{one.framework}:{one.control}" for one in worst.compliance if one.core]
    tags = ["security", worst.category, *controls, *(one.technique for one in worst.attack)]
    todo = " ".join(one.summary for one in worst.remediation)
    told = (worst.analysis.assessment, worst.analysis.impact, f"What can be done: {todo}" if todo else "")
    return {
        "id": name,
        "name": shown,
        "shortDescription": _message(shown),
        "fullDescription": _message(shown),
        "help": _message(*told),
        "defaultConfiguration": {"level": _LEVELS[worst.risk.level]},
        "properties": {
            "tags": list(dict.fromkeys(tags))[:_TAGS],
            "security-severity": severity_of(worst.risk.score),
        },
    }


def _words(name: str) -> str:
    scanner, _, rest = name.partition(".")
    return f"{scanner.replace('_', ' ')}: {rest.replace('_', ' ')}" if rest else scanner.replace("_", " ")


def severity_of(score: int) -> str:
    """Give a score from 0 to 100 as the severity from 0.0 to 10.0 that shows as the same level on GitHub."""
    for least, low, high in _SEVERITIES:
        if score >= least:
            width = 20 if least == 80 else 19
            return f"{low + (high - low) * (min(score, 100) - least) / width:.1f}"
    return "0.0"


def _message(*paragraphs: str) -> dict[str, str]:
    """Give a message without the marks that SARIF has for links and placeholders (3.11.5, 3.11.6)."""
    shown = (printable(text, _TEXT).translate(_MARKS) for text in paragraphs if text)
    return {"text": "\n\n".join(shown) or "-"}
