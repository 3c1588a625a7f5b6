"""What tells one ledger from every other."""

import time
from pathlib import Path

from daemon.ledger import Ledger


def test_a_ledger_keeps_its_identity_and_another_has_another(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "one", clock=time.time) as ledger:
        identity = ledger.identity()
        assert ledger.identity() == identity
        assert len(identity) == 16
    with Ledger.open(tmp_path / "one", clock=time.time) as again:
        assert again.identity() == identity
        assert again.fsck() == []
    with Ledger.open(tmp_path / "two", clock=time.time) as other:
        assert other.identity() != identity
