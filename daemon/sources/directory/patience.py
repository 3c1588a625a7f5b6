"""How long a file may stand still before it is taken to be all that will come."""

import time
from collections.abc import Callable

from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.tracked import Tracked
from pipeline.errors import Incomplete, ReportError


class Patience:
    """Deadlines of files, on one clock.

    Attributes:
        final: nothing is waited for any more: the program ends.
    """

    def __init__(self, settings: WatchSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self.now = clock
        self.final = False

    def is_over(self, due: float) -> bool:
        """Say whether there is nothing left to wait for."""
        return self.final or self.now() >= due

    def with_document(self, file: Tracked, error: ReportError) -> float:
        """Say until when a document that cannot be read may still become one that can."""
        patience = self._settings.settle_s
        if isinstance(error, Incomplete):
            patience = self._settings.incomplete_after_s
        if file.gone_at is not None:
            patience = min(patience, self._settings.rotate_wait_s)
        return self._quiet_since(file) + patience

    def with_stream(self, file: Tracked) -> float:
        """Say until when a stream may still grow."""
        return self._quiet_since(file) + self._idle_s(file)

    def with_line(self, file: Tracked) -> float:
        """Say until when a line that is cut may still be completed."""
        idle_s = self._idle_s(file)
        hurried = self.final or file.gone_at is not None or file.renamed or file.compressed
        return self._quiet_since(file) + (idle_s if hurried else max(idle_s, self._settings.incomplete_after_s))

    def _idle_s(self, file: Tracked) -> float:
        if file.gone_at is not None or file.renamed or file.compressed:
            return self._settings.rotate_wait_s
        return self._settings.stream_idle_s

    def _quiet_since(self, file: Tracked) -> float:
        return max(file.changed_at, file.gone_at or file.changed_at)
