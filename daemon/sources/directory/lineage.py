"""What became of files that the ledger knows: found again, replaced, gone, or continued in another file."""

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from daemon.ports.files import FileIdentity, Files
from daemon.ports.inputs import Inputs
from daemon.sources.directory.content import Content, begins, identify
from daemon.sources.directory.descriptors import DescriptorPool
from daemon.sources.directory.names import rotation, unrotated
from daemon.sources.directory.proof import Proof, Prover, may_hold
from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.state import FileState, file_state
from daemon.sources.directory.streams import COPY_MARK
from daemon.sources.directory.tracked import Tracked
from daemon.sources.directory.tree import Listing
from daemon.sources.directory.verify import Verifier, fits_samples
from daemon.sources.documents import read_all
from pipeline.errors import ReportError
from pipeline.keys import content_digest
from pipeline.report.decompress import decompress
from pipeline.report.limits import Limits


@dataclass(slots=True)
class _Absent:
    """A file of the ledger that has not been found since the start."""

    state: FileState
    since: float | None = None  # a full listing first missed it
    closed: bool = False


@dataclass(slots=True, frozen=True)
class _Replaced:
    """What was in a file that has another content now, since when that is known."""

    state: FileState
    since: float


class Lineage:
    """Connects files on disk with what the ledger knows of files."""

    def __init__(
        self,
        inputs: Inputs,
        files: Files,
        limits: Limits,
        settings: WatchSettings,
        verifier: Verifier,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inputs = inputs
        self._files = files
        self._limits = limits
        self._verifier = verifier
        self._settings = settings
        self._clock = clock
        self._absent: dict[int, _Absent] = {}
        self._by_key: dict[tuple[int, int], list[int]] = {}
        self._replaced: list[_Replaced] = []
        for state in map(file_state, files.known()):
            self._absent[state.input_id] = _Absent(state)
            self._by_key.setdefault((state.identity.device, state.identity.inode), []).append(state.input_id)

    def keys(self) -> set[tuple[int, int]]:
        """Give device and inode number of files that may be found under any name."""
        return {(absent.state.identity.device, absent.state.identity.inode) for absent in self._absent.values()}

    def content(self, file: Tracked, descriptor: int) -> Content | None:
        """Give what is in an open file, unpacked; None where that cannot be had."""
        return _content(file, descriptor, self._limits)

    def is_same_document(self, file: Tracked, content: Content) -> bool:
        """Say whether a file holds, byte for byte, the document that the ledger knows of it."""
        raw = read_all(content.descriptor, self._limits.max_bytes + 1)
        return file.state is not None and content_digest(raw) == file.state.digest

    def recognise(self, file: Tracked, content: Content) -> Generator[None, None, bool]:
        """Find out whether the ledger knows a file that was just opened.

        Returns True when it knows other content under this very identity, which may be found elsewhere now.
        """
        replaced = False
        for state in self._of(file):
            born = state.identity.birth_ns
            same = born is None or file.birth_ns is None or born == file.birth_ns
            fits = False
            if same and file.state is None:
                file.verified = state.seen if born is not None and born == file.birth_ns else None
                fits = yield from self._fits(state, file, content, born is not None and born == file.birth_ns)
            del self._absent[state.input_id]
            if fits:
                file.state = file.state or state
                file.open_scan = state.open
            else:
                self._replaced.append(_Replaced(state, self._clock()))
                replaced = replaced or state.kind == "stream"
        return replaced

    def recognise_unopened(self, file: Tracked) -> None:
        """Find what the ledger knows of a file that cannot be opened."""
        if file.state is None:
            for state in self._of(file):
                del self._absent[state.input_id]
                file.state = state
                file.open_scan = state.open
                return

    def lose(self, file: Tracked) -> bool:
        """Note that the content of a file is no longer what was read; returns True if it may be found elsewhere."""
        state = None if file.state is None else replace(file.state, open=file.open_scan)
        file.restart()
        if state is None:
            return False
        self._replaced.append(_Replaced(state, self._clock()))
        return state.kind == "stream"

    def renamed(self, file: Tracked) -> FileState:
        """Record a new name."""
        assert file.state is not None
        state = replace(file.state, path=file.path)
        self._files.move(state.input_id, state.path, state.identity)
        return state

    def refresh(self, listing: Listing, tracked: dict[tuple[int, int], Tracked]) -> None:
        """Note which files of the ledger a full listing does not show."""
        now = self._clock()
        for absent in self._absent.values():
            identity = absent.state.identity
            if (identity.device, identity.inode) in tracked or not listing.covers(absent.state.path):
                absent.since = None
            elif absent.since is None:
                absent.since = now

    def adopt(self, files: Iterable[Tracked], pool: DescriptorPool) -> Iterator[tuple[Tracked, str] | None]:
        """Continue lost streams in new files that begin with all that was consumed of them.

        Yields (the new file, the old path), and None now and then.
        """
        files = list(files)
        yield from self._adopt_copies(files, pool)
        fresh = sorted(
            (file for file in files if file.state is None and file.descriptor is not None and file.gone_at is None),
            key=lambda file: file.order,
        )
        if not fresh:
            return
        lost: list[tuple[FileState, Tracked | None]] = [(replaced.state, None) for replaced in self._replaced]
        lost += [(absent.state, None) for absent in self._absent.values() if absent.since is not None]
        lost += [(file.state, file) for file in files if file.state is not None and file.gone_at is not None]
        # What was skipped as a copy was read under another name: nothing of it is there to be continued.
        lost = [
            pair for pair in lost if pair[0].kind == "stream" and pair[0].offset > 0 and pair[0].digest != COPY_MARK
        ]
        unread = [file for file in files if _is_gone_unread(file)]
        if not lost and not unread:
            return
        matches: list[tuple[int, int, int, int, FileState]] = []
        for position, file in enumerate(fresh):
            assert file.descriptor is not None
            content = _content(file, file.descriptor, self._limits)
            if content is None:
                continue
            for other in unread:
                if other.descriptor is not None and (yield from begins(Content(other.descriptor), content)):
                    self._let_go(other, pool)
            candidates = {number: state for number, (state, gone) in enumerate(lost) if _may_go_on(state, gone, file)}
            continued = yield from _continued(content, candidates)
            for number, state in continued.items():
                gone = lost[number][1]
                if gone is None or gone.descriptor is None or (yield from begins(Content(gone.descriptor), content)):
                    matches.append((-_evidence(state, gone), _distance(state, file), position, number, state))
        # Two lost files may have begun alike: the match that explains most bytes decides, then the name.
        adopted: set[int] = set()
        for _, _, position, number, state in sorted(matches, key=lambda match: match[:4]):
            file, gone = fresh[position], lost[number][1]
            if file.state is None and number not in adopted:
                adopted.add(number)
                assert file.descriptor is not None
                self._continue(state, gone, file, identify(Content(file.descriptor)), pool)
                yield file, state.path

    def settle(self, all_seen: Callable[[], bool]) -> float | None:
        """Let the ledger forget what was replaced, and what has been gone for long; close its scans.

        Where half a scan was read of what was replaced, the rest is looked for in each new file, or it would come out
        with the first half once more.

        Args:
            all_seen: says that no new file is left that could not be opened, or not be unpacked yet.

        Returns:
            When to come again for what is still looked for, if there is any.
        """
        now = self._clock()
        unsure = any(replaced.state.open for replaced in self._replaced) and not all_seen()
        for replaced in list(self._replaced):
            if not unsure or not replaced.state.open or now >= replaced.since + self._settings.rotate_wait_s:
                self._inputs.drop(replaced.state.input_id)
                self._replaced.remove(replaced)
        for input_id, absent in list(self._absent.items()):
            if absent.since is None:
                continue
            if not absent.closed:
                if absent.state.open:
                    self._inputs.close_scan(input_id)
                absent.closed = True
            if now >= absent.since + self._settings.forget_after_s:
                self._inputs.drop(input_id)
                del self._absent[input_id]
        return min((one.since + self._settings.rotate_wait_s for one in self._replaced), default=None)

    def _adopt_copies(self, files: Sequence[Tracked], pool: DescriptorPool) -> Iterator[tuple[Tracked, str]]:
        """Continue lost streams in copies of them that were known before, as rotation makes them, so that their names
        are free: what comes under these is no longer what was there, written anew.
        """
        lost = [one.state for one in self._replaced] + [
            one.state for one in self._absent.values() if one.since is not None
        ]
        known: dict[Proof, list[Tracked]] = {}
        for file in files if lost else ():
            if file.state is not None and file.state.offset and file.gone_at is None:
                known.setdefault(file.state.proof, []).append(file)
        for state in lost:
            for file in known.get(state.proof, ()):
                copy = file.state
                if copy is None or copy.proof != state.proof or _distance(state, file):
                    continue
                if not _is_newest(file, files) or not self._may_take_over(state, copy):
                    continue
                self._inputs.drop(copy.input_id)
                self._continue(state, None, file, copy.identity, pool)
                yield file, state.path
                break

    def _may_take_over(self, state: FileState, copy: FileState) -> bool:
        """Say whether nothing is half read of a copy, nor of what it was made of: each would end by itself."""
        if copy.digest == COPY_MARK:
            return True  # nothing was read of it
        both = {state.input_id, copy.input_id}
        return not any(known.source.open for known in self._files.known() if known.source.input_id in both)

    def _let_go(self, gone: Tracked, pool: DescriptorPool) -> None:
        """Leave a file that is gone unread, because all of it is in another one."""
        if gone.state is not None:
            self._inputs.drop(gone.state.input_id)
        gone.restart()
        gone.drained = True
        gone.signature = gone.current
        pool.close(gone)

    def _of(self, file: Tracked) -> list[FileState]:
        return [self._absent[input_id].state for input_id in self._by_key.get(file.key, ()) if input_id in self._absent]

    def _fits(self, state: FileState, file: Tracked, content: Content, born_alike: bool) -> Generator[None, None, bool]:
        if not file.wanted and not born_alike and (state.kind == "document" or file.compressed):
            # Only its number is known to be that of a report: its content must be that of the report, too.
            return content_digest(read_all(content.descriptor, self._limits.max_bytes + 1)) == state.digest
        if state.kind == "document" or file.compressed:
            return True  # judged by its digest when it is read; a document may have any content
        return (yield from self._verifier.check(file, state, content))

    def _continue(
        self, state: FileState, gone: Tracked | None, file: Tracked, identity: FileIdentity, pool: DescriptorPool
    ) -> None:
        moved = replace(state, path=file.path, identity=identity, digest=None, seen=None)
        self._files.move(moved.input_id, moved.path, moved.identity)
        file.state = moved
        file.searched = 0
        file.verified = None
        file.open_scan = True  # it may be: `state.open` is only as fresh as the start
        if gone is not None:
            pool.close(gone)
            gone.state = None
            gone.open_scan = False
        self._absent.pop(state.input_id, None)
        self._replaced = [other for other in self._replaced if other.state.input_id != state.input_id]


def _content(file: Tracked, descriptor: int, limits: Limits) -> Content | None:
    if not file.compressed:
        return Content(descriptor)
    try:
        return Content(descriptor, decompress(read_all(descriptor, limits.max_bytes), limits))
    except ReportError:
        return None


def _is_gone_unread(file: Tracked) -> bool:
    """Say whether a file is gone, still held open, and nothing of it was consumed."""
    return (
        file.gone_at is not None
        and file.descriptor is not None
        and file.current[0] > 0
        and (file.state is None or (file.state.offset == 0 and file.state.digest is None))
    )


def _evidence(state: FileState, gone: Tracked | None) -> int:
    """Count the bytes that a new file must have to go on for this one."""
    return state.offset if gone is None or gone.descriptor is None else max(state.offset, gone.current[0])


def _may_go_on(state: FileState, gone: Tracked | None, file: Tracked) -> bool:
    """Say whether a lost stream may be continued in a file that begins with it.

    Equal bytes may also be a host that is again as it was. So unless a scan is open, of which the other half would be
    missing, it must be the same name, or one that a file gets by rotation. Else the file is read from its start: scans
    that are known are redeliveries.
    """
    if file.path == state.path or state.open or (gone is not None and gone.open_scan):
        return True
    return _distance(state, file) == 0


def _distance(state: FileState, file: Tracked) -> int:
    """Say how far the name of a file is from that of a lost stream: 0 for one that rotation gives, 1 for the same."""
    if file.path == state.path:
        return 1
    before, now = state.path, file.path
    above, name = os.path.split(unrotated(before))
    place, rotated_from = os.path.split(unrotated(now))
    # logrotate's `olddir` is mostly below.
    near = rotated_from == name and (place == above or place.startswith(above.rstrip("/") + "/"))
    return 0 if near and now != unrotated(now) and rotation(now) >= rotation(before) else 2


def _is_newest(file: Tracked, files: Iterable[Tracked]) -> bool:
    """Say whether nothing was rotated out of the same way after a file, by the numbers of their names."""
    stem, number = unrotated(file.path), rotation(file.path)
    return not any(
        0 < rotation(other.path) < number and other.gone_at is None and unrotated(other.path) == stem
        for other in files
    )  # fmt: skip


def _continued(content: Content, lost: Mapping[int, FileState]) -> Generator[None, None, dict[int, FileState]]:
    """Find out which lost streams a content begins with all that was consumed of, reading it once; by their index.

    What version 0.1 kept of a stream is samples: they connect it with another file only in the middle of a scan, where
    reading anew would bring the first part a second time.
    """
    found: dict[int, FileState] = {}
    prover = Prover()
    for number, state in sorted(lost.items(), key=lambda pair: pair[1].offset):
        samples = state.samples
        if samples is None and not may_hold(state.proof, content):
            continue
        if samples is not None and not (state.open and samples.is_whole and fits_samples(samples, content)):
            continue
        yield from prover.read(content, state.offset)
        proof = prover.proof()
        if prover.offset == state.offset and (samples is not None or proof == state.proof):
            found[number] = replace(state, proof=proof, samples=None)
    return found
