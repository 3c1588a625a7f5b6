"""What every part of the ledger shares: the database and the clock."""

from collections.abc import Callable
from datetime import UTC, datetime

from daemon.ledger.database import Database

Clock = Callable[[], float]  # seconds since the epoch, as `time.time`


class Store:
    """Base of the ledger's parts; each has the methods of one port, on the database that all of them share."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
