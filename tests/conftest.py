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


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a value of bytes by its length and not by its content.

    Compressed content may hold the time at which it was compressed. The processes that share the tests each collect
    them for themselves, and refuse to begin where their lists of names differ.
    """
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


def pytest_collection_finish() -> None:
    """Collect garbage from here on, among what the tests make."""
    gc.collect()
    gc.freeze()
    gc.enable()
