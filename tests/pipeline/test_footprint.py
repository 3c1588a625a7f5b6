"""A scan may be sixty times the largest real one; what is kept of each finding must fit into the memory of the unit."""

import tracemalloc

from pipeline.finding import RawFinding
from pipeline.graph.session import ScanSession
from tests.pipeline.sessions import context_of, lines_of, made_up, resources

COUNT = 3_000
# 200,000 of them beside what the program takes anyway: below the 768 MB of the unit.
MOST_BYTES = 2_500


def test_a_finding_of_a_large_scan_costs_little_memory() -> None:
    findings = [
        RawFinding("scanner", f"x{number}", "low", "title", "description", metadata={"path": f"/x/{number}"})
        for number in range(COUNT)
    ]
    parsed = made_up(findings)
    on = resources()
    lines_of(ScanSession(context_of(parsed), findings[:50], on, {}))  # what is compiled once for all
    tracemalloc.start()
    try:
        session = ScanSession(context_of(parsed), findings, on, {})
        for first in range(0, COUNT, 250):
            session.enrich(first, first + 250)
            session.take_lines(first, first + 250, {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / COUNT < MOST_BYTES
