"""The log of verdicts: `review.db` beside the ledger, append-only, written by whoever reviews.

The daemon, the commands and a page open it side by side; SQLite's WAL keeps readers and the one writer apart, and a
verdict is one transaction, so that a process may die at any moment.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType

from pipeline.errors import LedgerError, UnknownSchema
from pipeline.review.chain import Head, Row, link
from pipeline.review.standing import Standing
from pipeline.review.verdict import Draft, Verdict, decode, encode

FILE_NAME = "review.db"
APPLICATION_ID = 0x53535256  # "SSRV"
SCHEMA_VERSION = 1
_BUSY_S = 10.0
_FETCH = 500

_TABLES = """
CREATE TABLE IF NOT EXISTS verdicts (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE TRIGGER IF NOT EXISTS only_added BEFORE UPDATE ON verdicts
  BEGIN SELECT RAISE(ABORT, 'verdicts are only added'); END;
CREATE TRIGGER IF NOT EXISTS none_removed BEFORE DELETE ON verdicts
  BEGIN SELECT RAISE(ABORT, 'verdicts are only added'); END;
"""
_STATEMENTS = tuple(f"CREATE {part.rstrip()}" for part in _TABLES.split("\nCREATE ") if part.strip())


class LogMoved(LedgerError):
    """Raised when somebody has appended since the log was read; nothing was stored."""


class VerdictLog:
    """The log, for use from one thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> "VerdictLog":
        """Open the log, and unless `read_only` create it where there is none.

        Raises:
            LedgerError: when it is missing, not ours, or cannot be read.
            UnknownSchema: when a newer version wrote it.
        """
        if read_only and not path.exists():
            raise LedgerError(f"{path}: there are no verdicts yet")
        try:
            if not read_only:
                _touch(path)
            mode = "ro" if read_only else "rw"
            uri = f"{path.absolute().as_uri()}?mode={mode}"
            connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
        except OSError as error:
            raise LedgerError(f"{path}: {error.strerror}; check owner and mode") from error
        except sqlite3.Error as error:
            raise _explain(path, error) from error
        log = cls(path, connection)
        try:
            with log._explained():
                log._set_up(read_only)
        except BaseException:
            connection.close()
            raise
        return log

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> "VerdictLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, drafts: Sequence[Draft], *, at: str, author: str, behind: Head | None = None) -> list[Verdict]:
        """Add verdicts behind the last one, all of them or none, durably; returns them with their numbers.

        Args:
            behind: where the log has to end, for who decides by what it says; None is wherever it ends.

        Raises:
            LogMoved: when it does not end there any more.
            LedgerError: when nothing could be stored, or an undo names a verdict that is not there.
        """
        given: list[Verdict] = []
        with self._explained(), self._transaction():
            head = self.head()
            if behind is not None and head != behind:
                raise LogMoved(f"{self.path}: verdict {head.seq} was given meanwhile")
            for draft in drafts:
                if draft.undoes is not None and not 0 < draft.undoes <= head.seq:
                    raise LedgerError(f"{self.path}: there is no verdict {draft.undoes} to undo")
                values = {one.name: getattr(draft, one.name) for one in fields(Draft)}
                verdict = Verdict(**values, seq=head.seq + 1, at=at, author=author)
                body = encode(verdict)
                head = Head(verdict.seq, link(head.hash, verdict.seq, body))
                self._connection.execute(
                    "INSERT INTO verdicts (seq, body, hash) VALUES (?, ?, ?)", (head.seq, body, head.hash)
                )
                given.append(verdict)
        return given

    def head(self) -> Head:
        """Say how far it goes."""
        with self._explained():
            row = self._connection.execute("SELECT seq, hash FROM verdicts ORDER BY seq DESC LIMIT 1").fetchone()
        return Head() if row is None else Head(*row)

    def changes(self) -> int:
        """Give a number that is another one once somebody else has written; nearly free."""
        with self._explained():
            number: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return number

    def rows(self, after: int = 0, upto: int | None = None) -> Iterator[Row]:
        """Give rows as they are stored, unchecked, in order: those after one number up to another."""
        with self._explained():
            cursor = self._connection.execute(
                "SELECT seq, body, hash FROM verdicts WHERE seq > ?1 AND (?2 IS NULL OR seq <= ?2) ORDER BY seq",
                (after, upto),
            )
            while rows := cursor.fetchmany(_FETCH):
                yield from (Row(*row) for row in rows)

    def verdicts(self, after: Head | None = None, upto: int | None = None) -> Iterator[tuple[Verdict, Head]]:
        """Give verdicts in order, each with where the log is behind it; each link of the chain is checked.

        Args:
            after: where to go on; what stands there must be the same.

        Raises:
            LedgerError: when a row is not the one that was written; `audit verify` says which.
        """
        head = after or Head()
        for row in self.rows(head.seq, upto):
            if row.seq != head.seq + 1 or link(head.hash, row.seq, row.body) != row.hash:
                raise LedgerError(
                    f"{self.path}: damaged or tampered with at row {head.seq + 1}; see `sysscan-agent audit verify`"
                )
            head = Head(row.seq, row.hash)
            yield decode(row.body), head

    def standing(self, upto: int | None = None) -> Standing:
        """Give what counts of all verdicts, or of the first ones.

        Raises:
            LedgerError: as `verdicts`.
        """
        given = list(self.verdicts(upto=upto))
        return Standing([verdict for verdict, _ in given], given[-1][1] if given else Head())

    def _set_up(self, read_only: bool) -> None:
        connection = self._connection
        ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        if not ours and connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            raise LedgerError(f"{self.path}: a database, but not a log of verdicts")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise UnknownSchema(f"{self.path}: schema {version} was written by a newer version")
        connection.execute("PRAGMA trusted_schema = OFF")
        if read_only:
            if not version:  # a crash between creating the file and filling it
                raise LedgerError(f"{self.path}: there are no verdicts yet")
            return
        connection.execute("PRAGMA synchronous = FULL")
        if version == SCHEMA_VERSION:
            return
        self._to_wal()
        with self._transaction():
            for statement in _STATEMENTS:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _to_wal(self) -> None:
        """Switch the new file over; while another process does the same, SQLite does not wait by itself."""
        deadline = time.monotonic() + _BUSY_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _explain(self.path, error) from error


def read_standing(path: Path) -> Standing:
    """Read what counts of a log file, or of the one in a directory.

    Raises:
        LedgerError: when there is none, it cannot be read, or was tampered with.
    """
    with VerdictLog.open(path / FILE_NAME if path.is_dir() else path, read_only=True) as log:
        return log.standing()


def _touch(path: Path) -> None:
    """Make the file with mode 0600, for the owner of its directory: root must not take it from the service."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        status = os.fstat(descriptor)
        if status.st_mode & 0o777 != 0o600:
            os.fchmod(descriptor, 0o600)
        owner = path.parent.stat()
        if os.geteuid() == 0 and not status.st_size and status.st_uid != owner.st_uid:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)


def _explain(path: Path, error: sqlite3.Error) -> LedgerError:
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return LedgerError(f"{path}: damaged ({error}); restore a backup")
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_LOCKED")):
        return LedgerError(f"{path}: {error}; nothing was stored, try again", transient=True)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return LedgerError(f"{path}: {error}; check owner and mode", transient=True)
    return LedgerError(f"{path}: {error}")
