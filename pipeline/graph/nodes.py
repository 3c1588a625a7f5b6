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
        """Sort the findings of the batch into kinds; those of one kind say the same."""
        return {"kinds": self._session(state).classify(state["first"], state["last"])}

    def correlate(self, state: BatchState) -> BatchState:
        """Set those of a kind apart that stand in other correlations than it; what is left are the cases."""
        cases = self._session(state).correlate(state["first"], state["last"], state["kinds"])
        return {"cases": cases, "kinds": []}  # nobody reads them again, and each node's checkpoint would hold them

    def judge(self, state: BatchState) -> BatchState:
        """Judge each case by the rules: status, controls, techniques, indicators, actions, score."""
        return {"evidence": self._session(state).assess(state["cases"])}

    def ask(self, state: BatchState) -> BatchState:
        """List the questions that the cases raise; cases that are alike to an analyst raise the same."""
        return {"asked": self._session(state).ask(state["cases"])}

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
        """Choose for each question, of the actions that fit, the one to take first."""
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
