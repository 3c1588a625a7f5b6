"""A directory, a clock and a ledger to watch with."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.daemon.sources.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "in")


@pytest.fixture(autouse=True)
def _process_as_new() -> Iterator[None]:
    """Undo what tests that run the command line in this process leave behind: its umask, and logs to a closed file."""
    umask = os.umask(0o022)
    structlog.reset_defaults()
    for name, module in list(sys.modules.items()):
        if name.startswith("daemon.sources") and hasattr(module, "logger"):
            vars(module.logger).pop("bind", None)  # the logger that was cached on first use
    yield
    os.umask(umask)
