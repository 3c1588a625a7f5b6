"""The steps of the graph: each reads the state and the session of its scan, and returns what it writes."""

from collections.abc import Mapping
from typing import Literal

from pipeline.analysis.question import MAX_ATTEMPTS
from pipeline.graph.session import ScanSession
from pipeline.graph.state import BatchState


class Nodes:
    """The nodes, bound to the sessions of the scans in hand, by their `scan_no`."""

    def __init__(self, sessions: Mapping[int, ScanSession]) -> None:
        self._sessions = sessions

    def _session(self, state: BatchState) -> ScanSession:
        return self._sessions[state["scan_no"]]

    def classify(self, state: BatchState) -> BatchState:
        """Tell the findings that differ from their twins."""
        return {"kinds": self._session(state).classify(state["first"], state["last"])}

    def correlate(self, state: BatchState) -> BatchState:
        """Set those apart whose correlations differ, though they say the same."""
        return {"cases": self._session(state).correlate(state["first"], state["last"], state["kinds"])}

    def enrich(self, state: BatchState) -> BatchState:
        """Map each case to status, controls, techniques, indicators and actions."""
        return {"evidence": self._session(state).enrich(state["cases"])}

    def score(self, state: BatchState) -> BatchState:
        """Name the questions that the rules' levels and mappings leave."""
        return {"asked": self._session(state).score(state["cases"])}

    def recall(self, state: BatchState) -> BatchState:
        """Look the questions up in the cache of analyses."""
        return {"open": self._session(state).recall(state["asked"]), "attempt": 0, "decided": {}}

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
        """Choose what to do first, of the actions that fit."""
        return {"actions": self._session(state).remediate(state["asked"], state["decided"])}

    def finalise(self, state: BatchState) -> BatchState:
        """Write the lines, and seal them."""
        return {"seal": self._session(state).finalise(state)}

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
