"""The real scans of tests/data/scans, read by the report reader and classified."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from pipeline.classes.classify import Classifier
from pipeline.finding import Classified, ParsedReport, RawFinding, ScanHeader
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from tests.pipeline.compiled import compiled
from tests.pipeline.knowledge.real_scans import SCANS, knowledge

Finding = tuple[str, RawFinding, Classified]


@lru_cache(maxsize=80)
def report(name: str) -> ParsedReport:
    """Give the one report that a file holds."""
    (found,) = read_document((SCANS / name).read_bytes(), Limits()).reports
    return found


@lru_cache(maxsize=80)
def of_classes(name: str, prefixes: tuple[str, ...], profile: str = "default") -> tuple[Finding, ...]:
    """Classify a file and keep what is of a scanner in `prefixes`, or of its classes where no scanner is named."""
    parsed = report(name)
    classifier = Classifier(compiled(knowledge(), profile), parsed.header, "one-host")  # SARIF names none
    return tuple(
        (name, raw, classified)
        for raw in parsed.findings
        if (raw.scanner or classifier.classify(raw).class_id.partition(".")[0]) in prefixes
        for classified in (classifier.classify(raw),)
    )


def everywhere(names: list[str], *prefixes: str) -> Iterator[Finding]:
    for name in names:
        yield from of_classes(name, prefixes)


def classify_one(
    scanner: str | None, id_: str, severity: str, *, format_: str = "json", profile: str = "default", **said: Any
) -> Classified:
    """Classify one finding; `said` are its title, description, metadata and fields of the header."""
    fields = {key: said.pop(key) for key in ("title", "description", "metadata", "techniques") if key in said}
    header = ScanHeader(source_format=format_, host="web01", **said)  # type: ignore[arg-type]
    raw = RawFinding(scanner=scanner, id=id_, severity=severity, **fields)  # type: ignore[arg-type]
    return Classifier(compiled(knowledge(), profile), header, "web01").classify(raw)


def same_finding(json_name: str, other_name: str, prefixes: tuple[str, ...]) -> Iterator[tuple[Classified, Classified]]:
    """Pair the findings of a JSON report with those of the same scan in another format, by id."""
    twins: Mapping[str, Classified] = {raw.id: found for _, raw, found in of_classes(json_name, prefixes)}
    for _, raw, found in of_classes(other_name, prefixes):
        yield twins[raw.id], found
