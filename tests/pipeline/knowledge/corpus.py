"""Real scans, read as the product reads them, and classified."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from pipeline.classes.classify import Classifier
from pipeline.features import load_features
from pipeline.finding import Classified, ParsedReport, RawFinding, ScanHeader
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.predicates import View, compile_all
from pipeline.knowledge.schema import Knowledge
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from tests.pipeline.compiled import compiled

SCANS = Path(__file__).parents[2] / "data" / "scans"
FILES = sorted(path.name for path in SCANS.iterdir() if path.is_file() and path.name != "index.json")
Pair = tuple[RawFinding, Classified]


@lru_cache(maxsize=1)
def knowledge() -> Knowledge:
    return load_knowledge(load_features)


@lru_cache(maxsize=64)
def report(name: str) -> ParsedReport:
    (parsed,) = read_document((SCANS / name).read_bytes(), Limits(), final=True).reports
    return parsed


def files(suffix: str) -> list[str]:
    return [name for name in FILES if name.removesuffix(".gz").endswith(suffix)]


def classify(header: ScanHeader, raw: RawFinding) -> Classified:
    return Classifier(compiled(knowledge(), "default"), header, "host").classify(raw)


def pairs(name: str, *prefixes: str) -> Iterator[Pair]:
    """Yield the findings of a file whose class begins with one of the prefixes, as they came and classified."""
    parsed = report(name)
    classifier = Classifier(compiled(knowledge(), "default"), parsed.header, "host")
    for raw in parsed.findings:
        found = classifier.classify(raw)
        if raw.scanner in prefixes or found.class_id.split(".")[0] in prefixes:
            yield raw, found


def artefacts(header: ScanHeader, raw: RawFinding, found: Classified) -> dict[str, str]:
    """Give the artefacts that apply to a finding, with their degrees."""
    seen = View(
        header, slots=found.slots, features=found.features, metadata=found.metadata, status=found.status,
        severity=raw.severity, class_id=found.class_id, title=found.title, description=found.description,
    )  # fmt: skip
    return {
        key: entry.degree
        for key, entry in knowledge().artefacts.items()
        if found.class_id in entry.classes and compile_all(entry.when, knowledge().expected, "default")(seen)
    }


def text(header: ScanHeader, raw: RawFinding, found: Classified) -> str:
    """Give the assessment that the rules would print, with its placeholders."""
    seen = View(
        header, slots=found.slots, features=found.features, metadata=found.metadata, status=found.status,
        severity=raw.severity, class_id=found.class_id, title=found.title, description=found.description,
    )  # fmt: skip
    for entry in knowledge().classes[found.class_id].analysis:
        if compile_all(entry.when, knowledge().expected, "default")(seen):
            return entry.assessment
    raise AssertionError(f"no text for {found.class_id}")
