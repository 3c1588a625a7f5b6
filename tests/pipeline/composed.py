"""Reports put together from findings of the real scans, in the format that the scanner writes."""

import copy
import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.classes.scan import ScanContext, ScanIndex, index_scan
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.rules.correlate import Correlator, Group
from tests.pipeline.compiled import compiled

SCANS = Path(__file__).parents[1] / "data" / "scans"


@dataclass(frozen=True)
class Piece:
    """One finding as a report has it, and the scanner that wrote it."""

    scanner: str
    finding: dict[str, Any]

    def but(self, *, metadata: dict[str, str] | None = None, **changes: str) -> "Piece":
        """The same finding with other fields."""
        finding = {**copy.deepcopy(self.finding), **changes}
        finding["metadata"] = {**finding["metadata"], **(metadata or {})}
        return Piece(self.scanner, finding)


@lru_cache(maxsize=1)
def knowledge() -> Knowledge:
    return load_knowledge(load_features)


@lru_cache(maxsize=1)
def correlator() -> Correlator:
    return Correlator(knowledge(), "default")


@lru_cache(maxsize=32)
def _document(name: str) -> Any:
    data = (SCANS / name).read_bytes()
    return json.loads(gzip.decompress(data) if name.endswith(".gz") else data, strict=False)


def real(name: str, scanner: str, id_: str) -> Piece:
    """The first finding of a scanner with this id in a real scan."""
    for section in _document(name)["results"]:
        for finding in section["findings"]:
            if section["scanner"] == scanner and finding["id"] == id_:
                return Piece(scanner, copy.deepcopy(finding))
    raise AssertionError(f"{name} has no {scanner} {id_}")


def report(pieces: Sequence[Piece], **meta: str) -> bytes:
    """Write the report of a scan that found the pieces, in their order."""
    document = copy.deepcopy(_document("web01-base-default.json"))
    document["meta"].update(meta)
    document["results"] = [
        {
            "scanner": piece.scanner, "start_time": "2026-11-02T02:11:41Z", "end_time": "2026-11-02T02:11:41Z",
            "elapsed_ms": 1, "finding_count": 1, "findings": [piece.finding],
        }
        for piece in pieces
    ]  # fmt: skip
    document["summary"].update(finding_count_emitted=len(pieces), finding_count_total=len(pieces))
    return json.dumps(document).encode()


def indexed(data: bytes) -> ScanIndex:
    """Read and classify a report as the product does."""
    (parsed,) = read_document(data, Limits(), final=True).reports
    assert not parsed.rejects
    header = parsed.header
    context = ScanContext(0, "scan", header.host or "h", "report", header, True, 0, "2026-11-02T03:00:00Z")
    return index_scan(context, parsed.findings, compiled(knowledge(), "default"))


def groups(pieces: Iterable[Piece], **meta: str) -> list[Group]:
    """The correlations in a scan that found the pieces."""
    return correlator().correlate(indexed(report(list(pieces), **meta)))
