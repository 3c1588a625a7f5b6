"""What every part of the ledger shares: the database, the clock and the host option."""

from collections.abc import Callable
from datetime import UTC, datetime

from daemon.ledger.database import Database

Clock = Callable[[], float]  # seconds since the epoch, as `time.time`


class Store:
    """Base of the ledger's parts; each adds the methods of one port."""

    def __init__(
        self, database: Database, clock: Clock, host: str | None = None, max_findings: int | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._host = host
        self._max_findings = max_findings

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
