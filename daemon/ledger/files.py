"""The table of the directory source: which file an input is."""

import os
from collections.abc import Sequence

from daemon.ledger.inputs import COLUMNS, add_input, input_of
from daemon.ledger.places import Place
from daemon.ledger.store import Store
from daemon.ports.files import KIND, FileIdentity, FileKind, KnownFile
from pipeline.errors import LedgerError

_SIGN = 1 << 63  # SQLite's integers are signed, device and inode numbers are not


class FileStore(Store):
    """Implements `daemon.ports.files.Files`."""

    def known(self) -> list[KnownFile]:
        """Give every file that has not been dropped, in the order in which they were added."""
        return self._files("1")

    def rereads(self) -> list[KnownFile]:
        """Give the files that a person wants read again; the source asks at each full sweep."""
        return self._files("i.reread AND i.open_scan IS NULL")

    def add(self, path: str, identity: FileIdentity, kind: FileKind, after: Sequence[int] = ()) -> KnownFile:
        """Make a file known, nothing of which was read; `after` are the inputs that it comes after."""
        with self._database.write() as connection:
            source = add_input(connection, KIND, path)
            Place(connection, KIND, path).follow(source.input_id, after)
            connection.execute(
                "INSERT INTO files (input_id, device, inode, birth_ns, kind) VALUES (?, ?, ?, ?, ?)",
                (source.input_id, *_numbers(identity), kind),
            )
        return KnownFile(source, identity, kind)

    def follow(self, input_id: int, after: Sequence[int]) -> None:
        """Note for a file of which nothing was read yet which inputs it comes after."""
        with self._database.write() as connection:
            row = connection.execute("SELECT name FROM inputs WHERE input_id = ?", (input_id,)).fetchone()
            if row is not None:
                Place(connection, KIND, os.fsdecode(row[0])).follow(input_id, after)

    def move(self, input_id: int, path: str, identity: FileIdentity) -> None:
        """Record a new path, or that the input goes on in another file."""
        with self._database.write() as connection:
            row = connection.execute("SELECT name FROM inputs WHERE input_id = ?", (input_id,)).fetchone()
            if row is not None:
                Place(connection, KIND, os.fsdecode(row[0])).hand_on(input_id, path)
            found = connection.execute(
                "UPDATE files SET device = ?, inode = ?, birth_ns = ? WHERE input_id = ?",
                (*_numbers(identity), input_id),
            ).rowcount
            if not found:
                raise LedgerError(f"{path}: file {input_id} is not in the ledger")
            connection.execute("UPDATE inputs SET name = ? WHERE input_id = ?", (os.fsencode(path), input_id))

    def _files(self, condition: str) -> list[KnownFile]:
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {COLUMNS}, f.device, f.inode, f.birth_ns, f.kind FROM inputs i"  # noqa: S608
                f" JOIN files f ON f.input_id = i.input_id WHERE {condition} ORDER BY i.input_id"
            ).fetchall()
        return [
            KnownFile(input_of(row[:-4]), FileIdentity(row[-4] % (2 * _SIGN), row[-3] % (2 * _SIGN), row[-2]), row[-1])
            for row in rows
        ]


def _numbers(identity: FileIdentity) -> tuple[int, int, int | None]:
    return _signed(identity.device), _signed(identity.inode), identity.birth_ns


def _signed(number: int) -> int:
    return (number + _SIGN) % (2 * _SIGN) - _SIGN
