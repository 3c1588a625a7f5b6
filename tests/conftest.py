"""All tests run LangGraph as the daemon does, without langsmith; and `--skips` says what they may skip for."""

import daemon  # noqa: F401 - allows the stand-ins
import pipeline.graph.library  # noqa: F401 - before a test imports LangGraph in its own way
from tests.skips import pytest_addoption, pytest_configure  # noqa: F401 - hooks are found by their names
