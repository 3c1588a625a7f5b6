"""The real scans of tests/data/scans as findings, read with nothing but the standard library.

The report reader has tests of its own; a class is tested on what the scanner wrote, whatever reads it.
"""

import gzip
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.classes.classify import Classifier
from pipeline.features import load_features
from pipeline.finding import Classified, RawFinding, ScanHeader
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge
from tests.pipeline.compiled import compiled

SCANS = Path(__file__).parents[2] / "data" / "scans"


@lru_cache(maxsize=1)
def knowledge() -> Knowledge:
    return load_knowledge(load_features)


def names(format_: str) -> list[str]:
    """The files of one format, ``json``, ``ndjson`` or ``sarif``."""
    return sorted(
        path.name
        for path in SCANS.iterdir()
        if path.is_file() and path.name != "index.json" and path.name.removesuffix(".gz").endswith(f".{format_}")
    )


@lru_cache(maxsize=16)
def read(name: str) -> tuple[ScanHeader, tuple[RawFinding, ...]]:
    data = (SCANS / name).read_bytes()
    if name.endswith(".gz"):
        data = gzip.decompress(data)
    text = data.decode("utf-8", "backslashreplace")
    if ".ndjson" in name:
        return _ndjson([json.loads(line) for line in text.split("\n") if line.strip()])
    document = json.loads(text, strict=False)
    return _sarif(document, name) if ".sarif" in name else _report(document)


def classified(name: str, *scanners: str) -> Iterator[tuple[RawFinding, Classified]]:
    """Classify the findings of a file that come from `scanners` (all of them where the format does not say)."""
    header, findings = read(name)
    classifier = Classifier(compiled(knowledge(), "default"), header, header.host or "unknown")
    for raw in findings:
        if raw.scanner is None or raw.scanner in scanners:
            yield raw, classifier.classify(raw)


def _report(document: dict[str, Any]) -> tuple[ScanHeader, tuple[RawFinding, ...]]:
    meta = document["meta"]
    header = ScanHeader(
        source_format="json",
        host=meta.get("hostname"),
        cmdline=meta.get("cmdline"),
        effective_config=meta.get("effective_config", {}),
        os_id=meta.get("os_id") or None,
        rules_enabled="--rules-enable" in meta.get("cmdline", ""),
    )
    return header, tuple(
        RawFinding(
            scanner=section["scanner"],
            id=finding["id"],
            severity=finding["severity"],
            title=finding["title"],
            description=finding["description"],
            metadata=finding["metadata"],
        )
        for section in document["results"]
        for finding in section["findings"]
    )


def _ndjson(lines: list[dict[str, Any]]) -> tuple[ScanHeader, tuple[RawFinding, ...]]:
    meta = next(line for line in lines if line["type"] == "meta")
    header = ScanHeader(
        source_format="ndjson",
        host=meta.get("hostname"),
        cmdline=meta.get("cmdline"),
        rules_enabled="--rules-enable" in meta.get("cmdline", ""),
    )
    return header, tuple(
        RawFinding(scanner=line["scanner"], id=line["id"], severity=line["severity"])
        for line in lines
        if line["type"] == "finding"
    )


def _sarif(document: dict[str, Any], name: str) -> tuple[ScanHeader, tuple[RawFinding, ...]]:
    findings = []
    for result in document["runs"][0]["results"]:
        title, _, description = result["message"]["text"].partition(" - ")
        findings.append(
            RawFinding(
                scanner=None, id=result["ruleId"], severity=result["level"], title=title, description=description
            )
        )
    return ScanHeader(source_format="sarif", rules_enabled="rules" in name), tuple(findings)
