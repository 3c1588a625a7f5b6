"""Whether a file still begins with what was consumed of it."""

import time
from collections.abc import Callable, Generator
from dataclasses import replace

from daemon.sources.directory.content import Content
from daemon.sources.directory.proof import holds, prove
from daemon.sources.directory.state import FileState, Samples, Signature
from daemon.sources.directory.tracked import Tracked, signature_of
from pipeline.keys import content_digest

# A file system stamps with the tick of the clock (4 to 10 ms), so two writes can carry the same time.
RACY_NS = 50_000_000
_SAMPLE_BYTES = 256


class Verifier:
    """Reads again what was consumed whenever size or times of a file are not those at which it was last read."""

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_ns = wall_ns

    def is_settled(self, signature: Signature) -> bool:
        """Say whether a later change would show in the signature."""
        return abs(self._wall_ns() - signature[2]) >= RACY_NS

    def trusted(self, signature: Signature) -> Signature | None:
        """Give the signature if a later change would show in it."""
        return signature if self.is_settled(signature) else None

    def check(self, file: Tracked, state: FileState, content: Content) -> Generator[None, None, bool]:
        """Say whether the content begins with what was consumed under `state`, which becomes that of the file if so.

        Yields now and then, as all of it may have to be read.
        """
        signature = signature_of(content.descriptor)
        if content.data is None and state.samples is None and file.verified is not None and file.verified == signature:
            return True
        if state.samples is not None:
            samples = state.samples
            # Of a file without birth time the end alone is too little: alike hosts end alike.
            enough = state.identity.birth_ns is not None or samples.is_whole
            if not enough or not fits_samples(samples, content):
                return False
            proof = yield from prove(content, state.samples.offset)
            state = replace(state, proof=proof, samples=None)
        elif not (yield from holds(state.proof, content)):
            return False
        file.state = state
        if content.data is None:
            file.verified = self.trusted(signature)
        return True


def fits_samples(samples: Samples, content: Content) -> bool:
    """Say whether the content is what version 0.1 took for the same."""
    if content.size() < max(samples.offset, samples.head_length):
        return False
    if samples.head_digest and content_digest(content.read(samples.head_length, 0)) != samples.head_digest:
        return False
    start = max(0, samples.offset - _SAMPLE_BYTES)
    return not samples.offset or content_digest(content.read(samples.offset - start, start)) == samples.tail_digest
