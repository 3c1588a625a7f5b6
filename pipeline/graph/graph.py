"""The analysis graph: what a batch of findings goes through, checkpointed between nodes.

    classify → correlate → judge → ask → recall ─┬─ all known ──────────────────────────┐
                                                 ├─ a model ──► analyse ⇄ critique ─┐   ├─► remediate → finalise
                                                 └─ no model ─► fallback ◄──────────┘   │
                                                                   └────────────────────┘

The state carries positions and small decisions; the working objects are rebuilt by pure functions, so a
resume at any node finds what it needs without the state holding it.
"""

from collections.abc import Mapping
from typing import Any

from pipeline.graph.library import END, START, BaseCheckpointSaver, CompiledStateGraph, StateGraph
from pipeline.graph.nodes import Nodes
from pipeline.graph.session import ScanSession
from pipeline.graph.state import BatchState

BatchGraph = CompiledStateGraph[Any, Any, Any, Any]


def build_graph(
    sessions: Mapping[int, ScanSession], checkpointer: BaseCheckpointSaver[Any] | None = None
) -> BatchGraph:
    """Compile the graph; without a checkpointer it keeps nothing."""
    nodes = Nodes(sessions)
    graph = StateGraph(BatchState)
    for name in (
        "classify", "correlate", "judge", "ask", "recall", "analyse", "critique", "fallback", "remediate", "finalise",
    ):  # fmt: skip
        graph.add_node(name, getattr(nodes, name))
    graph.add_edge(START, "classify")
    graph.add_edge("classify", "correlate")
    graph.add_edge("correlate", "judge")
    graph.add_edge("judge", "ask")
    graph.add_edge("ask", "recall")
    graph.add_conditional_edges("recall", nodes.after_recall, ["remediate", "analyse", "fallback"])
    graph.add_edge("analyse", "critique")
    graph.add_conditional_edges("critique", nodes.after_critique, ["remediate", "analyse", "fallback"])
    graph.add_edge("fallback", "remediate")
    graph.add_edge("remediate", "finalise")
    graph.add_edge("finalise", END)
    return graph.compile(checkpointer=checkpointer)
