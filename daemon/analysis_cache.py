"""Where `analyze` keeps a model's answers: in the ledger, if there is one that is its own, else in memory."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from daemon.ledger import Ledger
from daemon.ledger.database import FILE_NAME
from daemon.settings import SERVICE_STATE
from pipeline.analysis.answers import MemoryStore
from pipeline.analysis.question import AnalysisStore
from pipeline.errors import LedgerError


class SharedCache:
    """Keeps answers in the ledger until that fails (a full disk, a busy daemon), and in memory from then on."""

    def __init__(self, ledger: AnalysisStore) -> None:
        self._store = ledger

    def cached_analyses(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Give those that are known."""
        try:
            return self._store.cached_analyses(keys)
        except LedgerError:
            self._store = MemoryStore()
            return {}

    def store_analyses(self, analyses: dict[str, bytes]) -> None:
        """Keep them."""
        try:
            self._store.store_analyses(analyses)
        except LedgerError:
            self._store = MemoryStore()
            self._store.store_analyses(analyses)


@contextmanager
def analysis_cache(state_dir: Path) -> Iterator[AnalysisStore]:
    """Open the cache beside a daemon that may be running.

    A cache is a convenience: where the ledger cannot be opened, read or written, answers are kept in memory.
    """
    ledger = _open(state_dir) if _is_ours(state_dir) else None
    if ledger is None:
        yield MemoryStore()
        return
    with ledger:
        yield SharedCache(ledger.analyses)


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
    try:
        return (state_dir / FILE_NAME).stat().st_uid == os.geteuid()
    except FileNotFoundError:
        return not state_dir.exists() and (os.geteuid() != 0 or state_dir != SERVICE_STATE)
    except OSError:  # a directory above is closed to us, for one
        return False
