"""The log of verdicts: `review.db` beside the ledger, append-only, written by whoever reviews.

The daemon, the commands and a page open it side by side; SQLite's WAL keeps readers and the one writer apart, and a
verdict is one transaction, so that a process may die at any moment.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType

from pipeline.errors import LedgerError, UnknownSchema
from pipeline.review.chain import Anchor, Head, Row, link
from pipeline.review.file import READ_ONLY, identity, is_read_only, touch, uri_to_read
from pipeline.review.standing import Standing
from pipeline.review.verdict import Draft, Verdict, decode, encode

FILE_NAME = "review.db"
APPLICATION_ID = 0x53535256  # "SSRV"
SCHEMA_VERSION = 1
_BUSY_S = 10.0
_FETCH = 500
MISSING = "is missing, and the ledger has seen verdicts"
_NOT_BEGUN = "there are no verdicts yet; check the path, or give one with `sysscan-agent review`"
RESTORE = (
    "Restore the newer copy of this log; `sysscan-agent audit verify` names what is missing, `audit give-up` goes on "
    "without it"
)

_TABLES = """
CREATE TABLE IF NOT EXISTS verdicts (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE TRIGGER IF NOT EXISTS only_added BEFORE UPDATE ON verdicts
  BEGIN SELECT RAISE(ABORT, 'verdicts are only added'); END;
CREATE TRIGGER IF NOT EXISTS none_removed BEFORE DELETE ON verdicts
  BEGIN SELECT RAISE(ABORT, 'verdicts are only added'); END;
"""
_STATEMENTS = tuple(f"CREATE {part.rstrip()}" for part in _TABLES.split("\nCREATE ") if part.strip())


class NotBegun(LedgerError):
    """Raised when there is no log yet, or one that somebody is making just now."""


class LogMoved(LedgerError):
    """Raised when somebody has appended since the log was read; nothing was stored."""


class VerdictLog:
    """The log, for use from one thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection, seen: Callable[[], Sequence[Anchor]]) -> None:
        self.path = path
        self._connection = connection
        self._seen = seen
        self._file = identity(path)

    @classmethod
    def open(
        cls, path: Path, *, read_only: bool = False, seen: Callable[[], Sequence[Anchor]] = lambda: ()
    ) -> "VerdictLog":
        """Open the log, and unless `read_only` create it where there is none.

        Args:
            seen: gives what others have seen of the log, which must be there for a verdict to be added.

        Raises:
            LedgerError: when it is missing, not ours, or cannot be read.
            UnknownSchema: when a newer version wrote it.
        """
        if read_only and not path.exists():
            raise NotBegun(f"{path}: {_NOT_BEGUN}")
        if not read_only and not is_there(path) and seen():
            raise LedgerError(f"{path}: {MISSING}; nothing was stored. {RESTORE}")
        try:
            if not read_only:
                touch(path)
            uri = uri_to_read(path) if read_only else f"{path.absolute().as_uri()}?mode=rw"
            connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
        except OSError as error:
            raise LedgerError(f"{path}: {error.strerror}; check owner and mode") from error
        except sqlite3.Error as error:
            raise _explain(path, error) from error
        log = cls(path, connection, seen)
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

    def stop(self) -> None:
        """Give up what is being added, where that takes long and is not sent yet; from a signal handler.

        Here nothing takes long.
        """

    def append(self, drafts: Sequence[Draft], *, at: str, author: str, behind: Head | None = None) -> list[Verdict]:
        """Add verdicts behind the last one, all of them or none, durably; returns them with their numbers.

        Args:
            behind: where the log has to end, for who decides by what it says; None is wherever it ends.

        Raises:
            LogMoved: when it does not end there any more.
            LedgerError: when nothing could be stored, an undo names a verdict that is not there, or the log is not
                what was seen of it: what is added then would take no effect, and be lost with the wrong file.
        """
        with self._explained(), self._transaction():
            self._refuse_replaced()
            lacking = self.lacking(self._seen())
            if lacking is not None:
                raise LedgerError(f"{self.path}: {lacking}; nothing was stored. {RESTORE}")
            head = self.head()
            if behind is not None and head != behind:
                raise LogMoved(f"{self.path}: verdict {head.seq} was given meanwhile")
            try:
                given = chained(head, drafts, at=at, author=author)
            except LedgerError as error:
                raise LedgerError(f"{self.path}: {error}") from error
            self._add([row for _, row in given])
        return [verdict for verdict, _ in given]

    def copy(self, rows: Sequence[Row]) -> int:
        """Add rows of another copy of this log behind the last one, all of them or none; returns how many were new.

        Rows that are here already are passed over.

        Raises:
            LedgerError: when nothing could be stored, when a row is another one than the one here, or does not follow.
        """
        with self._explained(), self._transaction():
            self._refuse_replaced()
            head = self.head()
            known = {row.seq: row.hash for row in self.rows(rows[0].seq - 1, rows[-1].seq)} if rows else {}
            new: list[Row] = []
            for row in rows:
                if known.get(row.seq, row.hash) != row.hash:
                    raise LedgerError(f"{self.path}: holds another verdict {row.seq} than the one that it is to copy")
                if row.seq in known:
                    continue
                if row.seq != head.seq + 1 or link(head.hash, row.seq, row.body) != row.hash:
                    raise LedgerError(f"{self.path}: verdict {row.seq} does not follow verdict {head.seq}")
                head = Head(row.seq, row.hash)
                new.append(row)
            self._add(new)
        return len(new)

    def reopen_if_replaced(self) -> None:
        """Go on with the file that bears the name now, where that is another one.

        Raises:
            LedgerError: when it cannot be used.
        """
        if identity(self.path) != self._file:
            other = VerdictLog.open(self.path)
            self._connection.close()
            self._connection, self._file = other._connection, other._file

    def _refuse_replaced(self) -> None:
        if identity(self.path) != self._file:
            raise LedgerError(f"{self.path}: was removed or replaced meanwhile; nothing was stored, start again")

    def _add(self, rows: Sequence[Row]) -> None:
        self._connection.executemany(
            "INSERT INTO verdicts (seq, body, hash) VALUES (?, ?, ?)", [(row.seq, row.body, row.hash) for row in rows]
        )

    def head(self) -> Head:
        """Say how far it goes."""
        with self._explained():
            row = self._connection.execute("SELECT seq, hash FROM verdicts ORDER BY seq DESC LIMIT 1").fetchone()
        return Head() if row is None else Head(*row)

    def lacking(self, seen: Sequence[Anchor]) -> str | None:
        """Say in words what the log lacks of what others have seen of it; None where it has all of it."""
        head = self.head()
        for anchor in sorted(seen, key=lambda one: -one.head.seq):
            if anchor.head.seq > head.seq:
                return f"ends at verdict {head.seq}, and {anchor.where} has seen {anchor.head.seq}"
            with self._explained():
                row = self._connection.execute("SELECT hash FROM verdicts WHERE seq = ?", (anchor.head.seq,)).fetchone()
            if row is None or row[0] != anchor.head.hash:
                return f"verdict {anchor.head.seq} is not the one that {anchor.where} has seen"
        return None

    def strange(self) -> Iterator[str]:
        """Name all in the file that this program did not put there, and what it put there and is gone, a line each.

        Such as the triggers that keep rows from being changed, and rows with numbers that are never read.
        """
        with self._explained():
            found = _objects(self._connection)
            below = self._connection.execute("SELECT seq FROM verdicts WHERE seq < 1 ORDER BY seq").fetchall()
        expected = _expected()
        for name in sorted(expected.keys() | found.keys()):
            if name not in found:
                yield f"{name}: missing, which this program made with the log"
            elif name not in expected:
                yield f"{name}: not made by this program"
            elif found[name] != expected[name]:
                yield f"{name}: not as this program made it"
        for (seq,) in below:
            yield f"row {seq}: not written by this program, whose numbers begin at 1; it is never read"

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
        # Asked twice: another process that makes the log just now gives it tables and name with one transaction.
        if (
            not self._is_ours()
            and connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
            and not self._is_ours()
        ):
            raise LedgerError(f"{self.path}: a database, but not a log of verdicts")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise UnknownSchema(f"{self.path}: schema {version} was written by a newer version")
        connection.execute("PRAGMA trusted_schema = OFF")
        if read_only:
            if not version:  # a crash between creating the file and filling it
                raise NotBegun(f"{self.path}: {_NOT_BEGUN}")
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

    def _is_ours(self) -> bool:
        return bool(self._connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID)

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


def chained(head: Head, drafts: Sequence[Draft], *, at: str, author: str) -> list[tuple[Verdict, Row]]:
    """Give drafts as the verdicts that follow `head`, each with its row.

    Raises:
        LedgerError: when an undo names a verdict that is not there.
    """
    given: list[tuple[Verdict, Row]] = []
    for draft in drafts:
        if draft.undoes is not None and not 0 < draft.undoes <= head.seq:
            raise LedgerError(f"there is no verdict {draft.undoes} to undo")
        values = {one.name: getattr(draft, one.name) for one in fields(Draft)}
        verdict = Verdict(**values, seq=head.seq + 1, at=at, author=author)
        body = encode(verdict)
        head = Head(verdict.seq, link(head.hash, verdict.seq, body))
        given.append((verdict, Row(head.seq, body, head.hash)))
    return given


def is_there(path: Path) -> bool:
    """Say whether somebody has begun a log."""
    return path.exists() and path.stat().st_size > 0


def read_standing(path: Path) -> Standing:
    """Read what counts of a log file, or of the one in a directory.

    Raises:
        LedgerError: when there is none, it cannot be read, or was tampered with.
    """
    with VerdictLog.open(path / FILE_NAME if path.is_dir() else path, read_only=True) as log:
        return log.standing()


def head_at(path: Path, seq: int) -> Head:
    """Say how far the log in a file went when it had so many verdicts; the beginning where it never had."""
    if not path.exists():
        return Head()
    with VerdictLog.open(path, read_only=True) as log:
        return next((Head(row.seq, row.hash) for row in log.rows(seq - 1, seq)), Head())


def _objects(connection: sqlite3.Connection) -> dict[str, str]:
    """Give the tables, triggers and the like with the statements that made them; `sqlite_` begins SQLite's own."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    return {f"{kind} {name}": sql or "" for kind, name, sql in rows}


def _expected() -> dict[str, str]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for statement in _STATEMENTS:
            connection.execute(statement)
        return _objects(connection)


def _explain(path: Path, error: sqlite3.Error) -> LedgerError:
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return LedgerError(f"{path}: damaged ({error}); restore a backup")
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_LOCKED")):
        return LedgerError(f"{path}: {error}; nothing was stored, try again", transient=True)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        if is_read_only(path):
            return LedgerError(f"{path}: {error}; {READ_ONLY}", transient=True)
        return LedgerError(f"{path}: {error}; check owner and mode", transient=True)
    return LedgerError(f"{path}: {error}")
