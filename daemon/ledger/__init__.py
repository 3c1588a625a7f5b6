"""The one truth about what was read, done and delivered."""

from daemon.ledger.ledger import Ledger
from daemon.ledger.quarantine import Quarantined
from daemon.ledger.records import ScanEntry

__all__ = ["Ledger", "Quarantined", "ScanEntry"]
