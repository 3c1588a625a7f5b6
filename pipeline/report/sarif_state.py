"""What a SARIF result says that it is: suppressed, passed, gone (SARIF 2.1.0, 3.27.9, 3.27.23 and 3.27.24)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.finding import RawFinding, ScanHeader, Status

_KINDS: Final[dict[str, Status]] = {
    "pass": "passed",
    "notApplicable": "info",
    "informational": "info",
    "open": "unknown",
    "review": "unknown",
}
_MAX_JUSTIFICATION = 4_000  # characters; it is shown with every finding


@dataclass(slots=True, frozen=True)
class ReportedAcceptance:
    """An acceptance that stands in the report: a tool or a reviewer between scanner and collector put it there.

    Attributes:
        kind: ``external`` or ``inSource``, as SARIF has it.
    """

    kind: str
    justification: str


def acceptance_of(raw: RawFinding, header: ScanHeader) -> ReportedAcceptance | None:
    """Return the first suppression of a result that holds: its status is ``accepted``, or it has none."""
    for entry in _suppressions(raw.extra) if header.source_format == "sarif" else ():
        if entry.get("status", "accepted") == "accepted":
            kind, why = entry.get("kind"), entry.get("justification")
            return ReportedAcceptance(
                kind if kind in ("external", "inSource") else "no kind given",
                why[:_MAX_JUSTIFICATION] if type(why) is str and why else "no justification given",
            )
    return None


def status_of(raw: RawFinding, header: ScanHeader) -> Status | None:
    """Return the status that a result has by its own word, or None where it is a failure like any other."""
    if header.source_format != "sarif":
        return None
    if raw.extra.get("baselineState") == "absent":  # it was in an earlier run of the tool, and is no more
        return "passed"
    kind = raw.extra.get("kind")
    return _KINDS.get(kind) if type(kind) is str else None


def _suppressions(extra: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = extra.get("suppressions")
    return [entry for entry in listed if type(entry) is dict] if type(listed) is list else []
