"""What a sweep knows of a file beyond what the ledger does, and what a sweep reports."""

import os
from dataclasses import dataclass, field, replace

from daemon.ports.inputs import Admitted
from daemon.sources.directory.state import FileState, Signature


def signature_of(descriptor: int) -> Signature:
    """Say what an open file looks like now."""
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


@dataclass(slots=True, eq=False)
class Tracked:
    """A file that is there, or that is gone and still held open.

    Attributes:
        order: place among files that are found in the same sweep.
        state: None until the ledger knows the file.
        signature: when it was last visited; `current` is that of the last look.
        changed_at: when its signature was last seen to change (monotonic).
        drained: everything that was there at `signature` has been dealt with.
        retry_at: when to look again although nothing changed, or None.
        searched: see `LineReader.searched`.
        renamed: it had another name before; its writer may still hold it for a while.
        open_scan: a scan of this stream may be open in the ledger.
        unreadable: its being so was reported.
        verified: size and times at which the file is known to begin with what was consumed of it, or None.
        wanted: its name is that of a report; else it is here because it may be one under another name.
        copied: (when, up to where) all its lines are known to have been read under another name.
        after: inputs of older files that were moved out of its way.
        taken: it is being taken in just now, in steps.
        names: (digest, hosts) of a document that has to wait for another one.
        host: that the last `meta` line of this stream named, as far as it was read by this process.
        was_stream: it held one before its content was replaced; what it holds now may begin in the middle of a line.
    """

    path: str
    target: str
    device: int
    inode: int
    order: tuple[int, int, bytes]
    current: Signature
    changed_at: float
    first_seen: float
    descriptor: int | None = None
    birth_ns: int | None = None
    state: FileState | None = None
    signature: Signature | None = None
    drained: bool = False
    retry_at: float | None = None
    searched: int = 0
    renamed: bool = False
    gone_at: float | None = None
    open_scan: bool = False
    unreadable: bool = False
    compressed: bool = False
    was_stream: bool = False
    taken: bool = False
    names: tuple[str, tuple[str | None, ...]] | None = None
    host: str | None = None
    verified: Signature | None = None
    wanted: bool = True
    copied: tuple[Signature, int] | None = None
    after: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[int, int]:
        return self.device, self.inode

    @property
    def is_growing_stream(self) -> bool:
        """Say whether this is an uncompressed stream, partly read and still there."""
        state = self.state
        return (
            state is not None
            and state.kind == "stream"
            and state.offset > 0
            and self.gone_at is None
            and not self.compressed
        )

    @property
    def unread_bytes(self) -> int:
        """How much of it is left to read, as far as its size tells."""
        if self.drained and self.current == self.signature:
            return 0
        offset = self.state.offset if self.state is not None and self.state.kind == "stream" else 0
        return max(0, self.current[0] - offset)

    def due(self, now: float) -> bool:
        """Say whether there is something to read or to decide."""
        if self.current != self.signature:
            return True
        return not self.drained and (self.retry_at is None or now >= self.retry_at)

    def note(self, signature: Signature, now: float) -> None:
        """Take notice of what a stat call said."""
        if signature != self.current:
            self.current = signature
            self.changed_at = now

    def finish(self, signature: Signature) -> None:
        """Mark everything up to `signature` as dealt with."""
        self.signature = signature
        self.drained = True
        self.retry_at = None

    def wait(self, signature: Signature, until: float | None) -> None:
        """Leave the file until it changes, or until then."""
        self.signature = signature
        self.drained = until is None
        self.retry_at = until

    def restart(self) -> None:
        """Forget what was read, because the content is another one."""
        self.was_stream = self.state is not None and self.state.kind == "stream"
        self.state = None
        self.signature = None
        self.verified = None
        self.drained = False
        self.retry_at = None
        self.searched = 0
        self.open_scan = False
        self.host = None


@dataclass(slots=True)
class SweepResult:
    """What one sweep did and what it left.

    Attributes:
        files: that were seen.
        waiting: documents and lines that are not whole yet.
        blocked: the ledger takes nothing more just now, so not everything was read.
        unread_bytes: of the files that were not read for that.
        exhausted: there were no descriptors left; the rest waits for the next sweep.
        again: something moved while it was read; sweep again soon.
        next_due: when a deadline falls (monotonic), or None.
        missing_roots: roots that are not there.
        awaited: single files that are to be read and are not there, nor any rotated form of them.
        replaced_roots: roots that are another directory than at the last full sweep (or are back).
        unreadable: paths that may not be read.
        unparsed: (path, why) of large documents that cannot be read just now.
    """

    full: bool = False
    files: int = 0
    bytes_read: int = 0
    admitted: Admitted = field(default_factory=Admitted)
    waiting: int = 0
    blocked: bool = False
    unread_bytes: int = 0
    exhausted: bool = False
    again: bool = False
    next_due: float | None = None
    missing_roots: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
    replaced_roots: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    unparsed: tuple[tuple[str, str], ...] = ()

    def add(self, admitted: Admitted) -> None:
        self.admitted += admitted

    def part(self) -> "SweepResult":
        """Split off the counts of what was done so far."""
        part = replace(self, full=False, replaced_roots=())
        self.admitted = Admitted()
        self.bytes_read = 0
        return part

    def expect(self, due: float | None) -> None:
        """Remember a deadline if it is the next one."""
        if due is not None and (self.next_due is None or due < self.next_due):
            self.next_due = due
