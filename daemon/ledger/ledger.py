"""The ledger as one object: opening, upkeep and reports on itself."""

import contextlib
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
from daemon.ledger.aside import AsideStore
from daemon.ledger.baseline import BaselineStore
from daemon.ledger.database import BUSY_TIMEOUT_S, Database
from daemon.ledger.files import FileStore
from daemon.ledger.fsck import fsck
from daemon.ledger.inputs import InputStore
from daemon.ledger.lock import StateLock
from daemon.ledger.outbox import OutboxStore
from daemon.ledger.parts import PartStore
from daemon.ledger.quarantine import QuarantineStore
from daemon.ledger.records import RecordStore
from daemon.ledger.reviews import ReviewStore
from daemon.ledger.staging import Begun
from daemon.ledger.store import Clock
from daemon.ledger.work import WorkStore
from pipeline.errors import LedgerError

_PRUNE_ROWS = 2_000  # 5 MB of lines, some 40 ms
_WORDS_ROWS = 500  # 2 MB of lines, some 50 ms
_FEW_ROWS = 100  # where there is hardly room to write down that they are gone
_FEW_PAGES = 100
_ROUNDS = 20
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
        parts: reports that come in several messages.
        files: the directory source's own table: which file an input is.
        work: closed scans, and what becomes of them.
        outbox: what waits for the sinks.
        quarantine: what could not be used.
        aside: scans that are not worked on until a person says so.
        baseline: what the earlier scans of a host said.
        analyses: answers that need not be asked for again.
        records: finished scans.
        reviews: findings that are kept to be reviewed, and what was told of verdicts.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        lock: StateLock | None = None,
        host: str | None = None,
        max_findings: int | None = None,
        max_scan_bytes: int | None = None,
        max_part_bytes: int | None = None,
    ) -> None:
        """Args: `lock`: given back when the ledger is closed; the others are those of `open`."""
        self.database = database
        begun: Begun = set()
        self.inputs = InputStore(database, clock, host, max_findings, max_scan_bytes, begun)
        self.parts = PartStore(database, clock, max_part_bytes)
        self.files = FileStore(database, clock)
        self.work = WorkStore(database, clock, begun)
        self.outbox = OutboxStore(database, clock)
        self.quarantine = QuarantineStore(database, clock)
        self.aside = AsideStore(database, clock)
        self.baseline = BaselineStore(database, clock)
        self.analyses = AnalysisCache(database, clock)
        self.records = RecordStore(database, clock)
        self.reviews = ReviewStore(database, clock)
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
        max_scan_bytes: int | None = None,
        max_part_bytes: int | None = None,
        read_only: bool = False,
        exclusive: bool = True,
        migrations: Mapping[int, Callable[[Connection], None]] = schema.MIGRATIONS,
    ) -> "Ledger":
        """Open the ledger of a state directory, creating or migrating it where need be.

        Args:
            clock: seconds since the epoch.
            host: the `--host` option: whose scan it is when the report does not say.
            max_findings, max_scan_bytes: of one scan of a stream, as in `limits`; None, for who takes nothing in, is
                no bound.
            max_part_bytes: of a report that comes in several messages; None is the default of `limits.max_bytes`.
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
        return cls(
            database,
            clock,
            lock=lock,
            host=host,
            max_findings=max_findings,
            max_scan_bytes=max_scan_bytes,
            max_part_bytes=max_part_bytes,
        )

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

    def check_in_place(self) -> None:
        """See that nobody took the file away under us; cheap enough for every second.

        Raises:
            LedgerError: when somebody did; nothing that would be stored would stay.
        """
        self.database.check_in_place()

    def idle(self) -> bool:
        """Do one bounded piece of upkeep: prune, make findings quick to search, give pages back to the file system,
        fold the WAL into the file, and in the end forget what was read of it: there may be many ledgers in a process,
        and few of them at work.

        Returns:
            True when there is more to do, so that the caller may call again before it goes to sleep.
        """
        stores = (self.outbox, self.analyses, self.quarantine, self.reviews)
        pruned = sum(store.prune(_PRUNE_ROWS) for store in stores)
        taken = self.reviews.take_words(_WORDS_ROWS)
        more = self._give_back() > 0 or pruned > 0 or taken > 0
        if not more:
            with self.database.read() as connection:
                connection.execute("PRAGMA shrink_memory")
        return more

    def make_room(self) -> int:
        """Give back to a full disk what is no longer needed, as far as it lets us, and then what is kept for reviews.

        The WAL goes first: it is folded into room that no other transaction may take. To delete rows needs some of
        what that gives, and so does shrinking the file. Where a transaction was refused and that is not enough for
        it, the oldest findings that are kept for reviews go, for to deliver comes before to keep.

        Returns:
            How many findings are not kept any more.
        """
        dropped = 0
        with contextlib.suppress(LedgerError):
            self._fold()
            self.outbox.prune(_FEW_ROWS)
            self._fold()
            self._shrink()
            while self.database.lacks_room() and (gone := self.reviews.drop_oldest(_FEW_ROWS)):
                dropped += gone
                self._fold()
                self._shrink()
        return dropped

    def _shrink(self) -> None:
        for _ in range(_ROUNDS):
            if not self._give_back(_FEW_PAGES):
                break

    def _give_back(self, pages: int = _VACUUM_PAGES) -> int:
        """Shrink the file by some free pages, and fold the WAL into it; returns how many are still free."""
        with self.database.read() as connection:
            # The pragma frees one page a step; `execute` steps once, a script until it is done.
            connection.executescript(f"PRAGMA incremental_vacuum({pages})")
            free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
        self._fold()
        return free

    def _fold(self) -> None:
        """Fold the WAL into the file; a reader beside us may hold it, then the next call does."""
        with self.database.read() as connection:
            connection.execute("PRAGMA busy_timeout = 0")  # so do not stand and wait
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_S * 1000)}")

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
                " min(opened_at) FROM scans WHERE state <> 'done' AND aside IS NULL"
            ).fetchone()
        age_s = 0.0
        with contextlib.suppress(TypeError, ValueError):  # none waits, or its time is damaged, as fsck says
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
                "scans_open": count(
                    "SELECT count(*) FROM scans WHERE state = 'open' AND scan NOT IN (SELECT scan FROM staging)"
                ),
                "scans_waiting": count("SELECT count(*) FROM scans WHERE state = 'closed' AND aside IS NULL"),
                "scans_set_aside": self.aside.count(),
                "scans_done": count("SELECT count(*) FROM scans WHERE state = 'done'"),
                "findings_in_inbox": count("SELECT coalesce(sum(findings), 0) FROM scans WHERE state <> 'done'"),
                "batches_waiting": count("SELECT count(*) FROM batches WHERE NOT done"),
                "outbox_rows": count("SELECT count(*) FROM outbox"),
                "outbox_end": self.outbox.end(),
                "outbox_marks": self.outbox.sinks(),
                "outbox_backlog": self.outbox.backlog(),
                "quarantine_open": by_reason,
                "baseline_rows": count("SELECT count(*) FROM baseline"),
                "analyses": count("SELECT count(*) FROM analyses"),
                "findings_for_review": count("SELECT count(*) FROM retained"),
                "verdicts_told": count("SELECT seq FROM told"),
            }
        files = (path, path.with_name(path.name + "-wal"))
        counts["bytes"] = sum(file.stat().st_size for file in files if file.exists())
        return counts

    def fsck(self) -> list[str]:
        """Check the file and every invariant; returns what is wrong, one line each."""
        return fsck(self.database)
