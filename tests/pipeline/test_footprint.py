"""A scan may be sixty times the largest real one; what is kept of each finding must fit into the memory of the unit."""

import tracemalloc

from pipeline.finding import RawFinding
from pipeline.graph.batches import run_batch
from pipeline.graph.graph import build_graph
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
    lines_of(ScanSession.of(context_of(parsed), findings[:50], on, {}))  # what is compiled once for all
    graph_of = {1: ScanSession.of(context_of(parsed), findings[:1], on, {})}
    graph = build_graph(graph_of)
    tracemalloc.start()
    try:
        session = ScanSession.of(context_of(parsed), findings, on, {})
        graph_of[1] = session
        for first in range(0, COUNT, 250):
            run_batch(graph, session, first, first + 250)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / COUNT < MOST_BYTES
