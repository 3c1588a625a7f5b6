"""All tests run LangGraph as the daemon does, without langsmith; and `--skips` says what they may skip for.

Modules, corpora and thousands of collected tests are never garbage. Looking through them again and again took more than
a quarter of the time, so the collector begins behind them, as in the program (`daemon/cli/startup.py`).
"""

import gc

gc.disable()

import daemon  # noqa: E402, F401 - allows the stand-ins
import pipeline.graph.library  # noqa: E402, F401 - before a test imports LangGraph in its own way
import tests.depth  # noqa: E402, F401 - makes the profiles known before one is chosen
from tests.skips import pytest_addoption, pytest_configure  # noqa: E402, F401 - hooks are found by their names


def pytest_collection_finish() -> None:
    """Collect garbage from here on, among what the tests make."""
    gc.collect()
    gc.freeze()
    gc.enable()
