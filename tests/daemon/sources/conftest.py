"""A directory, a clock and a ledger to watch with."""

from pathlib import Path

import pytest

from tests.daemon.sources.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "in")
