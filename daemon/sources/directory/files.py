"""What tells files apart, and where reading one goes on: the seam between this source and its table in the ledger."""

import json
from dataclasses import dataclass
from typing import Literal, Protocol

from daemon.ports.inputs import Input

KIND = "directory"

FileKind = Literal["document", "stream"]


@dataclass(slots=True, frozen=True)
class FileIdentity:
    """Which file it is, whatever it is called.

    Attributes:
        birth_ns: creation time from statx, or None where the file system has none.
        head_length, head_digest: a growing hash of the first bytes (at most 1024), and how many it covers.
    """

    device: int
    inode: int
    birth_ns: int | None
    head_length: int
    head_digest: str


@dataclass(slots=True, frozen=True)
class FileState:
    """What the ledger durably knows of a file.

    Attributes:
        input_id: key in the ledger.
        path: as found, with bytes that are not UTF-8 as surrogate escapes (`os.fsdecode`).
        kind: ``document`` (JSON, SARIF, anything compressed: read whole) or ``stream`` (NDJSON: read by line).
        offset: bytes consumed of a stream; size of the document last admitted.
        tail_digest: of the (at most 256) bytes before `offset`.
        digest: sha256 of the raw bytes of the document last admitted or quarantined, or None.
        anew: it is to be read from its start again.
        open: a scan of this stream waits for its end.
    """

    input_id: int
    path: str
    identity: FileIdentity
    kind: FileKind
    offset: int = 0
    tail_digest: str = ""
    digest: str | None = None
    anew: bool = False
    open: bool = False

    def as_input(self) -> Input:
        """Give what the core of the ledger knows of the file."""
        position = json.dumps([self.offset, self.tail_digest, self.digest], separators=(",", ":"))
        return Input(self.input_id, KIND, self.path, position, self.anew, self.open)


def file_state(known: Input, identity: FileIdentity, kind: FileKind) -> FileState:
    """Join what the core of the ledger and the table of this source know of a file."""
    offset, tail_digest, digest = json.loads(known.position) if known.position else (0, "", None)
    return FileState(
        known.input_id, known.name, identity, kind, offset, tail_digest, digest, known.anew, known.open
    )


class Files(Protocol):
    """The table of this source. Every call is one durable transaction; admission goes through `Inputs`.

    A file that is dropped there is gone from here, too.
    """

    def known(self) -> list[FileState]:
        """Give every file that has not been dropped, in the order in which they were added."""

    def rereads(self) -> list[FileState]:
        """Give the files that somebody asked to have read again from the start, with their position put back there."""

    def add(self, path: str, identity: FileIdentity, kind: FileKind) -> FileState: ...

    def update(self, file: FileState) -> None:
        """Record a new path (renamed), a grown head hash, or a whole new identity (continued in another file);
        consumes nothing."""
