"""What the newest scans of all hosts come to, for metrics."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from daemon.ledger import Ledger


class Posture:
    """Numbers of the newest scan of each host and scope; each record is read once.

    Attributes:
        levels, statuses: findings at stake by level, all findings by status. What was decided about them since their
            scan does not show before the next one.
        times: when the newest scan of each scope was finished with, in seconds since 1970.
    """

    def __init__(self) -> None:
        self.levels: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.times: list[float] = []
        self._known: dict[tuple[str, int], tuple[Counter[str], Counter[str]]] = {}

    def look(self, ledgers: Sequence[Ledger]) -> None:
        """Take in what was finished since the last look.

        Raises:
            LedgerError: when a ledger cannot be read.
        """
        known: dict[tuple[str, int], tuple[Counter[str], Counter[str]]] = {}
        self.times = []
        for ledger in ledgers:
            path = str(ledger.database.path)
            for scan_no, finished_at in ledger.records.newest():
                self.times.append(datetime.fromisoformat(finished_at).timestamp())
                key = (path, scan_no)
                known[key] = self._known.get(key) or _counts(ledger.records.record(scan_no))
        self._known = known
        self.levels, self.statuses = Counter(), Counter()
        for levels, statuses in known.values():
            self.levels += levels
            self.statuses += statuses


def _counts(record: bytes | None) -> tuple[Counter[str], Counter[str]]:
    counts = json.loads(record)["counts"] if record is not None else {"level": {}, "status": {}}
    return Counter(counts["level"]), Counter(counts["status"])
