"""What is there but is never opened: links out of the tree, devices, directories that are closed to us."""

import contextlib
import os
from collections.abc import Callable

from daemon.ports.inputs import Inputs
from daemon.sources.directory.lineage import Lineage
from daemon.sources.directory.reading import Reader
from daemon.sources.directory.state import FileState
from daemon.sources.directory.tracked import SweepResult, Tracked
from daemon.sources.directory.tree import Entry, Listing
from pipeline.errors import QuarantineReason


class Refusals:
    """Reports each of them once, and forgets what is no longer there."""

    def __init__(self, inputs: Inputs, reader: Reader, lineage: Lineage, discover: Callable[[Entry], Tracked]) -> None:
        self._inputs = inputs
        self._reader = reader
        self._lineage = lineage
        self._discover = discover
        self._refused: dict[tuple[int, int], Tracked] = {}

    def take_back(self, key: tuple[int, int]) -> FileState | None:
        """Hand over what the ledger knows of something that can be opened after all."""
        file = self._refused.pop(key, None)
        return file.state if file is not None else None

    def report(self, listing: Listing, result: SweepResult) -> None:
        """Bring what is refused in line with a listing."""
        refused: dict[tuple[int, int], tuple[str, QuarantineReason, str]] = {
            (entry.device, entry.inode): (entry.path, "not_regular", f"{entry.problem}; it is not read")
            for entry in listing.entries
            if entry.problem is not None
        }
        for directory, reason in sorted(listing.closed.items()):
            result.unreadable = (*result.unreadable, directory)
            detail = f"directory: {reason}; it is read as soon as that is possible"
            with contextlib.suppress(OSError):
                status = os.lstat(directory)
                refused[status.st_dev, status.st_ino] = (directory, "unreadable", detail)
        for key, (path, reason, detail) in refused.items():
            if key in self._refused and self._refused[key].path == path:
                continue
            file = self._refused.get(key) or self._discover(Entry(path, path, *key, (0, 0, 0)))
            file.path = path
            self._lineage.recognise_unopened(file)
            self._reader.refuse(file, reason, detail, result)
            self._refused[key] = file
        if listing.full:
            for key in [key for key in self._refused if key not in refused]:
                state = self._refused[key].state
                if state is not None:
                    self._inputs.drop(state.input_id)
                del self._refused[key]
