"""All tests run LangGraph as the daemon does, without langsmith."""

import daemon  # noqa: F401 - allows the stand-ins
import pipeline.graph.library  # noqa: F401 - before a test imports LangGraph in its own way
