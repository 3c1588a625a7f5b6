"""A fresh ledger with one sink."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from tests.daemon.ledger.reports import SINK, open_ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path) as opened:
        opened.outbox.register(SINK)
        yield opened
        assert opened.fsck() == []
