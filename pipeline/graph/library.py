"""What we use of LangGraph; all of ours takes it from here, so that nothing that could send is imported with it."""

from pipeline.airgap.importing import import_langgraph

import_langgraph()

from langgraph.checkpoint.base import BaseCheckpointSaver  # noqa: E402
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer  # noqa: E402
from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: E402
from langgraph.graph import END, START, StateGraph  # noqa: E402
from langgraph.graph.state import CompiledStateGraph  # noqa: E402

__all__ = [
    "END",
    "START",
    "BaseCheckpointSaver",
    "CompiledStateGraph",
    "JsonPlusSerializer",
    "SqliteSaver",
    "StateGraph",
]
