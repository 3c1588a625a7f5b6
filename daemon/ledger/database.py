"""The SQLite file of the ledger: opening it safely, transactions, and what its errors mean."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from daemon.ledger import schema
from daemon.ledger.lock import setting_up
from pipeline.errors import LedgerError, UnknownSchema
from pipeline.review.file import READ_ONLY, is_read_only, uri_to_read
from pipeline.shortage import is_shortage

FILE_NAME = "ledger.db"
MARK_NAME = "ledger.mark"  # says that this state directory has had a ledger
RESERVE_BYTES = 16 << 20  # left to deliveries and checkpoints on a disk that fills up; an eighth of a small one
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
        self._files: dict[Path, tuple[int, int]] = {}  # what is open, to be told from what bears its name
        self._refused: int | None = None  # bytes of the last transaction, where the disk had no room for it

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
            with setting_up(state_dir):
                _refuse_lost_ledger(state_dir)
                _touch_private(path)
                database = cls._connect(path, read_only=False)
                try:
                    database._set_up(migrations, check)
                except BaseException:
                    database.close()
                    raise
                _mark(state_dir)
                database._hold()
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
        uri = uri_to_read(path) if read_only else f"{path.absolute().as_uri()}?mode=rw"
        try:
            connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        except sqlite3.Error as error:
            raise _explain(path, error) from error
        return cls(path, connection)

    def _set_up(self, migrations: Mapping[int, Callable[[sqlite3.Connection], None]], check: bool) -> None:
        with self.read() as connection:
            # auto_vacuum only takes effect before the first page is written, so it goes first. It writes even where
            # it changes nothing, and a disk without room must not keep what waits from being delivered.
            if not connection.execute("PRAGMA page_count").fetchone()[0]:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            for pragma in ("synchronous = FULL", "foreign_keys = ON", "temp_store = MEMORY", "trusted_schema = OFF"):
                connection.execute(f"PRAGMA {pragma}")
            # Where SQLite is built to overwrite what is deleted, that would take the room that deleting is to give.
            connection.execute("PRAGMA secure_delete = FAST").fetchall()
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
                version = self.version()  # another process may have been faster
                if version:
                    schema.migrate(connection, version, migrations)
                else:
                    schema.create(connection)

    def _refuse_stranger(self) -> None:
        # Asked twice: another process that makes the ledger just now gives it tables and name with one transaction.
        if (
            not self._is_ours()
            and self.connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
            and not self._is_ours()
        ):
            raise LedgerError(f"{self.path}: a database, but not a ledger; choose another --state-dir")

    def _is_ours(self) -> bool:
        return bool(self.connection.execute("PRAGMA application_id").fetchone()[0] == schema.APPLICATION_ID)

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
    def snapshot(self) -> Iterator[None]:
        """Have everything that is read within see the database as it is now, whatever a daemon writes meanwhile."""
        with self.read() as connection:
            connection.execute("BEGIN")
            try:
                yield
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def write(self, more: int = 0) -> Iterator[sqlite3.Connection]:
        """Run one durable transaction: all of it is on disk when the block has ended, or none of it.

        Args:
            more: how many bytes it will add, about; it is refused where they would take the room that it needs to
                deliver what waits, and so to make room. Others need little, and are tried on any disk.

        Raises:
            LedgerError: when the disk is full or failing; nothing was stored, and the caller may try again.
        """
        self.check_in_place()
        if more:
            self._require_room(more)
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
            if getattr(error, "sqlite_errorname", None) == "SQLITE_FULL":
                self._refused = more
            raise _explain(self.path, error) from error
        if more:
            self._refused = None

    def lacks_room(self) -> bool:
        """Say whether a transaction was refused for want of room, and would be again (nearly, to be worth a try)."""
        if self._refused is None:
            return False
        missing, reserve = self._missing(self._refused)
        return missing + reserve // 8 > 0

    def has_room(self, more: int) -> bool:
        """Say whether a transaction that adds so many bytes, about, would not be refused for want of room."""
        return self._missing(more)[0] <= 0

    def _require_room(self, more: int) -> None:
        """See that the disk will have room left to fold the log of SQLite into the file, and for small transactions.

        A log that cannot be folded in for want of room cannot be shortened either, so once the disk is full to the
        last byte nothing can ever be delivered.

        Raises:
            LedgerError: transient, when there is too little.
        """
        missing, _ = self._missing(more)
        if missing > 0:
            self._refused = more
            raise LedgerError(
                f"{self.path}: the disk is full but for what is needed to deliver what waits ({missing:,} bytes are "
                "missing); free some space, nothing that was committed is lost",
                transient=True,
            )

    def _missing(self, more: int) -> tuple[int, int]:
        """Say how many bytes of room a transaction lacks (it is negative where there is more), and what is reserved."""
        try:
            disk, size = os.statvfs(self.path.parent), self.path.stat().st_size
        except OSError:
            return -RESERVE_BYTES, RESERVE_BYTES  # the transaction itself will say what is wrong
        total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        if not total:
            return -RESERVE_BYTES, RESERVE_BYTES
        with self.read() as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
            (unused,) = connection.execute("PRAGMA freelist_count").fetchone()
        reserve = min(RESERVE_BYTES, total // 8)
        unfolded = max(0, pages * page_bytes - size)
        grown = max(0, more - unused * page_bytes)
        return reserve + unfolded + more + grown - free, reserve  # it is written to the log first, then to the file

    def check_in_place(self) -> None:
        """See that the files that are open are those that bear their names; three calls of `stat`.

        SQLite goes on without a word in a file that was removed, and what it stores there is gone with the process.

        Raises:
            LedgerError: when one was removed, or another one lies in its place.
        """
        for path, opened in self._files.items():
            found = _identity(path)
            if found != opened:
                what = "was removed" if found is None else "was replaced by another file"
                raise LedgerError(
                    f"{path}: {what} under the running program, which cannot store anything any more; put it back or "
                    f"restore a backup, or remove {MARK_NAME} too to begin anew (reports that are still there will be "
                    "read and emitted again), and start again"
                )
        for path in self._names()[len(self._files) :] if self._files else ():  # made by the first transaction
            found = _identity(path)
            if found is None:
                break
            self._files[path] = found

    def _hold(self) -> None:
        """Remember which files these are; the log of SQLite and its index come with the first transaction."""
        found = _identity(self.path)
        if found is not None:
            self._files[self.path] = found

    def _names(self) -> list[Path]:
        return [self.path, *(self.path.with_name(self.path.name + suffix) for suffix in ("-wal", "-shm"))]

    def close(self) -> None:
        self.connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """Say which file bears a name now, or None where there is none (or none that we may see)."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def damaged(path: Path, what: str) -> str:
    """Say that the file is damaged and what a person can do about it."""
    return (
        f"{path}: damaged ({what}); restore a backup, or move {FILE_NAME}* and {MARK_NAME} away to begin anew "
        "(reports that are still there will be read and emitted again)"
    )


def _explain(path: Path, error: sqlite3.Error) -> LedgerError:
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith("SQLITE_CANTOPEN"):  # SQLite does not say why
        try:
            os.close(os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as reason:
            if is_shortage(reason):
                error.__cause__ = reason
                return LedgerError(f"{path}: {reason.strerror}", transient=True)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return LedgerError(damaged(path, str(error)))
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")) and is_read_only(path):
        return LedgerError(f"{path}: {error}; {READ_ONLY}", transient=True)
    for prefix, advice in _ADVICE.items():
        if name.startswith(prefix):
            return LedgerError(f"{path}: {advice} ({error})", transient=True)
    if name.startswith("SQLITE_IOERR"):
        return LedgerError(f"{path}: the disk is failing ({error}, {name}); check it with `dmesg`", transient=True)
    return LedgerError(f"{path}: {error} ({name or type(error).__name__}); run `sysscan-agent ledger fsck`")


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
