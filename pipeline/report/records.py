"""The kinds of lines in an NDJSON stream."""

from dataclasses import dataclass
from typing import Any

from pipeline.finding import RawFinding, Reject


@dataclass(slots=True, frozen=True)
class MetaLine:
    """A `meta` line, which begins a scan. `line` is its bytes without the line end."""

    fields: dict[str, Any]
    line: bytes


@dataclass(slots=True, frozen=True)
class HeaderLine:
    """A `summary`, `summary_extension` or `timing` line; part of the header when it precedes the findings."""

    kind: str
    fields: dict[str, Any]
    line: bytes


@dataclass(slots=True, frozen=True)
class FindingLine:
    finding: RawFinding
    line: bytes


@dataclass(slots=True, frozen=True)
class BadLine:
    """A line that cannot be used; it goes to quarantine and the stream goes on."""

    reject: Reject


@dataclass(slots=True, frozen=True)
class BlankLine:
    """White space only; skipped."""


StreamRecord = MetaLine | HeaderLine | FindingLine | BadLine | BlankLine
