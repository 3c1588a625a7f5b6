"""Takes records into the tables, and says what is to be published because of them. Knows neither Faust nor Kafka."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from daemon.fleet.fleet import Fleet
from daemon.fleet.records import Alert, news_alert, silence_alert, write_row
from daemon.fleet.scan import Place, Reason, Unusable, read_scan
from daemon.log import get_logger

logger = get_logger(__name__)

_SAID_AGAIN_S = 60.0  # of records with one reason, one is named in this time


@dataclass(slots=True, frozen=True)
class Taken:
    """What follows from a record: alerts first, then the row under its key.

    Attributes:
        row: the value of the posture record, or None where nothing has changed.
    """

    alerts: tuple[Alert, ...] = ()
    key: bytes = b""
    row: bytes | None = None


class Keeper:
    """One for the process.

    Attributes:
        read, unchanged: records that were read, and those of them that said nothing new.
        refused: those that could not be used, by reason.
        alerted: alerts that were to be sent, by kind.
    """

    def __init__(self, fleet: Fleet, alert_max_age_ms: int, clock: Callable[[], float] = time.time) -> None:
        """Take the tables; `clock` gives seconds since 1970."""
        self.fleet = fleet
        self.read = 0
        self.unchanged = 0
        self.refused: Counter[Reason] = Counter()
        self.alerted: Counter[str] = Counter()
        self._max_age = alert_max_age_ms
        self._clock = clock
        self._silent: set[str] = set()  # ids of alerts
        self._said: dict[Reason, float] = {}

    def now(self) -> int:
        """Give the time in milliseconds since 1970."""
        return round(self._clock() * 1000)

    def take(self, key: bytes | None, value: bytes | None, place: Place) -> Taken:
        """Take a record; whatever it holds, nothing is raised."""
        self.read += 1
        try:
            return self._take(key, value, place)
        except Unusable as error:
            self._refuse(error.reason, place, error.detail)
        except Exception as error:  # a fault of ours: Faust would pass the record over without a word
            self._refuse("failed", place, repr(error))
        return Taken()

    def silence(self) -> tuple[Alert, ...]:
        """List alerts for hosts that have gone silent, each once in the life of this process."""
        now = self.now()
        alerts = [silence_alert(one, self.fleet.spans.silent) for one in self.fleet.silent(now)]
        fresh = tuple(one for one in alerts if one.id not in self._silent and one.at > now - self._max_age)
        self._silent = {one.id for one in alerts}
        self.alerted.update(one.kind for one in fresh)
        return fresh

    def _take(self, key: bytes | None, value: bytes | None, place: Place) -> Taken:
        scan = read_scan(key, value, place)
        row, news = self.fleet.apply(scan)
        if row is None:
            self.unchanged += 1
            return Taken()
        recent = self.now() - self._max_age
        alerts = tuple(news_alert(scan.host, one) for one in news if one.at > recent)
        self.alerted.update(one.kind for one in alerts)
        return Taken(alerts, scan.host.encode("utf-8", "surrogatepass"), write_row(row, self.fleet.spans.scope))

    def _refuse(self, reason: Reason, place: Place, detail: str) -> None:
        self.refused[reason] += 1
        now = self._clock()
        if reason != "not_a_scan" and now - self._said.get(reason, -_SAID_AGAIN_S) >= _SAID_AGAIN_S:
            self._said[reason] = now
            logger.warning(
                "record.refused", reason=reason, detail=detail, partition=place.partition, offset=place.offset,
                refused=self.refused[reason],
            )  # fmt: skip
