"""The analysis graph: what a batch of findings goes through, checkpointed between nodes.

    classify → enrich → correlate → score ─┬─ all known ──────────────────────────┐
                                           ├─ a model ──► analyse ⇄ critique ─┐   ├─► remediate → finalise
                                           └─ no model ─► fallback ◄──────────┘   │
                                                             └────────────────────┘

The state carries positions and small decisions; the working objects are rebuilt by pure functions, so a
resume at any node finds what it needs without the state holding it.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from pipeline.analysis.question import MAX_ATTEMPTS
from pipeline.graph.library import END, START, BaseCheckpointSaver, CompiledStateGraph, StateGraph
from pipeline.graph.session import ScanSession

BatchGraph = CompiledStateGraph[Any, Any, Any, Any]


class BatchState(TypedDict, total=False):
    """What is checkpointed of a batch.

    Attributes:
        scan_no, first, last: which findings of which scan.
        asked: for each distinct analysis key of the batch, the first finding that has it.
        groups: how many correlations touch the batch.
        levels: one digit a finding: the index of the rules' level.
        attempt: how often the model was asked.
        open: those of `asked` that want an answer.
        decided: ``model``, or the reason why the rules answer → which of `asked`; the others were in the cache.
        actions: how many remediations were rendered.
        seal: digest of the lines.
    """

    scan_no: int
    first: int
    last: int
    asked: list[int]
    groups: int
    levels: str
    attempt: int
    open: list[int]
    decided: dict[str, list[int]]
    actions: int
    seal: str


class Nodes:
    """The nodes, bound to the sessions of the scans in hand; a node takes the state and returns what it writes."""

    def __init__(self, sessions: Mapping[int, ScanSession]) -> None:
        self._sessions = sessions

    def _session(self, state: BatchState) -> ScanSession:
        return self._sessions[state["scan_no"]]

    def classify(self, state: BatchState) -> BatchState:
        """Check that the scan's index holds the batch. Reads the members; writes nothing of size."""
        self._session(state).require(state["first"], state["last"])
        return {"attempt": 0, "decided": {}}

    def enrich(self, state: BatchState) -> BatchState:
        """Map the batch to controls, techniques and local indicators."""
        self._session(state).enrich(state["first"], state["last"])
        return {}

    def correlate(self, state: BatchState) -> BatchState:
        """Count the correlations that touch the batch."""
        return {"groups": self._session(state).count_groups(state["first"], state["last"])}

    def score(self, state: BatchState) -> BatchState:
        """Score every finding, and name the questions that are left."""
        levels, asked = self._session(state).score(state["first"], state["last"])
        return {"levels": levels, "asked": asked}

    def recall(self, state: BatchState) -> BatchState:
        """Look the questions up in the cache of analyses."""
        return {"open": self._session(state).recall(state["asked"])}

    def analyse(self, state: BatchState) -> BatchState:
        """Ask the model; each answer is stored as it is produced."""
        self._session(state).analyse(state["open"], state["attempt"])
        return {"attempt": state["attempt"] + 1}

    def critique(self, state: BatchState) -> BatchState:
        """Check what a grammar cannot; what is refused stays open."""
        accepted, refused = self._session(state).critique(state["open"])
        return {"open": refused, "decided": {"model": [*state["decided"].get("model", ()), *accepted]}}

    def fallback(self, state: BatchState) -> BatchState:
        """Let the rules answer what is open, and say why."""
        return {"open": [], "decided": {**state["decided"], **self._session(state).fallback(state["open"])}}

    def remediate(self, state: BatchState) -> BatchState:
        """Count the actions of the batch."""
        return {"actions": self._session(state).count_actions(state["first"], state["last"])}

    def finalise(self, state: BatchState) -> BatchState:
        """Write the lines, and seal them."""
        return {"seal": self._session(state).finalise(state["first"], state["last"], state["decided"])}

    def after_recall(self, state: BatchState) -> Literal["remediate", "analyse", "fallback"]:
        """Choose who answers."""
        if not state["open"]:
            return "remediate"
        return "analyse" if self._session(state).has_model else "fallback"

    def after_critique(self, state: BatchState) -> Literal["remediate", "analyse", "fallback"]:
        """Go back once for what was refused."""
        if not state["open"]:
            return "remediate"
        return "analyse" if state["attempt"] < MAX_ATTEMPTS else "fallback"


def build_graph(
    sessions: Mapping[int, ScanSession], checkpointer: BaseCheckpointSaver[Any] | None = None
) -> BatchGraph:
    """Compile the graph; without a checkpointer it keeps nothing."""
    nodes = Nodes(sessions)
    graph = StateGraph(BatchState)
    for name in (
        "classify", "enrich", "correlate", "score", "recall", "analyse", "critique", "fallback", "remediate",
        "finalise",
    ):  # fmt: skip
        graph.add_node(name, getattr(nodes, name))
    graph.add_edge(START, "classify")
    graph.add_edge("classify", "enrich")
    graph.add_edge("enrich", "correlate")
    graph.add_edge("correlate", "score")
    graph.add_edge("score", "recall")
    graph.add_conditional_edges("recall", nodes.after_recall, ["remediate", "analyse", "fallback"])
    graph.add_edge("analyse", "critique")
    graph.add_conditional_edges("critique", nodes.after_critique, ["remediate", "analyse", "fallback"])
    graph.add_edge("fallback", "remediate")
    graph.add_edge("remediate", "finalise")
    graph.add_edge("finalise", END)
    return graph.compile(checkpointer=checkpointer)
