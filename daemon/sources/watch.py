"""Hints about which directories changed, from inotify; never more than hints.

watchdog's observer keeps an unbounded queue between two threads, dies with a handler that raises, hides a queue
overflow and a directory that could not be watched, and stays deaf after its root was deleted. So only its inotify
reader and its emitters are used here, their events are folded into a bounded set at once, and `check` says what is
not watched.
"""

import contextlib
import errno
import os
import threading
import warnings
from collections.abc import Callable, Sequence

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
)
from watchdog.observers.api import EventQueue, ObservedWatch
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import CallbackId, InotifyEvent, InotifyFD, Mask, WatchCallback, WatchDescriptor

from daemon.log import get_logger

logger = get_logger(__name__)

MAX_DIRTY = 1024  # more directories than this are as quickly listed all together
_EVENTS: list[type[FileSystemEvent]] = [  # not those of opening and reading: that is what we do ourselves
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
_STOP_S = 2.0

Root = tuple[str, str, bool]  # (root, directory to watch, recursive)


class DirectoryWatch:
    """Watches roots and collects dirty directories; everything but `take` and `check` happens on other threads.

    Attributes:
        overflows: how often the kernel dropped events.
        restarts: how often a dead watch was set up anew.
        unwatched: directories that could not be watched for want of inotify watches.
    """

    def __init__(self, wake: Callable[[], None], max_dirty: int = MAX_DIRTY) -> None:
        """Args: `wake`: called from another thread, once for each `take`, when there is something to take."""
        self._wake = wake
        self._max_dirty = max_dirty
        self._lock = threading.Lock()
        self._dirty: set[str] = set()
        self._everything = False
        self._woken = False
        self._inotify: _Inotify | None = None
        self._emitters: dict[str, tuple[_Emitter, tuple[int, int]]] = {}
        self.overflows = 0
        self.restarts = 0
        self.unwatched: set[str] = set()
        self._denied: set[str] = set()

    def check(self, roots: Sequence[Root]) -> list[str]:
        """Watch what is not watched (any more); returns the roots that are there and cannot be.

        A root that was replaced by another directory, or whose watch has died, is watched anew; everything may have
        changed in between, so everything is dirty then.
        """
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)  # a watch table each
        if self._inotify is not None and not self._inotify.is_alive():
            self.stop()
            self.restarts += 1
        failed = []
        for root, directory, recursive in roots:
            identity = _identity(directory)
            known = self._emitters.get(root)
            if known is not None and (known[1] != identity or not known[0].is_alive()):
                self._discard(root)
                self.restarts += 1
                known = None
            if identity is not None and known is None and not self._start(root, directory, recursive, identity):
                failed.append(root)
        return failed

    def take(self) -> set[str] | None:
        """Give the directories that changed since the last call; None means that anything may have."""
        with self._lock:
            dirty, everything = self._dirty, self._everything
            self._dirty, self._everything, self._woken = set(), False, False
        return None if everything else dirty

    def stop(self) -> None:
        """Stop all threads."""
        for root in list(self._emitters):
            self._discard(root)
        if self._inotify is not None:
            self._inotify.stop()
            with contextlib.suppress(RuntimeError):
                self._inotify.join(_STOP_S)
            self._inotify = None

    # Called from the threads of watchdog: they must never raise.

    def note(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            if path:
                name = os.fsdecode(path)
                self._mark(os.path.dirname(name))  # noqa: PTH120
                if event.is_directory:
                    self._mark(name)

    def note_overflow(self) -> None:
        self.overflows += 1
        self._mark(None)

    def note_unwatched(self, path: bytes) -> None:
        if len(self.unwatched) < self._max_dirty:
            self.unwatched.add(os.fsdecode(path))
        self._mark(None)

    def note_denied(self, path: bytes) -> None:
        if len(self._denied) < self._max_dirty:
            self._denied.add(os.fsdecode(path))

    def _mark(self, directory: str | None) -> None:
        with self._lock:
            if directory is None or len(self._dirty) >= self._max_dirty:
                self._everything = True
                self._dirty.clear()
            elif not self._everything:
                self._dirty.add(directory)
            if self._woken:
                return
            self._woken = True
        with contextlib.suppress(RuntimeError):  # the event loop is closed already
            self._wake()

    def _start(self, root: str, directory: str, recursive: bool, identity: tuple[int, int]) -> bool:
        try:
            if self._inotify is None:
                self._inotify = _Inotify(self)
                self._inotify.start()
            watch = ObservedWatch(directory, recursive=recursive)
            emitter = _Emitter(self, watch, self._inotify)
            emitter.start()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOSPC):
                logger.warning("source.inotify_exhausted", root=root, error=str(error))
            else:
                logger.warning("source.watch_failed", root=root, error=str(error))
            return False
        self._emitters[root] = (emitter, identity)
        self._mark(None)  # it may have changed before it was watched
        if directory in self._denied:
            self._denied.clear()
            self._discard(root)
            return False
        return True

    def _discard(self, root: str) -> None:
        emitter, _ = self._emitters.pop(root)
        with contextlib.suppress(OSError):  # the kernel has dropped its watches already
            emitter.stop()
        with contextlib.suppress(RuntimeError):
            emitter.join(_STOP_S)
        self._mark(None)


class _Inotify(InotifyFD):
    """Reads events from the kernel, and says what watchdog keeps to itself."""

    def __init__(self, owner: DirectoryWatch) -> None:
        super().__init__()
        self._owner = owner

    def add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
        try:
            descriptor = super().add_callback(path, mask, callback, id_)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EMFILE, errno.ENOMEM):
                self._owner.note_unwatched(path)
            raise
        if descriptor == -1:  # permission denied, which watchdog takes for success
            self._owner.note_denied(path)
        return descriptor

    def handle_event(self, event: InotifyEvent) -> None:
        if event.is_queue_overflow:
            self._owner.note_overflow()
        super().handle_event(event)


class _Emitter(InotifyEmitter):
    """Hands events to the watch instead of a queue."""

    def __init__(self, owner: DirectoryWatch, watch: ObservedWatch, inotify: InotifyFD) -> None:
        super().__init__(EventQueue(), watch, event_filter=_EVENTS, inotify_fd=inotify)
        self._owner = owner

    def queue_event(self, event: FileSystemEvent) -> None:
        self._owner.note(event)


def _identity(directory: str) -> tuple[int, int] | None:
    try:
        status = os.stat(directory)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino
