"""What became of files that the ledger knows: found again, replaced, gone, or continued in another file."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from daemon.ports.inputs import FileIdentity, FileState, Intake
from daemon.sources.content import Content, begins, continues, identify
from daemon.sources.descriptors import DescriptorPool
from daemon.sources.identity import read_all
from daemon.sources.reading import COPY_MARK
from daemon.sources.settings import WatchSettings
from daemon.sources.tracked import Tracked
from daemon.sources.tree import Listing
from pipeline.errors import ReportError
from pipeline.report.gunzip import decompress
from pipeline.report.limits import Limits


@dataclass(slots=True)
class _Absent:
    """A file of the ledger that has not been found since the start."""

    state: FileState
    since: float | None = None  # a full listing first missed it
    closed: bool = False


class Lineage:
    """Connects files on disk with what the ledger knows of files."""

    def __init__(
        self, intake: Intake, limits: Limits, settings: WatchSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._intake = intake
        self._limits = limits
        self._settings = settings
        self._clock = clock
        self._absent: dict[int, _Absent] = {}
        self._by_key: dict[tuple[int, int], list[int]] = {}
        self._replaced: list[FileState] = []
        for state in intake.files():
            if state.path.startswith("/"):  # other sources keep theirs under other names
                self._absent[state.file_id] = _Absent(state)
                self._by_key.setdefault((state.identity.device, state.identity.inode), []).append(state.file_id)

    def inodes(self) -> set[int]:
        """Give the inode numbers of files that may be found under any name."""
        return {absent.state.identity.inode for absent in self._absent.values()}

    def recognise(self, file: Tracked, content: Content) -> bool:
        """Find out whether the ledger knows a file that was just opened.

        Returns True when it knows other content under this very identity, which may be found elsewhere now.
        """
        replaced = False
        for state in self._of(file):
            del self._absent[state.file_id]
            born = state.identity.birth_ns
            same = born is None or file.birth_ns is None or born == file.birth_ns
            if same and file.state is None and self._fits(state, file, content):
                file.state = state
                file.open_scan = state.scan_no is not None
            else:
                self._replaced.append(state)
                replaced = replaced or state.kind == "stream"
        return replaced

    def recognise_unopened(self, file: Tracked) -> None:
        """Find what the ledger knows of a file that cannot be opened."""
        if file.state is None:
            for state in self._of(file):
                del self._absent[state.file_id]
                file.state = state
                file.open_scan = state.scan_no is not None
                return

    def lose(self, file: Tracked) -> bool:
        """Note that the content of a file is no longer what was read; returns True if it may be found elsewhere."""
        state = file.state
        file.restart()
        if state is None:
            return False
        self._replaced.append(state)
        return state.kind == "stream"

    def renamed(self, file: Tracked) -> FileState:
        """Record a new name."""
        assert file.state is not None
        state = replace(file.state, path=file.path)
        self._intake.update_file(state)
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

    def adopt(self, files: Iterable[Tracked], pool: DescriptorPool) -> Iterator[tuple[Tracked, str]]:
        """Continue lost streams in new files that begin with all that was consumed of them.

        Yields (the new file, the old path).
        """
        files = list(files)
        fresh = sorted(
            (file for file in files if file.state is None and file.descriptor is not None and file.gone_at is None),
            key=lambda file: file.order,
        )
        if not fresh:
            return
        lost: list[tuple[FileState, Tracked | None]] = [(state, None) for state in self._replaced]
        lost += [(absent.state, None) for absent in self._absent.values() if absent.since is not None]
        lost += [(file.state, file) for file in files if file.state is not None and file.gone_at is not None]
        # What was skipped as a copy was read under another name: nothing of it is there to be continued.
        lost = [
            pair for pair in lost if pair[0].kind == "stream" and pair[0].offset > 0 and pair[0].digest != COPY_MARK
        ]
        unread = [file for file in files if _is_gone_unread(file)]
        if not lost and not unread:
            return
        matches: list[tuple[int, int, int, FileIdentity]] = []
        for position, file in enumerate(fresh):
            assert file.descriptor is not None
            content = _content(file, file.descriptor, self._limits)
            if content is None:
                continue
            for other in unread:
                if other.descriptor is not None and begins(Content(other.descriptor), content):
                    self._let_go(other, pool)
            for number, (state, gone) in enumerate(lost):
                if continues(state, content) and (gone is None or _contains(content, gone)):
                    matches.append((-_evidence(state, gone), position, number, identify(content, state.offset)))
        # Two lost files may have begun alike: the match that explains most bytes decides.
        adopted: set[int] = set()
        for _, position, number, identity in sorted(matches, key=lambda match: match[:3]):
            file, (state, gone) = fresh[position], lost[number]
            if file.state is None and number not in adopted:
                adopted.add(number)
                self._continue(state, gone, file, identity, pool)
                yield file, state.path

    def settle(self) -> None:
        """Let the ledger forget what was replaced, and what has been gone for long; close its scans."""
        while self._replaced:
            self._intake.drop_file(self._replaced[-1].file_id)
            self._replaced.pop()
        now = self._clock()
        for file_id, absent in list(self._absent.items()):
            if absent.since is None:
                continue
            if not absent.closed:
                if absent.state.scan_no is not None:
                    self._intake.close_stream(file_id)
                absent.closed = True
            if now >= absent.since + self._settings.forget_after_s:
                self._intake.drop_file(file_id)
                del self._absent[file_id]

    def _let_go(self, gone: Tracked, pool: DescriptorPool) -> None:
        """Leave a file that is gone unread, because all of it is in another one."""
        if gone.state is not None:
            self._intake.drop_file(gone.state.file_id)
        gone.restart()
        gone.drained = True
        gone.signature = gone.current
        pool.close(gone)

    def _of(self, file: Tracked) -> list[FileState]:
        return [self._absent[file_id].state for file_id in self._by_key.get(file.key, ()) if file_id in self._absent]

    def _fits(self, state: FileState, file: Tracked, content: Content) -> bool:
        # What is compressed is judged by its digest when it is read; a document may have any content.
        return state.kind == "document" or file.compressed or continues(state, content)

    def _continue(
        self, state: FileState, gone: Tracked | None, file: Tracked, identity: FileIdentity, pool: DescriptorPool
    ) -> None:
        moved = replace(state, path=file.path, identity=identity, digest=None)
        self._intake.update_file(moved)
        file.state = moved
        file.searched = 0
        file.open_scan = True  # it may be: `scan_no` is only as fresh as the start
        if gone is not None:
            pool.close(gone)
            gone.state = None
            gone.open_scan = False
        self._absent.pop(state.file_id, None)
        self._replaced = [other for other in self._replaced if other.file_id != state.file_id]


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


def _contains(content: Content, gone: Tracked) -> bool:
    """Say whether nothing is left in a file that is gone but its descriptor which the content does not have."""
    if gone.descriptor is None:
        return True
    old = Content(gone.descriptor)
    size = old.size()
    return content.size() >= size and content.tail(size) == old.tail(size)
