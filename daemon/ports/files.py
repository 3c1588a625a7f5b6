"""The table of the directory source: which file an input is, whatever it is called."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from daemon.ports.inputs import Input

KIND = "directory"

FileKind = Literal["document", "stream"]


@dataclass(slots=True, frozen=True)
class FileIdentity:
    """What the file system tells files apart by.

    None of it says what is in the file: what vouches for its content stands in the position of the input, which the
    ledger stores together with what was read.

    Attributes:
        birth_ns: creation time from statx, or None where the file system has none.
    """

    device: int
    inode: int
    birth_ns: int | None = None


@dataclass(slots=True, frozen=True)
class KnownFile:
    """A file that the ledger knows.

    Attributes:
        source: the input that it is; its name is the path as found, with bytes that are not UTF-8 as surrogate escapes
            (`os.fsdecode`).
        kind: ``document`` (JSON, SARIF, anything compressed: read whole) or ``stream`` (NDJSON: read by line).
    """

    source: Input
    identity: FileIdentity
    kind: FileKind


class Files(Protocol):
    """Files by identity. Every call is one durable transaction; what is read of them goes through `Inputs`.

    A file whose input is dropped there is gone from here, too.
    """

    def known(self) -> list[KnownFile]:
        """Give every file that has not been dropped, in the order in which they were added.

        One that somebody asked to have read again shows `anew` and an empty position; see `Inputs.known`.
        """

    def rereads(self) -> list[KnownFile]:
        """Give those that are to be read from their start again."""

    def add(self, path: str, identity: FileIdentity, kind: FileKind, after: Sequence[int] = ()) -> KnownFile:
        """Make a file known, nothing of which was read.

        `after` are the inputs that it comes after, whatever their names are now: those were moved out of its way.
        """

    def follow(self, input_id: int, after: Sequence[int]) -> None:
        """Note for a file of which nothing was read yet which inputs it comes after; see `add`."""

    def move(self, input_id: int, path: str, identity: FileIdentity) -> None:
        """Record that an input has another path (renamed), or goes on in another file; consumes nothing.

        Raises:
            LedgerError: when it is not known, or nothing can be stored just now.
        """
