"""The ledger as one object: opening, upkeep and reports on itself."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection
from types import TracebackType
from typing import Any

from daemon.ledger import schema
from daemon.ledger.analyses import AnalysisCache
from daemon.ledger.baseline import BaselineStore
from daemon.ledger.database import BUSY_TIMEOUT_S, Database
from daemon.ledger.files import FileStore
from daemon.ledger.fsck import fsck
from daemon.ledger.inputs import InputStore
from daemon.ledger.lock import StateLock
from daemon.ledger.outbox import OutboxStore
from daemon.ledger.quarantine import QuarantineStore
from daemon.ledger.records import RecordStore
from daemon.ledger.store import Clock
from daemon.ledger.work import WorkStore
from pipeline.errors import LedgerError

_PRUNE_ROWS = 2_000  # 5 MB of lines, some 40 ms
_VACUUM_PAGES = 1_000  # 4 MB, some 20 ms: upkeep must never hold the event loop for long


@dataclass(slots=True, frozen=True)
class Waiting:
    """Findings of scans that are not done, and how long the oldest of these has been known.

    Attributes:
        closed: those of them that can be worked on; the others wait for the rest of their scan.
    """

    findings: int
    closed: int
    age_s: float


class Ledger:
    """The one truth about what was read, done and delivered, in `ledger.db` of the state directory.

    For use from one thread, like the SQLite connection inside. Each call is one transaction and short; how much goes
    into one is the caller's choice.

    Attributes:
        database: the file, which all stores share.
        inputs: what sources hand over.
        files: the directory source's own table: which file an input is.
        work: closed scans, and what becomes of them.
        outbox: what waits for the sinks.
        quarantine: what could not be used.
        baseline: what the earlier scans of a host said.
        analyses: answers that need not be asked for again.
        records: finished scans.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        lock: StateLock | None = None,
        host: str | None = None,
        max_findings: int | None = None,
    ) -> None:
        """Args: `lock`: given back when the ledger is closed; the others are those of `open`."""
        self.database = database
        self.inputs = InputStore(database, clock, host, max_findings)
        self.files = FileStore(database, clock)
        self.work = WorkStore(database, clock)
        self.outbox = OutboxStore(database, clock)
        self.quarantine = QuarantineStore(database, clock)
        self.baseline = BaselineStore(database, clock)
        self.analyses = AnalysisCache(database, clock)
        self.records = RecordStore(database, clock)
        self._clock = clock
        self._lock = lock

    @classmethod
    def open(
        cls,
        state_dir: Path,
        *,
        clock: Clock,
        host: str | None = None,
        max_findings: int | None = None,
        read_only: bool = False,
        exclusive: bool = True,
        migrations: Mapping[int, Callable[[Connection], None]] = schema.MIGRATIONS,
    ) -> "Ledger":
        """Open the ledger of a state directory, creating or migrating it where need be.

        Args:
            clock: seconds since the epoch.
            host: the `--host` option: whose scan it is when the report does not say.
            max_findings: of one scan of a stream, `limits.max_findings`; None, for who takes nothing in, is no bound.
            read_only: for looking (`status`, `fsck`, `quarantine list`) beside a daemon; takes no lock.
            exclusive: own the state directory, as the daemon does. `analyze` does not: it shares the cache.

        Raises:
            LedgerLocked: when it is owned already.
            UnknownSchema: when a newer version wrote it.
            LedgerError: when it is damaged, or cannot be read or written.
        """
        lock = None
        if exclusive and not read_only:
            try:
                state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise LedgerError(f"{state_dir}: {error.strerror}; choose another --state-dir") from error
            lock = StateLock.acquire(state_dir)
        try:
            database = Database.open(state_dir, read_only=read_only, check=lock is not None, migrations=migrations)
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return cls(database, clock, lock=lock, host=host, max_findings=max_findings)

    def close(self) -> None:
        """Close the file, then give the lock back."""
        self.database.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def idle(self) -> bool:
        """Do one bounded piece of upkeep: prune, give pages back to the file system, fold the WAL into the file.

        Returns:
            True when there is more to do, so that the caller may call again before it goes to sleep.
        """
        pruned = self.outbox.prune(_PRUNE_ROWS) + self.analyses.prune(_PRUNE_ROWS) + self.quarantine.prune(_PRUNE_ROWS)
        with self.database.read() as connection:
            # The pragma frees one page a step; `execute` steps once, a script until it is done.
            connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
            # A reader beside us may hold the WAL; then the next call folds it in, so do not stand and wait.
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_S * 1000)}")
        return pruned > 0 or free > 0

    def identity(self) -> str:
        """Give what tells this ledger from every other, made up at the first call; a copy of it has the same."""
        with self.database.write() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO counters (name, value) VALUES ('identity', ?)", (secrets.randbits(63),)
            )
            (value,) = connection.execute("SELECT value FROM counters WHERE name = 'identity'").fetchone()
        return f"{value:016x}"

    def waiting(self) -> Waiting:
        """Say what waits for analysis; cheap enough for every second."""
        with self.database.read() as connection:
            findings, closed, oldest = connection.execute(
                "SELECT coalesce(sum(findings), 0), coalesce(sum(findings) FILTER (WHERE state = 'closed'), 0),"
                " min(opened_at) FROM scans WHERE state <> 'done'"
            ).fetchone()
        age_s = 0.0
        if oldest is not None:
            age_s = max(0.0, self._clock() - datetime.fromisoformat(oldest).timestamp())
        return Waiting(findings, closed, age_s)

    def status(self) -> dict[str, Any]:
        """Count everything, for people and for metrics."""
        path = self.database.path
        with self.database.read() as connection:

            def count(query: str) -> int:
                number: int = connection.execute(query).fetchone()[0]
                return number

            by_reason = dict(
                connection.execute(
                    "SELECT reason, count(*) FROM quarantine WHERE state = 'open' GROUP BY reason ORDER BY reason"
                ).fetchall()
            )
            counts: dict[str, Any] = {
                "schema_version": self.database.version(),
                "files": count("SELECT count(*) FROM files"),
                "scans_open": count("SELECT count(*) FROM scans WHERE state = 'open'"),
                "scans_waiting": count("SELECT count(*) FROM scans WHERE state = 'closed'"),
                "scans_done": count("SELECT count(*) FROM scans WHERE state = 'done'"),
                "findings_in_inbox": count("SELECT coalesce(sum(findings), 0) FROM scans WHERE state <> 'done'"),
                "batches_waiting": count("SELECT count(*) FROM batches WHERE NOT done"),
                "outbox_rows": count("SELECT count(*) FROM outbox"),
                "outbox_end": self.outbox.end(),
                "outbox_backlog": self.outbox.backlog(),
                "quarantine_open": by_reason,
                "baseline_rows": count("SELECT count(*) FROM baseline"),
                "analyses": count("SELECT count(*) FROM analyses"),
            }
        files = (path, path.with_name(path.name + "-wal"))
        counts["bytes"] = sum(file.stat().st_size for file in files if file.exists())
        return counts

    def fsck(self) -> list[str]:
        """Check the file and every invariant; returns what is wrong, one line each."""
        return fsck(self.database)
