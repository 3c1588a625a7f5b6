"""Where `analyze` keeps a model's answers: in the ledger, if there is one that is its own, else in memory."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from daemon.ledger import Ledger
from daemon.ledger.database import FILE_NAME
from daemon.settings import SERVICE_STATE
from pipeline.analysis.answers import MemoryStore
from pipeline.analysis.question import AnalysisStore
from pipeline.errors import LedgerError


class SharedCache:
    """Keeps answers in the ledger until that fails (a full disk, a busy daemon), and in memory from then on.

    The ledger is opened when something is looked for or kept: most runs find all answers with the model.
    """

    def __init__(self, open_ledger: Callable[[], Ledger | None]) -> None:
        self._open_ledger = open_ledger
        self._ledger: Ledger | None = None
        self._store: AnalysisStore | None = None

    def cached_analyses(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Give those that are known."""
        try:
            return self._opened().cached_analyses(keys)
        except LedgerError:
            self._store = MemoryStore()
            return {}

    def store_analyses(self, analyses: dict[str, bytes]) -> None:
        """Keep them."""
        try:
            self._opened().store_analyses(analyses)
        except LedgerError:
            self._store = MemoryStore()
            self._store.store_analyses(analyses)

    def close(self) -> None:
        """Close the ledger, if it was opened."""
        if self._ledger is not None:
            self._ledger.close()

    def _opened(self) -> AnalysisStore:
        if self._store is None:
            self._ledger = self._open_ledger()
            self._store = self._ledger.analyses if self._ledger is not None else MemoryStore()
        return self._store


@contextmanager
def analysis_cache(state_dir: Path | None) -> Iterator[AnalysisStore]:
    """Give the cache beside a daemon that may be running.

    A cache is a convenience: where the ledger cannot be opened, read or written, or there is no place for one, answers
    are kept in memory.
    """
    cache = SharedCache(lambda: _open(state_dir) if state_dir is not None and _is_ours(state_dir) else None)
    try:
        yield cache
    finally:
        cache.close()


def _open(state_dir: Path) -> Ledger | None:
    try:
        if (state_dir / FILE_NAME).exists():
            # Of another schema, it would be migrated under a daemon that may be running with it.
            Ledger.open(state_dir, clock=time.time, read_only=True, exclusive=False).close()
        return Ledger.open(state_dir, clock=time.time, exclusive=False)
    except LedgerError:
        return None


def _is_ours(state_dir: Path) -> bool:
    """Say whether opening the ledger leaves nothing behind that another user's daemon could not open.

    SQLite makes files beside the ledger, owned by whoever opens it; so root keeps away from the service's, and makes
    none where the service will.
    """
    if not hasattr(os, "geteuid"):  # nor are there the locks that a ledger needs
        return False
    try:
        return (state_dir / FILE_NAME).stat().st_uid == os.geteuid()
    except FileNotFoundError:
        return not state_dir.exists() and (os.geteuid() != 0 or state_dir != SERVICE_STATE)
    except OSError:  # a directory above is closed to us, for one
        return False
