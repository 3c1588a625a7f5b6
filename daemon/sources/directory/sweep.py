"""One look at the watched roots and everything that follows from it, without threads, events or sleep."""

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from daemon.log import get_logger
from daemon.parser import DocumentParser
from daemon.ports.files import Files
from daemon.ports.inputs import Inputs
from daemon.sources.directory.advancing import Advancer
from daemon.sources.directory.content import Content
from daemon.sources.directory.descriptors import DescriptorPool, Exhausted
from daemon.sources.directory.identity import birth_ns
from daemon.sources.directory.lineage import Lineage
from daemon.sources.directory.names import rotation
from daemon.sources.directory.opening import Opener
from daemon.sources.directory.reading import Reader
from daemon.sources.directory.refusals import Refusals
from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.state import file_state
from daemon.sources.directory.tracked import SweepResult, Tracked, signature_of
from daemon.sources.directory.tree import Entry, Listing, Tree
from daemon.sources.directory.verify import Verifier
from daemon.sources.documents import Documents
from pipeline.report.decompress import MAGIC_BYTES, is_compressed
from pipeline.report.limits import Limits
from pipeline.shortage import is_shortage

logger = get_logger(__name__)


class Sweeper:
    """Finds, recognises and reads the files below the roots.

    Files that the ledger knows are read in the order in which it got to know them; files that are found in one sweep
    in the order of their modification times, the higher rotation number first among equals, then by path. So the same
    directory content gives the same order whatever order the file system lists it in, and a rotated file comes before
    its successor. (A modification time orders nothing else; a wrong one does no harm.)

    A file that is gone is read to its end through its descriptor, and closed when it has not grown for
    `rotate_wait_s`. A stream whose content was replaced, or that is gone, is continued in a new file that begins with
    exactly what was consumed of it (copytruncate, compression, a move between file systems). While the original still
    stands and grows, such a copy waits for `rotate_wait_s`.

    Attributes:
        tree: what is looked through.
        documents: takes large documents in.
        holding: something waits for the large document that is being taken in.
        idle: a sweep has nothing to do but to wait for that document.
    """

    def __init__(
        self,
        inputs: Inputs,
        files: Files,
        limits: Limits,
        settings: WatchSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
        excluded: Sequence[str] = (),
        blocked: Callable[[], bool] = lambda: False,
        parser: DocumentParser | None = None,
    ) -> None:
        """Args:
        excluded: our own output and state, never read.
        blocked: says that the ledger takes nothing more just now; files are then found and held open, not read.
        parser: reads large documents; None has them read here.
        """
        self._files = files
        self._clock = clock
        self._blocked = blocked
        self.tree = Tree(settings.roots, settings.names, excluded)
        self._verifier = Verifier(wall_ns)
        self.documents = Documents(inputs, limits, parser)
        self._reader = Reader(inputs, files, limits, settings, clock, self._verifier, self.documents)
        self._pool = DescriptorPool(settings.max_open_files)
        self._tracked: dict[tuple[int, int], Tracked] = {}
        self._lineage = Lineage(inputs, files, limits, settings, self._verifier, clock)
        self._refusals = Refusals(inputs, self._reader, self._lineage, lambda entry: _discover(entry, clock()))
        self._roots: dict[str, tuple[int, int] | None] = {}
        self._opener = Opener(self._pool, self.tree, self._lineage, self._reader, blocked)
        self._advancer = Advancer(
            inputs, files, settings, self._lineage, self._reader, self._opener, self._pool, clock, self._forget
        )
        self._gone_only = False
        self._has_listed = False  # everything, since the start
        self.idle = True
        self.holding = False

    def sweep(self, paths: Iterable[str] | None = None) -> SweepResult:
        """Look at everything, or at some directories, and read what can be read.

        Raises:
            LedgerError: when the ledger takes nothing; nothing is lost, and the next sweep goes on.
        """
        result = SweepResult()
        for _ in self.steps(paths, result):
            self.rest_here()
        while self.go_on(result):
            self.rest_here()
        return result

    @property
    def taking(self) -> bool:
        """Whether a large document is being taken in: `go_on` with it between two sweeps."""
        return self._reader.turns.in_hand is not None

    def rest_here(self) -> None:
        """Block for a moment where the next step has nothing to do yet."""
        if self.idle:
            self.documents.rest_here()

    def go_on(self, result: SweepResult) -> bool:
        """Make the next step of the large document that is being taken in; returns whether there was one."""
        return not self._blocked() and self._reader.go_on(result)

    def steps(self, paths: Iterable[str] | None, result: SweepResult) -> Iterator[None]:
        """Do what `sweep` does; yields after each transaction, so that others get their turn."""
        try:
            yield from self._steps(paths, result)
        except Exhausted:
            result.exhausted = True
            logger.warning("source.descriptors_exhausted", held=len(self._pool))
        except OSError as error:  # of the tree itself: the roots are looked at again in a moment
            result.again = True
            if is_shortage(error):
                result.exhausted = True
                self._pool.close_idle()
            logger.warning("source.sweep_failed", error=str(error))

    def release(self) -> bool:
        """Close one idle descriptor for another part of the program that has run out of them."""
        return self._pool.close_idle()

    def finish(self) -> SweepResult:
        """Read everything that is there and wait for nothing: cut reports are refused, open scans closed.

        For a run that ends when it has read what it found.
        """
        result = SweepResult()
        for _ in self.final_steps(result):
            self.rest_here()
        return result

    def final_steps(self, result: SweepResult) -> Iterator[None]:
        """Do what `finish` does; yields after each transaction."""
        self._reader.final = True
        try:
            for _ in self.steps(None, result):
                self.idle = True  # there is one thing after the other, so nothing to do while it waits
                yield
        finally:
            self._reader.final = False

    def close(self) -> SweepResult:
        """Read to the end what is gone and would be lost, and close all files."""
        result = SweepResult()
        for _ in self.closing_steps(result):
            self.rest_here()
        return result

    def closing_steps(self, result: SweepResult) -> Iterator[None]:
        """Do what `close` does; yields after each transaction."""
        self._reader.give_up()
        self._gone_only = self._reader.final = True
        try:
            if not self._blocked():
                for _ in self.steps(None, result):
                    self.idle = True
                    yield
        finally:
            self._gone_only = self._reader.final = False
            self._pool.close_all()

    def close_files(self) -> None:
        """Close all files and read nothing more."""
        self._reader.give_up()
        self._pool.close_all()

    def _steps(self, paths: Iterable[str] | None, result: SweepResult) -> Iterator[None]:
        self.holding, self.idle = False, False
        known = self._tracked.keys() | self._lineage.keys()
        # The first is a full one: what a new file goes on for may be anything that the ledger knows and that is gone.
        everything = paths is None or not self._has_listed
        listing = self.tree.full(known) if everything else self.tree.partial(paths or (), known)
        missing = self._integrate(listing)
        blocked = self._blocked()
        changed = yield from self._look(result)
        if not listing.full and (changed or any(not self._settled(file) for file in missing)):
            # Where something was renamed to or copied to only the whole tree can tell.
            listing = self.tree.full(known)
            self._integrate(listing)
            yield from self._look(result)
        elif changed:
            self._integrate(self.tree.full(known))
            yield from self._look(result)
        result.full = listing.full
        if listing.full:
            self._note_roots(listing, result)
            result.awaited = tuple(listing.awaited)
        result.missing_roots = tuple(root for root, identity in self._roots.items() if identity is None)
        result.files = len(self._tracked)
        if blocked:
            self._note_blocked(result)
            return
        if listing.full:
            self._lineage.refresh(listing, self._tracked)
            self._has_listed = True
            self._reread()
        self._refusals.report(listing, result)
        for continued in self._lineage.adopt(self._tracked.values(), self._pool):
            if continued is None:
                yield
            else:
                logger.info("source.file_continued", path=continued[0].path, was=continued[1])
        if (
            not self._gone_only
        ):  # else new files were not looked at: what is lost may go on in them after the next start
            result.expect(self._lineage.settle(lambda: self._reader.final or self._all_seen()))
        yield
        self._advancer.streams = [file for file in self._tracked.values() if file.is_growing_stream]
        self._advancer.predecessors.among(self._tracked.values())
        waiting = self._in_order(self._tracked.values())
        while waiting:
            waiting = yield from self._pass(waiting, result)
            self.holding = self.idle = bool(waiting)
            while waiting and self.taking and not result.blocked:
                yield
                self._reader.go_on(result)
                if self._blocked():
                    self._note_blocked(result)
            if result.blocked:
                return
            self.holding = self.idle = False

    def _pass(self, files: Sequence[Tracked], result: SweepResult) -> Generator[None, None, list[Tracked]]:
        """Read of each file what there is; returns those that wait for a large document."""
        turns = self._reader.turns
        turns.begin()
        held: list[Tracked] = []
        for file in files:
            if file.gone_at is None and self._gone_only:
                continue
            turns.held = False
            for _ in self._advancer.advance(file, result):
                yield
                self._reader.go_on(result)
                if self._blocked():
                    self._note_blocked(result)
                    return []
            if turns.held:
                held.append(file)
        return held

    def _all_seen(self) -> bool:
        """Say whether every new file was looked at, so that what goes on in none of them is gone."""
        return not any(
            file.state is None and file.gone_at is None and not file.drained
            and (file.descriptor is None or self._lineage.content(file, file.descriptor) is None)
            for file in self._tracked.values()
        )  # fmt: skip

    def _note_blocked(self, result: SweepResult) -> None:
        result.blocked = result.again = True
        result.unread_bytes = sum(file.unread_bytes for file in self._tracked.values())

    # What is there

    def _integrate(self, listing: Listing) -> list[Tracked]:
        """Bring what is known of the files in line with a listing; returns those that are missing from it."""
        now = self._clock()
        names: dict[tuple[int, int], list[Entry]] = {}
        for entry in listing.entries:
            key = entry.device, entry.inode
            if entry.problem is None:
                names.setdefault(key, []).append(entry)
        for key, entries in names.items():
            file = self._tracked.get(key)
            if file is None:
                entry = min(entries, key=lambda item: (item.target != item.path, os.fsencode(item.path)))
                file = self._tracked[key] = _discover(entry, now)
                file.state = self._refusals.take_back(key)
                file.wanted = any(item.wanted for item in entries)
                continue
            entry = next((item for item in entries if item.path == file.path), entries[0])
            if entry.path != file.path:
                file.renamed = True
                file.path = entry.path
            file.target = entry.target
            file.gone_at = None
            file.wanted = any(item.wanted for item in entries) or (file.descriptor is not None and file.wanted)
            file.note(entry.signature, now)
        missing = [file for key, file in self._tracked.items() if key not in names and listing.covers(file.path)]
        for file in missing:  # before anything is opened: what is gone must not make room for what is new
            if file.gone_at is None:
                file.gone_at = now
        return missing

    def _note_roots(self, listing: Listing, result: SweepResult) -> None:
        result.replaced_roots = tuple(
            root
            for root, identity in listing.roots.items()
            if root in self._roots and identity is not None and identity != self._roots[root]
        )
        self._roots = listing.roots

    # Which file is it?

    def _look(self, result: SweepResult) -> Generator[None, None, bool]:
        """Open what has changed and see whether it is what it was; returns True when a stream's content was replaced.

        Opening comes before everything else, because a file that is held open cannot get lost.
        """
        replaced = False
        now = self._clock()
        for file in self._in_order(self._tracked.values()):
            if (file.gone_at is None and self._gone_only) or file.taken:
                continue
            if file.gone_at is not None:
                if file.descriptor is None:
                    continue
                file.note(signature_of(file.descriptor), now)
            if not file.due(now) and not (file.state is None and not file.unreadable):
                continue
            descriptor = self._opener.open(file, result)
            if descriptor is None:
                continue
            content = Content(descriptor)
            birth = birth_ns(descriptor)
            if file.birth_ns is None:
                file.birth_ns = birth
            elif birth is not None and birth != file.birth_ns:  # another file with the same inode number
                replaced |= self._lineage.lose(file)
                file.birth_ns = birth
            file.compressed = is_compressed(content.read(MAGIC_BYTES, 0))
            state = file.state
            if state is None:
                replaced |= yield from self._lineage.recognise(file, content)
            elif state.kind == "stream" and not file.compressed:
                if not (yield from self._verifier.check(file, state, content)):
                    replaced |= self._lineage.lose(file)
            elif not file.wanted and birth is None and not self._lineage.is_same_document(file, content):
                replaced |= self._lineage.lose(file)
            if file.state is None and not file.wanted:
                # Not the report whose inode number it has: it is forgotten without a word.
                self._pool.close(file)
                self._forget(file)
        return replaced

    def _reread(self) -> None:
        """Begin anew with files that somebody wants to be read again."""
        wanted = {state.input_id: state for state in map(file_state, self._files.rereads())}
        if not wanted:
            return
        for file in self._tracked.values():
            if file.state is not None and file.state.input_id in wanted and file.drained:
                state = wanted[file.state.input_id]
                file.restart()
                file.state = state

    def _forget(self, file: Tracked) -> None:
        del self._tracked[file.key]

    def _in_order(self, files: Iterable[Tracked]) -> list[Tracked]:
        return sorted(files, key=lambda file: (0, file.state.input_id) if file.state is not None else (1, *file.order))

    def _settled(self, file: Tracked) -> bool:
        return file.drained and not file.open_scan and (file.state is None or file.state.kind == "document")


def _discover(entry: Entry, now: float) -> Tracked:
    return Tracked(
        path=entry.path,
        target=entry.target,
        device=entry.device,
        inode=entry.inode,
        order=(entry.signature[1], -rotation(entry.path), os.fsencode(entry.path)),
        current=entry.signature,
        changed_at=now,
        first_seen=now,
    )
