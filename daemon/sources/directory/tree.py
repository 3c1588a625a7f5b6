"""What lies below the watched roots: one listing, with links judged and our own files left out."""

# ruff: noqa: PTH100, PTH112, PTH113, PTH116, PTH118, PTH119, PTH120, PTH122
# Plain strings: this runs for every name in the tree every few seconds.

import glob
import os
import re
import stat
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from daemon.sources.directory.names import NameRules, hidden, unrotated
from pipeline.shortage import is_shortage

Key = tuple[int, int]  # device and inode number


@dataclass(slots=True, frozen=True)
class Entry:
    """One name that may be a report.

    Attributes:
        target: what to open: `path` itself, or what a link stands for.
        problem: why it is never opened, or None.
        wanted: its name is that of a report; else only its inode number is that of a file that was one.
    """

    path: str
    target: str
    device: int
    inode: int
    signature: tuple[int, int, int]
    problem: str | None = None
    wanted: bool = True


@dataclass(slots=True)
class Listing:
    """What one look at the tree showed.

    Attributes:
        listed: directories that were read to the end.
        closed: directories that could not be read, with the reason; nothing is known of what lies below them.
        roots: identity of each root, None where it is missing; of a single file that of its directory.
        awaited: single files that are not there, nor any rotated form of them.
    """

    full: bool
    entries: list[Entry] = field(default_factory=list)
    listed: dict[str, tuple[int, int]] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    roots: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    awaited: list[str] = field(default_factory=list)

    def covers(self, path: str) -> bool:
        """Say whether the absence of `path` from the entries means that it is gone."""
        if self.full:
            return not any(_below(path, other) for other in self.closed) and not any(
                identity is None and _below(path, root) for root, identity in self.roots.items()
            )
        return os.path.dirname(path) in self.listed


@dataclass(slots=True, frozen=True)
class _Root:
    path: str
    directory: str
    rules: NameRules
    recursive: bool


class Tree:
    """Lists roots: directories with everything below them, or single files with their rotated forms."""

    def __init__(self, roots: Sequence[str], names: Sequence[str], excluded: Sequence[str] = ()) -> None:
        """Args: `excluded`: directories and files (with their closed segments) that are never read."""
        self._paths = [os.path.abspath(root) for root in roots]
        self._names = names
        self._rules = NameRules(names)
        self._excluded = tuple(os.path.realpath(path) for path in excluded)
        self._segments = [_segment_of(path) for path in self._excluded]
        self._known: set[str] = set()
        self._roots: list[_Root] = []
        self._real: list[str] = []
        self._settle_roots()

    @property
    def watched(self) -> list[tuple[str, str, bool]]:
        """Give (root, directory to watch, recursive) of each root."""
        return [(root.path, root.directory, root.recursive) for root in self._roots]

    def full(self, known: Collection[Key] = ()) -> Listing:
        """List everything; a file with device and inode number in `known` counts whatever its name is now."""
        listing = Listing(full=True)
        self._known = set()
        self._settle_roots()
        numbers = _Known(known)
        for root in self._roots:
            try:
                status = os.stat(root.directory)
                present = stat.S_ISDIR(status.st_mode)
            except OSError:
                present = False
            if not present:
                listing.roots[root.path] = None
                continue
            listing.roots[root.path] = (status.st_dev, status.st_ino)
            found = len(listing.entries)
            self._walk(root, root.directory, numbers, listing, everything=True)
            if not root.recursive and len(listing.entries) == found and not os.path.lexists(root.path):
                listing.awaited.append(root.path)
        return listing

    def partial(self, paths: Iterable[str], known: Collection[Key] = ()) -> Listing:
        """List some directories, and what is new below them."""
        listing = Listing(full=False)
        numbers = _Known(known)
        for path in sorted(set(paths)):
            for root in self._roots:
                if path == root.directory or (root.recursive and _below(path, root.directory)):
                    self._walk(root, path, numbers, listing, everything=False)
                    break
        return listing

    def _settle_roots(self) -> None:
        """Find out what each root is now; what is not there is what it was, or what its name says."""
        before = {root.path: root for root in self._roots}
        self._roots = [self._root(path, before.get(path)) for path in self._paths]
        self._real = [os.path.realpath(root.directory) for root in self._roots]

    def _root(self, path: str, before: _Root | None) -> _Root:
        is_directory = os.path.isdir(path)
        if not is_directory and not os.path.isfile(path):
            if before is not None:
                return before
            is_directory = not self._rules.wanted(os.path.basename(path))
        if is_directory:
            return _Root(path, path, self._rules, recursive=True)
        rules = NameRules((glob.escape(os.path.basename(path)),))
        return _Root(path, os.path.dirname(path), rules, recursive=False)

    def inside(self, real: str) -> bool:
        """Say whether a real path lies in a watched tree and is not ours."""
        return not self._is_own(real) and any(_below(real, directory) for directory in self._real)

    def _walk(self, root: _Root, start: str, known: "_Known", listing: Listing, *, everything: bool) -> None:
        pending = [start]
        while pending:
            directory = pending.pop()
            if directory in listing.listed or directory in listing.closed:
                continue
            try:
                found = self._list(root, directory, known, listing)
            except (FileNotFoundError, NotADirectoryError):
                self._known.discard(directory)
                continue
            except OSError as error:
                if is_shortage(error):
                    raise
                listing.closed[directory] = error.strerror or str(error)
                continue
            fresh = found if everything else [path for path in found if path not in self._known]
            pending.extend(reversed(fresh))

    def _list(self, root: _Root, directory: str, known: "_Known", listing: Listing) -> list[str]:
        real = os.path.realpath(directory)
        if self._is_own(real) or (directory != root.directory and not self.inside(real)):
            return []
        status = os.stat(directory)
        with os.scandir(directory) as scan:
            found = sorted(scan, key=lambda item: item.name)
        below = []
        for item in found:
            try:
                if item.is_symlink():
                    if root.rules.wanted(item.name) or (root.recursive and not hidden(item.name) and item.is_dir()):
                        self._judge_link(item.path, listing)
                elif item.is_dir(follow_symlinks=False):
                    if root.recursive and not hidden(item.name):
                        below.append(item.path)
                elif root.rules.wanted(item.name):
                    self._judge(item.path, item.path, os.lstat(item.path), real, listing)
                elif item.inode() in known.inodes:
                    status_of = os.lstat(item.path)
                    if (status_of.st_dev, status_of.st_ino) in known.keys:
                        self._judge(item.path, item.path, status_of, real, listing, wanted=False)
            except (FileNotFoundError, NotADirectoryError):  # gone since the directory was read
                continue
        self._known.add(directory)
        listing.listed[directory] = (status.st_dev, status.st_ino)
        return below

    def _judge(
        self,
        path: str,
        target: str,
        status: os.stat_result,
        real_parent: str,
        listing: Listing,
        *,
        wanted: bool = True,
    ) -> None:
        if self._is_own(os.path.join(real_parent, os.path.basename(target))):
            return
        problem = None if stat.S_ISREG(status.st_mode) else f"a {_kind(status.st_mode)}, not a plain file"
        if wanted or problem is None:
            listing.entries.append(_entry(path, target, status, problem, wanted))

    def _judge_link(self, path: str, listing: Listing) -> None:
        try:
            target = os.path.realpath(path, strict=True)
            status = os.lstat(target)
        except OSError:  # dangling, or a loop: nothing to read, and it may be mended later
            return
        if self._is_own(target):
            return
        if not self.inside(target):
            problem = "a link that leaves the watched tree"
            if stat.S_ISDIR(status.st_mode):
                problem = f"{problem}: watch the directory that it stands for as a root of its own"
            listing.entries.append(_entry(path, path, os.lstat(path), problem))
            return
        if stat.S_ISDIR(status.st_mode):
            return  # what lies inside the tree is found under its own name
        self._judge(path, target, status, os.path.dirname(target), listing)

    def _is_own(self, real: str) -> bool:
        for excluded, segment in zip(self._excluded, self._segments, strict=True):
            if _below(real, excluded):
                return True
            # Closed segments of an output file, and what logrotate makes of it or of them.
            stem = unrotated(real)
            if stem == excluded or segment.fullmatch(stem) or segment.fullmatch(real):
                return True
        return False


@dataclass(slots=True)
class _Known:
    """Files that may turn up under any name."""

    keys: Collection[Key]
    inodes: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self.inodes = frozenset(inode for _, inode in self.keys)


def _segment_of(output: str) -> re.Pattern[str]:
    """Match the names that the output file gives to its closed segments."""
    stem, suffix = os.path.splitext(output)
    return re.compile(rf"{re.escape(stem)}\.[0-9]{{6,}}{re.escape(suffix)}", re.DOTALL)


def _entry(path: str, target: str, status: os.stat_result, problem: str | None, wanted: bool = True) -> Entry:
    signature = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return Entry(path, target, status.st_dev, status.st_ino, signature, problem, wanted)


def _below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _kind(mode: int) -> str:
    for test, name in ((stat.S_ISFIFO, "FIFO"), (stat.S_ISSOCK, "socket"), (stat.S_ISDIR, "directory")):
        if test(mode):
            return name
    return "device"
