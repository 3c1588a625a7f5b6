"""The SQLite file of the ledger: opening it safely, transactions, and what its errors mean."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from daemon.ledger import schema
from pipeline.errors import LedgerError, UnknownSchema

FILE_NAME = "ledger.db"
MARK_NAME = "ledger.mark"  # says that this state directory has had a ledger
BUSY_TIMEOUT_S = 10.0  # another process (analyze, status) holds the write lock for milliseconds
QUICK_CHECK_BYTES = 256 << 20  # about half a second; a larger file is left to fsck

_ADVICE = {
    "SQLITE_FULL": "the disk is full; free some space, nothing that was committed is lost",
    "SQLITE_READONLY": "not writable; check the owner and mode of the state directory",
    "SQLITE_CANTOPEN": "cannot be opened; check the owner and mode of the state directory",
    "SQLITE_PERM": "not accessible; check the owner and mode of the state directory",
    "SQLITE_BUSY": "kept busy by another process; find it with `fuser` and stop it",
    "SQLITE_LOCKED": "kept busy by another process; find it with `fuser` and stop it",
}


class Database:
    """One connection, for use from one thread: every transaction is short, so the event loop carries them itself.

    Attributes:
        connection: in autocommit mode; write only inside `write`.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection

    @classmethod
    def open(
        cls,
        state_dir: Path,
        *,
        read_only: bool,
        check: bool,
        migrations: Mapping[int, Callable[[sqlite3.Connection], None]] = schema.MIGRATIONS,
    ) -> "Database":
        """Open the ledger of a state directory; unless `read_only`, create or migrate it first.

        An empty `ledger.db` is what a crash between creating the file and filling it leaves behind, and counts as
        new, but only when the directory never had a finished ledger: after that, beginning anew in silence would
        emit everything twice.

        Args:
            check: look for damaged pages (when the file is not too large for that).

        Raises:
            UnknownSchema: when a newer version wrote it.
            LedgerError: when it is missing, damaged or not ours.
        """
        path = state_dir / FILE_NAME
        try:
            if read_only:
                return cls._open_existing(path)
            with _setting_up(state_dir):
                _refuse_lost_ledger(state_dir)
                _touch_private(path)
                database = cls._connect(path, read_only=False)
                try:
                    database._set_up(migrations, check)
                except BaseException:
                    database.close()
                    raise
                _mark(state_dir)
                return database
        except OSError as error:
            raise LedgerError(f"{error.filename or path}: {error.strerror}; check the state directory") from error

    @classmethod
    def _open_existing(cls, path: Path) -> "Database":
        if not path.exists() or not path.stat().st_size:
            raise LedgerError(f"{path}: there is no ledger here yet; start the daemon first or check --state-dir")
        database = cls._connect(path, read_only=True)
        try:
            with database.read():
                database._refuse_stranger()
                version = database.version()
            if version != schema.SCHEMA_VERSION:
                raise UnknownSchema(
                    f"{path}: schema {version}, this program reads {schema.SCHEMA_VERSION}; start the daemon once "
                    "with this version to migrate it"
                )
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def _connect(cls, path: Path, *, read_only: bool) -> "Database":
        mode = "ro" if read_only else "rw"
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        try:
            connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        except sqlite3.Error as error:
            raise _explain(path, error) from error
        return cls(path, connection)

    def _set_up(self, migrations: Mapping[int, Callable[[sqlite3.Connection], None]], check: bool) -> None:
        with self.read() as connection:
            # auto_vacuum only takes effect before the first page is written, so it goes first.
            for pragma in ("auto_vacuum = INCREMENTAL", "journal_mode = WAL"):
                connection.execute(f"PRAGMA {pragma}")
            for pragma in ("synchronous = FULL", "foreign_keys = ON", "temp_store = MEMORY", "trusted_schema = OFF"):
                connection.execute(f"PRAGMA {pragma}")
            self._refuse_stranger()
        with self.read():
            version = self.version()
        if version > schema.SCHEMA_VERSION:
            raise UnknownSchema(
                f"{self.path}: schema {version} was written by a newer version, this one knows "
                f"{schema.SCHEMA_VERSION}; install the newer version or choose another --state-dir"
            )
        if check and version and self.path.stat().st_size <= QUICK_CHECK_BYTES:
            with self.read() as connection:
                finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if finding != "ok":
                raise LedgerError(damaged(self.path, finding.splitlines()[-1]))
        if version < schema.SCHEMA_VERSION:
            with self.write() as connection:
                if version:
                    schema.migrate(connection, version, migrations)
                else:
                    schema.create(connection)

    def _refuse_stranger(self) -> None:
        ours = self.connection.execute("PRAGMA application_id").fetchone()[0] == schema.APPLICATION_ID
        if not ours and self.connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            raise LedgerError(f"{self.path}: a database, but not a ledger; choose another --state-dir")

    def version(self) -> int:
        """Give the version of the tables; 0 before they are made."""
        version: int = self.connection.execute("PRAGMA user_version").fetchone()[0]
        return version

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection, with SQLite's errors explained."""
        try:
            yield self.connection
        except sqlite3.Error as error:
            raise _explain(self.path, error) from error

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Run one durable transaction: all of it is on disk when the block has ended, or none of it.

        Raises:
            LedgerError: when the disk is full or failing; nothing was stored, and the caller may try again.
        """
        connection = self.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _explain(self.path, error) from error

    def close(self) -> None:
        self.connection.close()


def damaged(path: Path, what: str) -> str:
    """Say that the file is damaged and what a person can do about it."""
    return (
        f"{path}: damaged ({what}); restore a backup, or move {FILE_NAME}* and {MARK_NAME} away to begin anew "
        "(reports that are still there will be read and emitted again)"
    )


def _explain(path: Path, error: sqlite3.Error) -> LedgerError:
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return LedgerError(damaged(path, str(error)))
    for prefix, advice in _ADVICE.items():
        if name.startswith(prefix):
            return LedgerError(f"{path}: {advice} ({error})", transient=True)
    if name.startswith("SQLITE_IOERR"):
        return LedgerError(f"{path}: the disk is failing ({error}, {name}); check it with `dmesg`", transient=True)
    return LedgerError(f"{path}: {error} ({name or type(error).__name__}); run `sysscan-agent ledger fsck`")


@contextmanager
def _setting_up(state_dir: Path) -> Iterator[None]:
    """Let one process at a time create or migrate: `analyze` may meet a starting daemon in an empty directory."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _refuse_lost_ledger(state_dir: Path) -> None:
    path = state_dir / FILE_NAME
    size = path.stat().st_size if path.exists() else 0
    if not size and (state_dir / MARK_NAME).exists():
        raise LedgerError(
            f"{path}: {'empty' if path.exists() else 'missing'}, but this directory has had a ledger; restore a "
            f"backup, or remove {MARK_NAME} to begin anew (reports that are still there will be emitted again)"
        )


def _touch_private(path: Path) -> None:
    """Make sure of mode 0600 whatever the umask; SQLite gives its -wal and -shm files the same."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if os.fstat(descriptor).st_mode & 0o777 != 0o600:
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _mark(state_dir: Path) -> None:
    path = state_dir / MARK_NAME
    if path.exists():
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
