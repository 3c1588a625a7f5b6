"""The thread of a sink that must not keep anybody waiting: begun with its first use, ended with the sink."""

import threading
from collections.abc import Callable

from daemon.log import get_logger

logger = get_logger(__name__)


class SinkThread:
    """One thread, which whoever owns it begins and ends from another one.

    Attributes:
        stopping: it is to end; what it runs looks at this between two pieces of work.
    """

    def __init__(self, name: str, run: Callable[[], None], end_s: float) -> None:
        """Nothing is started before `begin`.

        Args:
            name: of the sink.
            run: what it does until it is stopping.
            end_s: at the end, what is under way is given so many seconds.
        """
        self._name = name
        self._run = run
        self._end_s = end_s
        self._thread: threading.Thread | None = None
        self.stopping = False

    def begin(self) -> None:
        """Start it, unless it was started before."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def end(self, wake: Callable[[], None]) -> None:
        """Have it end, and wait for that; what goes on beyond its time is left behind, and ends with the process.

        Args:
            wake: called where there is a thread, which may wait for something to do.
        """
        self.stopping = True
        if self._thread is None:
            return
        wake()
        self._thread.join(self._end_s)
        if self._thread.is_alive():
            logger.warning("sink.not_closed", sink=self._name, waited_s=self._end_s)
        self._thread = None
