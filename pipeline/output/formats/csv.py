"""CSV (RFC 4180): one line a finding, for spreadsheets and for scripts.

Most cells hold what somebody on the host may have chosen, and a spreadsheet runs what looks like a formula. So every
cell is in quotes, one that could be taken for a formula begins with an apostrophe (as spreadsheets themselves mark
text), also where a semicolon in it would begin a new cell in some countries, and control characters are escaped: a cell
is never two.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

from pipeline.display import printable
from pipeline.output.formats.scan import Scan, gaps
from pipeline.output.formats.subject import subject_of
from pipeline.output.records import EnrichedFinding

BOM: Final = b"\xef\xbb\xbf"

_END = "\r\n"
_LONGEST = 8_000  # characters of a cell; spreadsheets take 32,767
# What begins a formula, also in the wide forms of East Asian keyboards, behind blanks and quotes that are passed over.
_FORMULA = re.compile("(^|;)([\\s\"']*)([=+\\-@\uff1d\uff0b\uff0d\uff20])")

Column = Callable[[EnrichedFinding], object]

COLUMNS: Final[dict[str, Column]] = {
    "host": lambda one: one.host,
    "level": lambda one: one.risk.level,
    "score": lambda one: one.risk.score,
    "status": lambda one: one.status,
    "class": lambda one: one.class_,
    "title": lambda one: one.finding.title,
    "about": lambda one: subject_of(one).name,
    "assessment": lambda one: one.analysis.assessment,
    "impact": lambda one: one.analysis.impact,
    "what_to_do": lambda one: " ".join(action.summary for action in one.remediation) or _look(one, "summary"),
    "command": lambda one: next((action.command for action in one.remediation if action.command), None),
    "check": lambda one: next((action.check for action in one.remediation if action.check), _look(one, "command")),
    "mistake_of_scanner": lambda one: None if one.artefact is None else f"{one.artefact.degree}: {one.artefact.why}",
    "state": lambda one: None if one.baseline is None else one.baseline.state,
    "first_seen_at": lambda one: None if one.baseline is None else one.baseline.first_seen_at,
    "controls": lambda one: " ".join(
        f"{control.framework}:{control.control}" for control in one.compliance if control.evidence == "failing"
    ),
    "controls_supporting": lambda one: " ".join(
        f"{control.framework}:{control.control}" for control in one.compliance if control.evidence == "supporting"
    ),
    "techniques": lambda one: " ".join(technique.technique for technique in one.attack),
    "indicators": lambda one: " ".join(hit.indicator for hit in one.threat_intel),
    "correlations": lambda one: " ".join(dict.fromkeys(group.rule for group in one.correlations)),
    "accepted_by": lambda one: None if one.suppression is None else one.suppression.owner,
    "accepted_until": lambda one: None if one.suppression is None else one.suppression.expires,
    "accepted_why": lambda one: None if one.suppression is None else one.suppression.reason,
    "verdict": lambda one: None if one.review is None else one.review.verdict,
    "verdict_by": lambda one: None if one.review is None else one.review.author,
    "confidence": lambda one: one.analysis.confidence,
    "analysed_by": lambda one: one.analysis.origin,
    "not_analysed": lambda one: one.analysis.fallback_reason if one.analysis.origin == "rules" else None,
    "scanner": lambda one: one.finding.scanner,
    "scanner_id": lambda one: one.finding.id,
    "scanner_severity": lambda one: one.finding.severity,
    "occurrences": lambda one: one.occurrences,
    "observed_at": lambda one: one.observed_at,
    "as_of": lambda one: one.as_of,
    "scan_id": lambda one: one.scan_id,
    "fingerprint": lambda one: one.fingerprint,
    "dedupe_key": lambda one: one.dedupe_key,
}


def _look(one: EnrichedFinding, part: Literal["summary", "command"]) -> str | None:
    """Give what to look at first where no class knows the finding; it changes nothing."""
    look = one.likely.look if one.likely is not None else None
    text: str | None = getattr(look, part, None)
    return text


MISSING: Final = "missing_from_scan"  # the last column: what the whole scan lacks


def csv(scans: Iterable[Scan], *, bom: bool = False) -> Iterator[bytes]:
    """Write the findings of scans, with a line of names first.

    Args:
        bom: begin with a byte order mark, without which some spreadsheets take UTF-8 for something else.
    """
    yield (BOM if bom else b"") + (",".join(map(cell, (*COLUMNS, MISSING))) + _END).encode()
    for scan in scans:
        missing = cell(" ".join(gap.text for gap in gaps(scan)))
        for finding in scan.findings():
            cells = [cell(column(finding)) for column in COLUMNS.values()]
            yield (",".join((*cells, missing)) + _END).encode("utf-8", "replace")


def cell(value: object) -> str:
    """Write one cell, in quotes; None is an empty one."""
    if value is None:
        return '""'
    shown = printable(str(value), _LONGEST)
    if type(value) is not int:
        shown = _FORMULA.sub(r"\1'\2\3", shown)
    return '"' + shown.replace('"', '""') + '"'
