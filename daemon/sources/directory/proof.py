"""What vouches for the bytes that were consumed: a digest of all of them, which can grow with the file.

A sample of the bytes can prove that a file holds other content, never that it holds the same. So all of it is hashed,
in blocks: each block is hashed together with the hash of what came before it, so that reading on needs the last block
only. Blocks of NUL bytes are counted, not hashed, and found without being read: a writer that does not append leaves a
hole of any size where its file was truncated.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from hashlib import sha256

from daemon.sources.directory.content import Content

BLOCK_BYTES = 1 << 16
HEAD_BYTES = 1024
_READ_BYTES = 1 << 20
_STEP_BYTES = 8 << 20  # some 10 ms of hashing between two turns of the loop
_NULS = bytes(BLOCK_BYTES)
_START = sha256(b"").hexdigest()


@dataclass(slots=True, frozen=True)
class Proof:
    """Of the first `offset` bytes of a file.

    Attributes:
        chain: hash of the whole blocks of them, in hex, up to the last one that is not NUL.
        nuls: how many whole blocks of NUL bytes follow those.
        digest: of everything.
        head: digest of the first bytes, at most `HEAD_BYTES`: finds out quickly that a file is certainly another one.
    """

    offset: int = 0
    chain: str = _START
    nuls: int = 0
    digest: str = ""
    head: str = ""


class Prover:
    """Follows bytes as they are consumed.

    Attributes:
        offset: how many they are.
    """

    def __init__(self) -> None:
        self.offset = 0
        self._chain = _START
        self._nuls = 0
        self._rest = b""
        self._head = b""

    @classmethod
    def resume(cls, proof: Proof, content: Content) -> "Prover | None":
        """Go on behind a proof, reading the last block again; None where that is not what it was."""
        prover = cls()
        rest = proof.offset % BLOCK_BYTES
        prover.offset, prover._chain, prover._nuls = proof.offset, proof.chain, proof.nuls
        prover._rest = content.read(rest, proof.offset - rest)
        prover._head = content.read(min(HEAD_BYTES, proof.offset), 0)
        return prover if proof.offset == 0 or prover.proof() == proof else None

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        if len(self._head) < HEAD_BYTES:
            self._head += data[: HEAD_BYTES - len(self._head)]
        self.offset += len(data)
        data = self._rest + data
        whole = len(data) - len(data) % BLOCK_BYTES
        for start in range(0, whole, BLOCK_BYTES):
            block = data[start : start + BLOCK_BYTES]
            if block == _NULS:
                self._nuls += 1
            else:
                self._chain = sha256(f"{self._chain}{self._nuls}:".encode() + block).hexdigest()
                self._nuls = 0
        self._rest = data[whole:]

    def read(self, content: Content, end: int) -> Iterator[None]:
        """Take the bytes up to `end` from a content; stops where that ends. Yields now and then."""
        yield_at = self.offset + _STEP_BYTES
        while self.offset < end:
            if self.offset % BLOCK_BYTES == 0 and len(self._head) >= HEAD_BYTES:
                data_at = content.skip_hole(self.offset)
                blocks = ((end if data_at is None else min(data_at, end)) - self.offset) // BLOCK_BYTES
                if blocks > 0 and self.offset + blocks * BLOCK_BYTES <= content.size():
                    self._nuls += blocks
                    self.offset += blocks * BLOCK_BYTES
                    continue
            # Up to the end of a block, so that a hole is met at its beginning.
            data = content.read(min(_READ_BYTES - self.offset % BLOCK_BYTES, end - self.offset), self.offset)
            if not data:
                return
            self.take(data)
            if self.offset >= yield_at:
                yield_at = self.offset + _STEP_BYTES
                yield

    def proof(self) -> Proof:
        """Vouch for what was taken so far."""
        said = f"{self._chain}{self._nuls}:".encode() + self._rest
        return Proof(self.offset, self._chain, self._nuls, sha256(said).hexdigest(), sha256(self._head).hexdigest())


def may_hold(proof: Proof, content: Content) -> bool:
    """Say, at little cost, whether a content may begin with what a proof vouches for; False is certain."""
    if content.size() < proof.offset:
        return False
    return not proof.head or sha256(content.read(min(HEAD_BYTES, proof.offset), 0)).hexdigest() == proof.head


def prove(content: Content, end: int) -> Generator[None, None, Proof]:
    """Hash the first `end` bytes, or as many as there are; yields now and then, and returns the proof."""
    prover = Prover()
    yield from prover.read(content, end)
    return prover.proof()


def holds(proof: Proof, content: Content) -> Generator[None, None, bool]:
    """Read what a proof vouches for again; yields now and then, and returns whether it is still there."""
    if not may_hold(proof, content):
        return False
    found = yield from prove(content, proof.offset)
    return proof.offset == 0 or found == proof
