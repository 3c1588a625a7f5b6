"""All real scans as formats get them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import orjson
from hypothesis import HealthCheck, Phase, settings

from pipeline.finding import RawFinding
from pipeline.output.formats.scan import Scan
from pipeline.output.read import read_finding, read_scan
from pipeline.output.records import EnrichedFinding, ScanRecord, Suppression
from tests.pipeline.sessions import all_by_rules, lines_of, made_up, record_of, session_of, shared

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
# Making up a record takes long, whatever Hypothesis thinks of that, and to find a small one that fails takes minutes.
ANY_RECORD = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=PHASES)


@lru_cache(maxsize=1)
def real_scans() -> tuple[tuple[str, Scan], ...]:
    """Name and scan of every report in `tests/data/scans`, in order."""
    found = all_by_rules()
    return tuple(_scan(name, tuple(line.line for line in lines), record) for name, lines, record in found)


def real_scan(name: str) -> Scan:
    """One of them."""
    return next(scan for of, scan in real_scans() if of == name)


def scan_of(findings: Iterable[EnrichedFinding], record: ScanRecord | None = None, *missing: str) -> Scan:
    """A scan made up of findings."""
    held = tuple(findings)
    return Scan(held[0].scan_id, held[0].host, record, lambda: iter(held), missing)


def scan_with(*findings: RawFinding) -> Scan:
    """A scan that reports these findings, analysed."""
    session = session_of(made_up(findings), shared(), {})
    return _scan("", tuple(line.line for line in lines_of(session)), record_of(session))[1]


def some(name: str = "web01-ioc.json") -> EnrichedFinding:
    """An open finding of a real scan."""
    return next(one for one in real_scan(name).findings() if one.status == "open" and one.remediation)


def accepted(finding: EnrichedFinding, **changes: Any) -> EnrichedFinding:
    """The finding as somebody has accepted it."""
    entry = Suppression("ops", "replaced in January", "2027-01-31")
    risk = replace(finding.risk, level="info", score=10)
    return replace(finding, **{"status": "accepted", "suppression": entry, "risk": risk, "remediation": (), **changes})


def _scan(name: str, lines: tuple[bytes, ...], record: dict[str, Any]) -> tuple[str, Scan]:
    made = read_scan(orjson.dumps(record))
    return name, Scan(made.scan_id, made.host, made, partial(_findings, lines))


def _findings(lines: tuple[bytes, ...]) -> Iterator[EnrichedFinding]:
    return map(read_finding, lines)
