"""What the ledger durably knows of a file, and how that is written into the position of its input."""

import json
from dataclasses import dataclass, replace
from typing import Any

from daemon.ports.files import KIND, FileIdentity, FileKind, KnownFile
from daemon.ports.inputs import Input
from daemon.sources.directory.proof import Proof
from pipeline.errors import LedgerError

NOTHING = Proof()

Signature = tuple[int, int, int]  # size, mtime_ns, ctime_ns: compared for equality only, never for order


@dataclass(slots=True, frozen=True)
class Samples:
    """What version 0.1 kept of the bytes that it had consumed: digests of the first, and of the 256 before the end.

    They are believed once, of the very same file, and replaced by a proof that covers everything.
    """

    offset: int
    head_length: int
    head_digest: str
    tail_digest: str

    @property
    def is_whole(self) -> bool:
        """Say whether they cover as much of the beginning as they ever do."""
        return self.head_length >= min(self.offset, 1024)


@dataclass(slots=True, frozen=True)
class FileState:
    """What the ledger knows of a file.

    Attributes:
        proof: what was consumed of a stream, up to where.
        digest: sha256 of the raw bytes of the document last admitted or quarantined; of a stream that of an unfinished
            last line which was reported, or of the compressed bytes all of which were dealt with; or None.
        seen: size and times of the file at which the proof was last known to hold. As long as the file has these, it
            need not be read again.
        samples: stand in for the proof in a ledger of version 0.1.
        anew: it is to be read from its start again.
        open: a scan of this stream waits for its end.
    """

    input_id: int
    path: str
    identity: FileIdentity
    kind: FileKind
    proof: Proof = NOTHING
    digest: str | None = None
    seen: Signature | None = None
    samples: Samples | None = None
    anew: bool = False
    open: bool = False

    @property
    def offset(self) -> int:
        """How many bytes of a stream were consumed."""
        return self.proof.offset if self.samples is None else self.samples.offset

    def consumed(self, proof: Proof, seen: Signature | None, digest: str | None = None) -> "FileState":
        """Give the state behind what a proof vouches for."""
        return replace(self, proof=proof, samples=None, seen=seen, digest=digest)

    def as_input(self) -> Input:
        """Give what the core of the ledger knows of the file."""
        said: dict[str, Any] = {"digest": self.digest, "seen": self.seen}
        if self.samples is not None:
            samples = self.samples
            said["samples"] = [samples.offset, samples.head_length, samples.head_digest, samples.tail_digest]
        elif self.proof.offset:
            proof = self.proof
            said["proof"] = [proof.offset, proof.chain, proof.nuls, proof.digest, proof.head]
        text = json.dumps({name: value for name, value in said.items() if value is not None}, separators=(",", ":"))
        return Input(self.input_id, KIND, self.path, text, self.anew, self.open)


def file_state(known: KnownFile) -> FileState:
    """Read what the ledger knows of a file.

    Raises:
        LedgerError: when the position is not one that this source has written.
    """
    source = known.source
    try:
        said = json.loads(source.position or "{}")
        proof = Proof(*said["proof"]) if "proof" in said else NOTHING
        samples = Samples(*said["samples"]) if "samples" in said else None
        seen = tuple(said["seen"]) if said.get("seen") is not None else None
        digest = said.get("digest")
    except (ValueError, TypeError, KeyError) as error:
        raise LedgerError(
            f"{source.name}: its position in the ledger is damaged ({error}); run `sysscan-agent ledger fsck`"
        ) from error
    return FileState(
        source.input_id,
        source.name,
        known.identity,
        known.kind,
        proof,
        digest,
        seen,
        samples,
        source.anew,
        source.open,
    )
