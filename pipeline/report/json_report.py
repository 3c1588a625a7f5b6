"""Reads the scanner's JSON report."""

from dataclasses import replace
from typing import Any

from pipeline.errors import ReportError
from pipeline.finding import Note, ParsedReport, RawFinding, Reject
from pipeline.report.finding_fields import describe, excerpt_of, read_finding
from pipeline.report.header import build_header
from pipeline.report.lexer import KIND_REPEATED
from pipeline.report.limits import Limits, too_many_findings
from pipeline.report.marks import join, occurrences, resolve_header, strip

REPORT_KEYS = frozenset(("results", "meta", "summary"))


def read_json_report(
    document: dict[str, Any], marker: str, digest: str, limits: Limits, notes: list[Note]
) -> ParsedReport:
    """Check a parsed report section by section and finding by finding.

    A repeated top-level ``results``, or a repeated ``findings`` in a section, is read in the order of its
    occurrences: no finding is lost to a key that came later.

    Raises:
        ReportError: ``no_results`` or ``too_large``.
    """
    sections = _Sections(marker, limits)
    several = occurrences(document, "results", marker)
    usable = [value for value in several if type(value) is list]
    if not usable:
        what = f"results is {describe(strip(several[0], marker))}, not a list" if several else "there are no results"
        raise ReportError("no_results", what)
    if len(several) > 1:
        notes.append("duplicate_header_key")
    for value in several:
        sections.read(value)
    raw = _raw_header(document, sections.raw, marker, notes)
    meta, summary = (_object(raw, name, notes) for name in ("meta", "summary"))
    if not meta:
        notes.append("no_meta")
    header = build_header("json", meta, summary, raw, tuple(dict.fromkeys(sections.scanners)), notes)
    unreadable_count = header.emitted is None and "finding_count_emitted" in summary
    mismatch = header.emitted is not None and header.emitted != len(sections.findings) + len(sections.rejects)
    if mismatch:
        notes.append("count_mismatch")
    if sections.renamed:
        notes.append("severity_normalised")
    header = replace(header, notes=tuple(dict.fromkeys(notes)))
    damaged = "pretty_damage" in header.notes and header.started_at != summary.get("started_at")
    return ParsedReport(
        header=header,
        findings=tuple(sections.findings),
        rejects=tuple(sections.rejects),
        digest=digest,
        complete=not (sections.rejects or mismatch or unreadable_count or damaged),
    )


class _Sections:
    """Collects the findings of all sections."""

    def __init__(self, marker: str, limits: Limits) -> None:
        self._marker = marker
        self._limits = limits
        self._seen = 0
        self.findings: list[RawFinding] = []
        self.rejects: list[Reject] = []
        self.scanners: list[str] = []
        self.raw: list[dict[str, Any]] = []
        self.renamed = False

    def read(self, results: Any) -> None:
        if type(results) is not list:
            self._reject("wrong_type", f"results must be a list, not {describe(results)}", "results", results)
            return
        for section in results:
            self._read_section(section, f"results[{self._seen}]")
            self._seen += 1

    def _read_section(self, section: Any, path: str) -> None:
        if type(section) is not dict:
            self._reject("wrong_type", f"a section must be an object, not {describe(section)}", path, section)
            return
        flaws: list[Note] = []
        rest = {key: value for key, value in section.items() if key != "findings"}
        self.raw.append(resolve_header(rest, self._marker, flaws) if self._marker else rest)
        name = self.raw[-1].get("scanner")
        scanner = name if type(name) is str and name else None
        if scanner:
            self.scanners.append(scanner)
        several = occurrences(section, "findings", self._marker)
        if not several:
            self._reject("missing_field", "a section must have findings", f"{path}.findings", section)
        index = 0
        for findings in several:
            if type(findings) is not list:
                detail = f"findings must be a list, not {describe(findings)}"
                self._reject("wrong_type", detail, f"{path}.findings", findings)
                continue
            if scanner is None:
                self._reject_unnamed(findings, f"{path}.scanner", "scanner" in section)
                continue
            if len(self.findings) + len(self.rejects) + len(findings) > self._limits.max_findings:
                raise too_many_findings(self._limits)
            for value in findings:
                finding = read_finding(value, scanner, "", self._marker)
                if isinstance(finding, RawFinding):
                    self.findings.append(finding)
                    self.renamed = self.renamed or "severity" in finding.extra
                else:
                    # Paths are made only here: they cost time, and hardly any finding needs one.
                    self._add(replace(finding, path=join(f"{path}.findings[{index}]", finding.path or "")))
                index += 1

    def _reject_unnamed(self, findings: list[Any], path: str, present: bool) -> None:
        """Reject each finding by itself, so that each can be looked at."""
        reason, detail = ("wrong_type", "not usable") if present else ("missing_field", "missing")
        for value in findings:
            self._reject(reason, f"the section's scanner is {detail}", path, value)

    def _reject(self, reason: Any, detail: str, path: str, value: Any) -> None:
        self._add(Reject(reason, detail, path=path, excerpt=excerpt_of(value, self._marker)))

    def _add(self, reject: Reject) -> None:
        self.rejects.append(reject)
        if len(self.rejects) > self._limits.max_rejects:
            first = self.rejects[0]
            detail = (
                f"more than {self._limits.max_rejects} findings that cannot be used (limits.max_rejects); "
                f"the first: {first.detail}"
            )
            raise ReportError(first.reason, detail)


def _raw_header(
    document: dict[str, Any], sections: list[dict[str, Any]], marker: str, notes: list[Note]
) -> dict[str, Any]:
    """Return everything of the report but its findings."""
    raw = {key: value for key, value in document.items() if key != "results"}
    if marker:
        repeated = raw.get(marker + KIND_REPEATED)
        if repeated is not None:
            raw[marker + KIND_REPEATED] = {key: several for key, several in repeated.items() if key != "results"}
        raw = resolve_header(raw, marker, notes)
    raw["sections"] = sections
    return raw


def _object(raw: dict[str, Any], name: str, notes: list[Note]) -> dict[str, Any]:
    value = raw.get(name)
    if type(value) is dict:
        return value
    if value is not None:
        notes.append("bad_header_field")
    return {}
