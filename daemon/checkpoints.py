"""The graph's checkpoints, in a database of their own; a hint, never the truth."""

import contextlib
import sqlite3
from pathlib import Path

from daemon.log import get_logger
from pipeline.errors import LedgerError
from pipeline.graph.library import JsonPlusSerializer, SqliteSaver

logger = get_logger(__name__)

_IDLE_PAGES = 1000
_CACHE_KB = 512  # a batch has some 50 kB; there may be many of these in a process
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_SCHEMA", "SQLITE_ERROR")  # the last: a table is missing


class Checkpoints:
    """The file and LangGraph's saver on it."""

    def __init__(self, path: Path) -> None:
        """Open or create.

        A damaged file is replaced: the ledger knows what is to be done, and the work since the last commit is
        done again. Where it can neither be opened nor replaced, as on a disk without room, checkpoints are kept in
        memory until the next start: what waits is to be delivered, and that makes room.
        """
        self._path = path
        try:
            try:
                self._open()
            except sqlite3.Error as error:
                if not self._is_damage(error):
                    raise
                self._replace()
        except (sqlite3.Error, OSError) as error:
            logger.warning("checkpoints.in_memory", path=str(path), error=str(error))
            with contextlib.suppress(OSError):
                self._remove()  # the room is better used by the ledger
            self._open(":memory:")

    def threads(self) -> list[str]:
        """List the threads that are kept."""
        rows = self._connection.execute("SELECT DISTINCT thread_id FROM checkpoints ORDER BY thread_id").fetchall()
        return [thread for (thread,) in rows]

    def delete(self, thread: str) -> None:
        """Forget a thread."""
        self.saver.delete_thread(thread)

    def shrink(self) -> None:
        """Give free pages back to the file system, and forget what was read of the file."""
        # The pragma frees one page a step; `execute` steps once, a script until it is done.
        self._connection.executescript(f"PRAGMA incremental_vacuum({_IDLE_PAGES})")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.execute("PRAGMA shrink_memory")

    def mend(self, error: sqlite3.Error) -> bool:
        """Replace the file if the error says that it is damaged; `saver` is a new one then.

        Raises:
            LedgerError: when it cannot be replaced.
        """
        if not self._is_damage(error):
            return False
        try:
            self.close()
            self._replace()
        except (sqlite3.Error, OSError) as failed:
            raise self.explain(failed) from failed
        return True

    def explain(self, error: sqlite3.Error | OSError) -> LedgerError:
        """Say what is wrong in one line."""
        return LedgerError(f"{self._path}: {error}; make room or check the disk", transient=True)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _open(self, place: str | None = None) -> None:
        connection = sqlite3.connect(place or self._path, check_same_thread=False)
        try:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # counts before the first table only
            connection.execute("PRAGMA journal_mode=WAL")
            # A power cut may cost the latest checkpoints, and so some work, but nothing else.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            if place is None:
                self._path.chmod(0o600)
            # Plain values only, whatever the environment says: a forged row must not be able to call anything.
            saver = SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
            saver.setup()
        except BaseException:
            connection.close()
            raise
        self._connection, self.saver = connection, saver

    def _replace(self) -> None:
        self._remove()
        logger.warning("checkpoints.replaced", path=str(self._path))
        self._open()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    @staticmethod
    def _is_damage(error: sqlite3.Error) -> bool:
        name = getattr(error, "sqlite_errorname", None)
        return name is None or name.startswith(_DAMAGE)
